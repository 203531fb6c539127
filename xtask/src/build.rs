//! `cargo xtask build`: the filter and the binaries.

use std::fs;

use anyhow::Result;
use kya_envoy::{Artifacts, FILTER_TARGET, Profile};

use crate::command::{self, cargo};
use crate::setup;

/// Options of `cargo xtask build`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Optimise the binaries too. The filter always is.
    #[arg(long)]
    release: bool,
}

/// All of it, with a word on what came out.
pub(crate) fn run(artifacts: &Artifacts, options: &Options) -> Result<()> {
    filter(artifacts)?;
    binaries(artifacts, if options.release { Profile::Release } else { Profile::Debug })?;
    let wasm = artifacts.filter_wasm()?;
    eprintln!("{} has {} bytes", wasm.display(), fs::metadata(&wasm)?.len());
    Ok(())
}

/// The filter, as Envoy loads it.
pub(crate) fn filter(artifacts: &Artifacts) -> Result<()> {
    setup::rust_target(artifacts)?;
    let arguments = ["build", "-p", "kya-filter", "--target", FILTER_TARGET, "--profile", "filter"];
    command::run(&mut cargo(artifacts, &arguments))
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
