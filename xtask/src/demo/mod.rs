//! `cargo xtask demo`: a kill, as it happens.

mod next;
mod report;
mod story;
mod timeline;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use kya_envoy::{Artifacts, Fleet, FleetOptions, Profile};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::narrator::Narrator;
use crate::{build, setup};

/// Options of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// End after the kill instead of staying up.
    #[arg(long)]
    once: bool,
    /// Print one JSON object on stdout, and everything else on stderr.
    #[arg(long, requires = "once")]
    json: bool,
    /// How many Envoys.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    sidecars: u8,
    /// How many worker threads in each Envoy.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    workers: u8,
    /// How many seconds the agent makes charges before it is revoked.
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=600))]
    duration: u16,
}

/// Prepares, shows the kill, and says by the exit code whether it held.
pub(crate) fn run(artifacts: &Artifacts, options: &Options) -> Result<ExitCode> {
    setup::envoy(artifacts)?;
    build::filter(artifacts)?;
    build::binaries(artifacts, Profile::Debug)?;
    Runtime::new()?.block_on(show(artifacts, options))
}

async fn show(artifacts: &Artifacts, options: &Options) -> Result<ExitCode> {
    let narrator = Narrator::new(options.json);
    let size = FleetOptions {
        sidecars: options.sidecars.into(),
        workers: options.workers.into(),
        ..FleetOptions::default()
    };
    let mut interrupted = std::pin::pin!(interruption());

    narrator.say("starting the control plane, the payments service and the sidecars …");
    let fleet = tokio::select! {
        fleet = Fleet::start(artifacts, &size) => fleet?,
        signal = &mut interrupted => return stopped(&narrator, signal),
    };
    let outcome = tokio::select! {
        outcome = story::tell(&narrator, artifacts, &fleet, Duration::from_secs(options.duration.into())) => Some(outcome),
        signal = &mut interrupted => { signal?; None }
    };
    let Some(told) = outcome else {
        fleet.discard()?;
        return stopped(&narrator, Ok(()));
    };
    let told = told?;
    let report = &told.report;
    if options.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    }
    if !options.once {
        narrator.say(&next::suggestions(artifacts, &fleet, &told)?);
        interrupted.await?;
        fleet.discard()?;
        return stopped(&narrator, Ok(()));
    }
    fleet.finish().await?;
    Ok(match report.failures().as_slice() {
        [] => ExitCode::SUCCESS,
        failures => {
            eprintln!("the kill did not hold:\n  {}", failures.join("\n  "));
            ExitCode::FAILURE
        }
    })
}

fn stopped(narrator: &Narrator, signal: Result<()>) -> Result<ExitCode> {
    signal?;
    narrator.say("\nstopped everything");
    Ok(ExitCode::SUCCESS)
}

/// Ends when the person, or the machine, wants the demo to end.
async fn interruption() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}
