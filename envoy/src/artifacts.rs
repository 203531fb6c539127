use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::version::EnvoyVersion;

/// The variable that names the Envoy to run by its version.
pub const ENVOY_VERSION_VARIABLE: &str = "KYA_ENVOY_VERSION";

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
    envoy: EnvoyVersion,
}

impl Artifacts {
    /// The artifacts of this workspace with binaries built by `profile`, and the
    /// newest Envoy.
    ///
    /// Honours `CARGO_TARGET_DIR`.
    pub fn new(profile: Profile) -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().unwrap_or(manifest).to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(PathBuf::from(dir)));
        Self { root, target, profile, envoy: EnvoyVersion::default() }
    }

    /// With debug binaries.
    pub fn debug() -> Self {
        Self::new(Profile::Debug)
    }

    /// What the tests in real Envoy run: debug binaries, and the Envoy whose
    /// version is in `KYA_ENVOY_VERSION`, the newest if there is none.
    ///
    /// # Errors
    /// When that is not a version that the project is tested with.
    pub fn for_tests() -> Result<Self> {
        let version = match env::var(ENVOY_VERSION_VARIABLE) {
            Ok(text) => text.parse().context(ENVOY_VERSION_VARIABLE)?,
            Err(env::VarError::NotPresent) => EnvoyVersion::default(),
            Err(error) => return Err(error).context(ENVOY_VERSION_VARIABLE),
        };
        Ok(Self::debug().with_envoy(version))
    }

    /// The same with another Envoy.
    pub fn with_envoy(self, version: EnvoyVersion) -> Self {
        Self { envoy: version, ..self }
    }

    /// Which Envoy [`Artifacts::envoy`] is, unless `KYA_ENVOY` names another.
    pub fn envoy_version(&self) -> EnvoyVersion {
        self.envoy
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

    /// Cargo's target folder for `kya-ext-authz`, which is a workspace of its own.
    pub fn ext_authz_target(&self) -> PathBuf {
        self.target.join("ext-authz")
    }

    /// `kya-ext-authz`, with which benchmarks compare the filter; optimised always.
    pub fn ext_authz(&self) -> Result<PathBuf> {
        let path = self.ext_authz_target().join("release/kya-ext-authz");
        existing(path, "cargo xtask bench overhead")
    }

    /// The compiled filter: `KYA_FILTER_WASM` if it is set, to try another
    /// version, else the one that was built here.
    pub fn filter_wasm(&self) -> Result<PathBuf> {
        match env::var_os("KYA_FILTER_WASM") {
            Some(path) => existing(PathBuf::from(path), "unset KYA_FILTER_WASM"),
            None => self.built_filter(),
        }
    }

    /// The filter built with the feature `crash-for-tests`: a request can crash
    /// a VM of it. For tests of what happens then, and for nothing else.
    pub fn crashing_filter_wasm(&self) -> Result<PathBuf> {
        let path = self.crashing_filter_target().join(FILTER_TARGET).join("filter/kya_filter.wasm");
        existing(path, "cargo xtask build --for-tests")
    }

    /// Cargo's target folder for that build, one of its own: in the same one the
    /// two would take turns at one file.
    pub fn crashing_filter_target(&self) -> PathBuf {
        self.target.join("crash-for-tests")
    }

    /// The folder into which `cargo xtask setup` installs Envoy.
    pub fn envoy_venv(&self) -> PathBuf {
        self.target.join(format!("envoy-venv-{}", self.envoy))
    }

    /// Envoy: `KYA_ENVOY` if it is set, else the installed one.
    pub fn envoy(&self) -> Result<PathBuf> {
        match env::var_os("KYA_ENVOY") {
            Some(path) => existing(PathBuf::from(path), "unset KYA_ENVOY"),
            None => {
                let command = match self.envoy == EnvoyVersion::default() {
                    true => "cargo xtask setup",
                    false => "cargo xtask setup --all-envoys",
                };
                existing(self.envoy_venv().join("bin/envoy"), command)
            }
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
            envoy: EnvoyVersion::V1_36,
        };
        let said = artifacts.control_plane().unwrap_err().to_string();
        assert!(said.contains("/nowhere/target/release/kya-control-plane"), "{said}");
        assert!(said.contains("`cargo xtask build --release`"), "{said}");
        let said = artifacts.built_filter().unwrap_err().to_string();
        assert!(said.contains("`cargo xtask build`"), "{said}");
        if env::var_os("KYA_ENVOY").is_none() {
            let said = artifacts.envoy().unwrap_err().to_string();
            assert!(said.contains("1.36.4") && said.contains("`cargo xtask setup --all-envoys`"));
        }
    }

    #[test]
    fn the_bootstrap_is_where_the_readme_says() {
        assert!(Artifacts::debug().bootstrap().is_file());
    }
}
