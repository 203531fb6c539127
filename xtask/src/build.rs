//! `cargo xtask build`: the filter and the binaries.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use kya_envoy::{Artifacts, FILTER_TARGET, Profile};

use crate::command::{self, cargo};
use crate::{setup, verifier};

/// Options of `cargo xtask build`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Optimise the binaries too. The filter always is.
    #[arg(long)]
    release: bool,
    /// Build also the filter that a test can crash.
    #[arg(long)]
    for_tests: bool,
}

/// What only a filter built with `crash-for-tests` exports.
const CRASH_MARK: &[u8] = b"kya_crash_for_tests";

/// All of it, with a word on what came out.
pub(crate) fn run(artifacts: &Artifacts, options: &Options) -> Result<()> {
    filter(artifacts)?;
    if options.for_tests {
        crashing_filter(artifacts)?;
    }
    binaries(artifacts, if options.release { Profile::Release } else { Profile::Debug })?;
    verifier::run(artifacts)?;
    let wasm = artifacts.filter_wasm()?;
    eprintln!("{} has {} bytes", wasm.display(), fs::metadata(&wasm)?.len());
    Ok(())
}

const FILTER_BUILD: [&str; 7] =
    ["build", "-p", "kya-filter", "--target", FILTER_TARGET, "--profile", "filter"];

/// The filter, as Envoy loads it.
///
/// # Errors
/// When the build fails, or what came out can be crashed by a request.
pub(crate) fn filter(artifacts: &Artifacts) -> Result<()> {
    setup::rust_target(artifacts)?;
    command::run(&mut cargo(artifacts, &FILTER_BUILD))?;
    let wasm = artifacts.filter_wasm()?;
    ensure!(
        !contains(&fs::read(&wasm)?, CRASH_MARK),
        "{} was built with the feature `crash-for-tests`, which must be off by default",
        wasm.display()
    );
    Ok(())
}

/// The filter that a test can crash.
pub(crate) fn crashing_filter(artifacts: &Artifacts) -> Result<()> {
    setup::rust_target(artifacts)?;
    let mut command = cargo(artifacts, &FILTER_BUILD);
    command.args(["--features", "crash-for-tests", "--target-dir"]);
    command.arg(artifacts.crashing_filter_target());
    // What both are made of is built once; what comes out stays apart.
    command.env("CARGO_BUILD_BUILD_DIR", artifacts.target());
    command::run(&mut command)?;
    let wasm = artifacts.crashing_filter_wasm()?;
    // Else the check of the other build proves nothing.
    ensure!(contains(&fs::read(&wasm)?, CRASH_MARK), "{} cannot be crashed", wasm.display());
    Ok(())
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// `kya-ext-authz`, with which the filter is compared.
pub(crate) fn ext_authz(artifacts: &Artifacts) -> Result<()> {
    command::run(&mut of_ext_authz(artifacts, "build"))
}

/// Its lints and tests: it is in a workspace of its own, which no other check sees.
pub(crate) fn check_ext_authz(artifacts: &Artifacts) -> Result<()> {
    let mut clippy = of_ext_authz(artifacts, "clippy");
    command::run(clippy.args(["--all-targets", "--", "-D", "warnings"]))?;
    command::run(&mut of_ext_authz(artifacts, "test"))
}

fn of_ext_authz(artifacts: &Artifacts, subcommand: &str) -> Command {
    let manifest = artifacts.root().join("examples/ext-authz/Cargo.toml");
    let mut command = cargo(artifacts, &[subcommand, "--release", "--locked", "--manifest-path"]);
    command.arg(manifest).arg("--target-dir").arg(artifacts.ext_authz_target());
    command
}

/// `kya-control-plane`, `kya` and `kya-payments`.
pub(crate) fn binaries(artifacts: &Artifacts, profile: Profile) -> Result<()> {
    let mut command = cargo(artifacts, &["build", "--bins"]);
    command.args(["-p", "kya-control-plane", "-p", "kya-cli", "-p", "kya-example-payments"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    command::run(&mut command)
}
