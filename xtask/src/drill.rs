//! `cargo xtask drill`: a drill through the fleet of `examples/fleet`.

mod summary;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use kya_envoy::{Artifacts, Profile};
use kya_fleet::{DrillFleet, Drilled, Plan, Size};
use tokio::runtime::Runtime;

use crate::narrator::Narrator;
use crate::{build, setup};
use summary::Summary;

/// Options of `cargo xtask drill`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many Envoys: each is a relying party.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    envoys: u16,
    /// Worker threads of each.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// How many simulated clients of the stream besides. They acknowledge stops and report
    /// nothing to the audit trail, so that there each stop stays open for a minute.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=5000))]
    clients: u16,
    /// How often the canary is stopped.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200))]
    samples: u32,
    /// Requests to each Envoy in a second. Everything runs on this machine: at a rate that keeps
    /// it busy the figures are those of a busy machine.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// The folder for what was found; `target/drill` if none is named.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print one JSON object on stdout, and everything else on stderr.
    #[arg(long)]
    json: bool,
}

/// Prepares, drills, and says by the exit code whether it has passed.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let artifacts = Artifacts::new(Profile::Release);
    setup::envoy(&artifacts)?;
    build::filter(&artifacts)?;
    build::binaries(&artifacts, Profile::Release)?;
    let narrator = Narrator::new(options.json);
    let folder = options.out.clone().unwrap_or_else(|| artifacts.target().join("drill"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let drilled = Runtime::new()?.block_on(async {
        // What runs is dropped with this, and so stopped.
        tokio::select! {
            drilled = drill(&artifacts, options, &folder, &narrator) => drilled,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                bail!("interrupted: everything that was started is stopped");
            }
        }
    })?;

    let report = write_found(&drilled, &folder)?;
    let summary = Summary::of(&drilled.document, &report)?;
    narrator.say("");
    narrator.say(drilled.shown.trim_end());
    narrator.say(&summary.pictures());
    narrator.say(&format!(
        "The report, which `kya audit verify` takes: {}",
        folder.join("report.html").display()
    ));
    narrator.say(&format!("All of it, with every probe that was kept: {}", report.display()));
    if options.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    }
    Ok(if drilled.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn drill(
    artifacts: &Artifacts,
    options: &Options,
    folder: &Path,
    narrator: &Narrator,
) -> Result<Drilled> {
    let Options { envoys, workers, clients, samples, rate, .. } = *options;
    let size = Size { envoys: envoys.into(), workers: workers.into(), clients: clients.into() };
    narrator.say(&format!(
        "starting a control plane, {envoys} Envoys of {workers} workers and {clients} simulated clients …"
    ));
    let running = DrillFleet::start(artifacts, size).await?;
    let plan = Plan { samples, rate };
    let drilled = running.drill(artifacts, plan, &|line| narrator.say(line)).await?;
    running.report(artifacts, &drilled.id, folder).await?;
    running.finish().await?;
    Ok(drilled)
}

/// Writes what was found into a folder, and returns where the whole of it is.
fn write_found(drilled: &Drilled, folder: &Path) -> Result<PathBuf> {
    let path = folder.join("drill.json");
    let text = serde_json::to_string(&drilled.document)?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
