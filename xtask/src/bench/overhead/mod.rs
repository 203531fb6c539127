//! What the filter adds to a request, beside what else Envoy can do at its place: CPU of
//! Envoy, and time. [Method](../../../../docs/performance.md).

mod chart;
mod listeners;
mod machine;
mod measure;
mod native;
mod others;
mod outcome;
mod report;
mod stage;
mod stats;
mod variants;
mod wasm;
mod write;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use kya_envoy::{Artifacts, Profile};
use tokio::runtime::Runtime;

use self::machine::Machine;
use self::outcome::Outcome;
use self::stage::Stage;
use crate::command::{self, cargo};
use crate::{build, redis, setup};

/// Options of `cargo xtask bench overhead`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every variant has its turn.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(2..=200))]
    rounds: u32,
    /// How long a turn lasts, in milliseconds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(50..=10_000))]
    millis: u64,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Write the figures, tables and charts into this folder (docs/benchmarks), and the
    /// tables into the page performance.md beside it.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let artifacts = Artifacts::new(Profile::Release);
    setup::envoy(&artifacts)?;
    let (redis_server, redis_version) = redis::ensure()?;
    build::filter(&artifacts)?;
    build::binaries(&artifacts, Profile::Release)?;
    build::ext_authz(&artifacts)?;
    command::run(&mut cargo(&artifacts, &["build", "--release", "-p", "xtask"]))?;
    let machine = Machine::here(&artifacts, &redis_version)?;
    let measured = measured(&artifacts, options, &redis_server, machine);
    let outcome = Runtime::new()?.block_on(measured)?;
    if let Some(folder) = &options.write {
        let page = folder.parent().context("the folder is in none")?.join("performance.md");
        write::write(&outcome, folder, &page)?;
    }
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&outcome)?),
        false => print!("{}", report::markdown(&outcome)),
    }
    Ok(())
}

async fn measured(
    artifacts: &Artifacts,
    options: &Options,
    redis_server: &Path,
    machine: Machine,
) -> Result<Outcome> {
    let mut stage = Stage::start(artifacts, redis_server).await?;
    let measured = measure::measure(&mut stage, options).await?;
    let unrecorded = stage.unrecorded().await?;
    stage.finish().await?;
    Outcome::of(&measured, machine, options.rounds, options.millis, unrecorded)
}
