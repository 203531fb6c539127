//! What the registry takes over its HTTP API: single writes, many tokens, and the end of a
//! principal for whom very many agents act.

mod offboard;
mod seed;
mod tokens;
mod writes;

use anyhow::Result;
use kya_envoy::{Artifacts, Fleet, FleetOptions, Profile};
use serde::Serialize;
use tokio::runtime::Runtime;

use self::offboard::Offboarding;
use self::tokens::Issuing;
use self::writes::Writes;
use crate::build;
use crate::command::{self, cargo};

/// Options of `cargo xtask bench registry`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many agents to register, and then to revoke, one after the other.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    writes: u32,
    /// How many tokens of each kind to issue.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tokens: u32,
    /// Over how many connections at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// How many agents act for the principal.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    agents: u32,
    /// How many tokens each of them holds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    tokens_each: u32,
    /// How many simulated proxies, of one worker each, are told of its end.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=9_000))]
    proxies: u16,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Outcomes {
    writes: Writes,
    issuing: Issuing,
    offboarding: Offboarding,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let artifacts = Artifacts::new(Profile::Release);
    build::binaries(&artifacts, Profile::Release)?;
    command::run(&mut cargo(&artifacts, &["build", "--release", "-p", "xtask"]))?;
    let outcomes = Runtime::new()?.block_on(measure(&artifacts, options))?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
        return Ok(());
    }
    outcomes.writes.print();
    outcomes.issuing.print();
    outcomes.offboarding.print();
    Ok(())
}

async fn measure(artifacts: &Artifacts, options: &Options) -> Result<Outcomes> {
    let fleet = control_plane(artifacts).await?;
    eprintln!("{} registrations and revocations", options.writes);
    let writes = writes::measure(artifacts, &fleet, options.writes).await?;
    eprintln!("{} tokens of each kind", options.tokens);
    let issuing = tokens::measure(&fleet, options.tokens, options.connections).await?;
    fleet.finish().await?;
    eprintln!("a principal with {} agents", options.agents);
    let offboarding = offboard::measure(artifacts, options).await?;
    Ok(Outcomes { writes, issuing, offboarding })
}

/// A control plane alone, which issues tokens of both kinds.
async fn control_plane(artifacts: &Artifacts) -> Result<Fleet> {
    let alone = FleetOptions { sidecars: 0, issuer: true, ..FleetOptions::default() };
    Fleet::start(artifacts, &alone).await
}
