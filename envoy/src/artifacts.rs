use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The Envoy that the project is tested with. `cargo xtask setup` installs it.
pub const ENVOY_VERSION: &str = "1.40.0";

/// The target that the filter is compiled for.
pub const FILTER_TARGET: &str = "wasm32-wasip1";

/// Which build of the native binaries to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `target/debug`: tests and the demo.
    Debug,
    /// `target/release`: benchmarks.
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// Finds what a build leaves behind. Every error says which command makes the
/// missing part.
#[derive(Debug, Clone)]
pub struct Artifacts {
    root: PathBuf,
    target: PathBuf,
    profile: Profile,
}

impl Artifacts {
    /// The artifacts of this workspace with binaries built by `profile`.
    ///
    /// Honours `CARGO_TARGET_DIR`.
    pub fn new(profile: Profile) -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().unwrap_or(manifest).to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(PathBuf::from(dir)));
        Self { root, target, profile }
    }

    /// With debug binaries.
    pub fn debug() -> Self {
        Self::new(Profile::Debug)
    }

    /// The folder of the workspace.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target folder.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The bootstrap for one sidecar, with its placeholders.
    pub fn bootstrap(&self) -> PathBuf {
        self.root.join("envoy/sidecar.yaml")
    }

    /// `kya-control-plane`.
    pub fn control_plane(&self) -> Result<PathBuf> {
        self.binary("kya-control-plane")
    }

    /// `kya`.
    pub fn cli(&self) -> Result<PathBuf> {
        self.binary("kya")
    }

    /// `kya-payments`, the service behind the sidecars.
    pub fn payments(&self) -> Result<PathBuf> {
        self.binary("kya-payments")
    }

    /// The compiled filter: `KYA_FILTER_WASM` if it is set, to try another
    /// version, else the one that was built here.
    pub fn filter_wasm(&self) -> Result<PathBuf> {
        match env::var_os("KYA_FILTER_WASM") {
            Some(path) => existing(PathBuf::from(path), "unset KYA_FILTER_WASM"),
            None => self.built_filter(),
        }
    }

    /// The folder into which `cargo xtask setup` installs Envoy.
    pub fn envoy_venv(&self) -> PathBuf {
        self.target.join(format!("envoy-venv-{ENVOY_VERSION}"))
    }

    /// Envoy: `KYA_ENVOY` if it is set, else the installed one.
    pub fn envoy(&self) -> Result<PathBuf> {
        match env::var_os("KYA_ENVOY") {
            Some(path) => existing(PathBuf::from(path), "unset KYA_ENVOY"),
            None => existing(self.envoy_venv().join("bin/envoy"), "cargo xtask setup"),
        }
    }

    fn built_filter(&self) -> Result<PathBuf> {
        let path = self.target.join(FILTER_TARGET).join("filter/kya_filter.wasm");
        existing(path, "cargo xtask build")
    }

    fn binary(&self, name: &str) -> Result<PathBuf> {
        let command = match self.profile {
            Profile::Debug => "cargo xtask build",
            Profile::Release => "cargo xtask build --release",
        };
        existing(self.target.join(self.profile.folder()).join(name), command)
    }
}

fn existing(path: PathBuf, command: &str) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("{} is missing: run `{command}`", path.display());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_artifact_names_the_command_that_makes_it() {
        let artifacts = Artifacts {
            root: "/nowhere".into(),
            target: "/nowhere/target".into(),
            profile: Profile::Release,
        };
        let said = artifacts.control_plane().unwrap_err().to_string();
        assert!(said.contains("/nowhere/target/release/kya-control-plane"), "{said}");
        assert!(said.contains("`cargo xtask build --release`"), "{said}");
        let said = artifacts.built_filter().unwrap_err().to_string();
        assert!(said.contains("`cargo xtask build`"), "{said}");
    }

    #[test]
    fn the_bootstrap_is_where_the_readme_says() {
        assert!(Artifacts::debug().bootstrap().is_file());
    }
}
