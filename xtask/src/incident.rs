//! `cargo xtask incident`: the incident of `examples/incident`, from beginning to end.

use std::process::ExitCode;

use anyhow::Result;
use kya_envoy::{Artifacts, Profile};
use tokio::runtime::Runtime;

use crate::narrator::Narrator;
use crate::{build, setup};

/// Options of `cargo xtask incident`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Print one JSON object on stdout, and everything else on stderr.
    #[arg(long)]
    json: bool,
}

/// Prepares, goes through it, and says by the exit code whether every step was ok.
pub(crate) fn run(artifacts: &Artifacts, options: &Options) -> Result<ExitCode> {
    setup::envoy(artifacts)?;
    build::filter(artifacts)?;
    build::binaries(artifacts, Profile::Debug)?;
    let narrator = Narrator::new(options.json);
    let say = |text: &str| narrator.say(text);
    let report = Runtime::new()?.block_on(kya_incident::run(artifacts, &say));

    narrator.say("");
    for step in &report.steps {
        let ok = if step.ok { "ok" } else { "FAILED" };
        narrator.say(&format!("  {:<18} {ok:<7} {:>9.1} ms", step.name, step.ms));
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    if let Some(failure) = &report.failure {
        eprintln!("the incident was not handled: {failure}");
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
