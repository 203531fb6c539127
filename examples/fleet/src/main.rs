//! `kya-fleet`: a fleet that stays up, to run drills by hand. See the README beside this
//! crate's manifest.

use std::io::Write as _;

use anyhow::Result;
use clap::Parser;
use kya_envoy::{Artifacts, Profile};
use kya_fleet::{DrillFleet, Size};

/// Real Envoys and simulated clients on this machine, until Ctrl-C
#[derive(Parser)]
#[command(name = "kya-fleet", version)]
struct Args {
    /// Envoys
    #[arg(long, default_value_t = 6, value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    envoys: u16,
    /// Worker threads of each
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Simulated clients of the stream
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=5000))]
    clients: u16,
    /// Run the optimised binaries, which `cargo xtask build --release` makes
    #[arg(long)]
    release: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Args { envoys, workers, clients, release } = Args::parse();
    let artifacts = Artifacts::new(if release { Profile::Release } else { Profile::Debug });
    let size = Size { envoys: envoys.into(), workers: workers.into(), clients: clients.into() };
    // Whoever loses patience with the start stops all of it, too.
    tokio::select! {
        ended = stay(&artifacts, size) => ended,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

async fn stay(artifacts: &Artifacts, size: Size) -> Result<()> {
    eprintln!("starting {} Envoys and {} simulated clients …", size.envoys, size.clients);
    let running = DrillFleet::start(artifacts, size).await?;
    let api = running.fleet.api();
    let mut out = std::io::stdout();
    writeln!(out, "export KYA_SERVER={}", api.base())?;
    writeln!(out, "export KYA_TOKEN={}", api.admin_key())?;
    let kya = artifacts.cli()?;
    writeln!(
        out,
        "{} drill run \\\n  --probe {}",
        kya.display(),
        running.probes().join(" \\\n  --probe ")
    )?;
    for sidecar in &running.fleet.sidecars {
        writeln!(out, "# {} is process {}", sidecar.node_id(), sidecar.pid())?;
    }
    out.flush()?;
    eprintln!("Ctrl-C stops all of it");
    std::future::pending().await
}
