//! Commit of a revocation to the last that knows it: with real Envoys, with many
//! simulated ones, and beside plain TCP.

mod fleet;
mod streams;

use anyhow::Result;
use kya_envoy::{Artifacts, Profile};
use serde::Serialize;
use tokio::runtime::Runtime;

use self::streams::{Held, Streams};
use crate::command::{self, cargo};
use crate::{build, setup};

/// Options of `cargo xtask bench revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many agents to kill.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    kills: u32,
    /// How many Envoys; 0 leaves them out.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(0..=64))]
    proxies: u16,
    /// Worker threads of each Envoy.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// How many simulated proxies, and plain TCP connections; 0 leaves them out.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(0..=9_000))]
    streams: u16,
    /// How many streams are held open at once; 0 leaves that out.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    held: u16,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Outcomes {
    #[serde(flatten)]
    fleet: Option<fleet::Outcomes>,
    streams: Option<Streams>,
    held: Option<Held>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let artifacts = Artifacts::new(Profile::Release);
    setup::envoy(&artifacts)?;
    build::filter(&artifacts)?;
    build::binaries(&artifacts, Profile::Release)?;
    command::run(&mut cargo(&artifacts, &["build", "--release", "-p", "xtask"]))?;
    let outcomes = Runtime::new()?.block_on(measure(&artifacts, options))?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
        return Ok(());
    }
    if let Some(fleet) = &outcomes.fleet {
        fleet.print();
    }
    if let Some(streams) = &outcomes.streams {
        streams.print();
    }
    if let Some(held) = &outcomes.held {
        held.print();
    }
    Ok(())
}

async fn measure(artifacts: &Artifacts, options: &Options) -> Result<Outcomes> {
    let fleet = match options.proxies {
        0 => None,
        _ => Some(fleet::measure(artifacts, options).await?),
    };
    let streams = match options.streams {
        0 => None,
        count => Some(streams::measure(artifacts, count.into(), options.kills).await?),
    };
    let held = match options.held {
        0 => None,
        count => Some(streams::hold(artifacts, count.into()).await?),
    };
    Ok(Outcomes { fleet, streams, held })
}
