//! What a table of many tokens costs a proxy: memory, time to load, stalls while
//! it loads, and CPU at every request. And the memory that agents, capability tokens that were
//! taken back, and streams cost.

mod cost;
mod each;
mod stage;

use anyhow::{Context, Result};
use kya_envoy::{Artifacts, Profile};
use serde::Serialize;
use tokio::runtime::Runtime;

use self::cost::Cost;
use self::each::Each;
use self::stage::{Contents, Stage};
use crate::bench::process;
use crate::command::{self, cargo};
use crate::{build, file_limit, setup};

/// The table that the large one is compared with.
const FEW: u32 = 1000;

/// Options of `cargo xtask bench memory`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many tokens the store holds.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    tokens: u32,
    /// Worker threads of the Envoy.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Rounds in which the CPU of a request is measured, with the filter and without.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Requests in each half of a round.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    requests: u32,
    /// With how many agents without tokens the memory of one is measured; 0 leaves that out.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    agents: u32,
    /// With how many capability tokens that were taken back; 0 leaves that out.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    taken_back: u32,
    /// With how many streams that are held open; 0 leaves that out.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    streams: u16,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Outcomes {
    tokens: u32,
    workers: u16,
    /// Resident memory of Envoy over that with an empty store, for each token.
    bytes_per_token: f64,
    /// The same for agents without tokens, capability tokens that were taken back, and streams.
    #[serde(flatten)]
    each: Each,
    rss_empty_bytes: u64,
    rss_bytes: u64,
    /// The most that Envoy ever had, the load included.
    rss_peak_bytes: u64,
    /// From Envoy's connection to the last worker's acknowledgement.
    load_ms: f64,
    /// The longest time without an answer on the connection to one worker, over
    /// the median of the time before the load.
    longest_stall_ms: f64,
    /// The same before the load: what this machine does by itself.
    longest_stall_before_ms: f64,
    /// CPU of Envoy that a request costs with the filter, over one without.
    cpu_us_at_1000: f64,
    cpu_us_at_n: f64,
    /// The half of the rounds in the middle.
    cpu_us_at_1000_quartiles: [f64; 2],
    cpu_us_at_n_quartiles: [f64; 2],
}

pub(super) fn run(options: &Options) -> Result<()> {
    file_limit::make_room(options.streams.into())?;
    let artifacts = Artifacts::new(Profile::Release);
    setup::envoy(&artifacts)?;
    build::filter(&artifacts)?;
    build::binaries(&artifacts, Profile::Release)?;
    command::run(&mut cargo(&artifacts, &["build", "--release", "-p", "xtask"]))?;
    let outcomes = Runtime::new()?.block_on(measure(&artifacts, options))?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
    } else {
        print(&outcomes);
    }
    Ok(())
}

async fn measure(artifacts: &Artifacts, options: &Options) -> Result<Outcomes> {
    eprintln!("an Envoy with an empty store");
    let empty = Stage::start(artifacts, options.workers, Contents::Tokens(0)).await?;
    let rss_empty_bytes = empty.memory()?.resident;
    let control_plane_empty = empty.control_plane_memory()?;
    empty.finish().await?;

    let at_few = at(artifacts, options, FEW).await?.1;
    let (full, at_n) = at(artifacts, options, options.tokens).await?;
    let each = each::measure(artifacts, options, (rss_empty_bytes, control_plane_empty)).await?;
    let memory = full.memory;
    let grown = memory.resident.saturating_sub(rss_empty_bytes) as f64;
    Ok(Outcomes {
        tokens: options.tokens,
        workers: options.workers,
        bytes_per_token: rounded(grown / f64::from(options.tokens)),
        each,
        rss_empty_bytes,
        rss_bytes: memory.resident,
        rss_peak_bytes: memory.peak,
        load_ms: rounded(full.load_ms),
        longest_stall_ms: rounded(full.stall_ms),
        longest_stall_before_ms: rounded(full.stall_before_ms),
        cpu_us_at_1000: rounded(at_few.median),
        cpu_us_at_n: rounded(at_n.median),
        cpu_us_at_1000_quartiles: at_few.quartiles.map(rounded),
        cpu_us_at_n_quartiles: at_n.quartiles.map(rounded),
    })
}

/// One that has loaded `tokens`, and what a request costs then.
async fn at(artifacts: &Artifacts, options: &Options, tokens: u32) -> Result<(Loaded, Cost)> {
    eprintln!("an Envoy with {tokens} tokens");
    let stage = Stage::start(artifacts, options.workers, Contents::Tokens(tokens)).await?;
    // Before any request has been made for the measurement of CPU.
    let loaded = Loaded {
        memory: stage.memory()?,
        load_ms: stage.load_ms,
        stall_ms: stage.stall_ms,
        stall_before_ms: stage.stall_before_ms,
    };
    eprintln!("loaded in {:.0} ms; {} rounds of requests", loaded.load_ms, options.rounds);
    let cost = cost::measure(&stage, tokens, options.rounds, options.requests)
        .await
        .context("the CPU of a request could not be measured")?;
    stage.finish().await?;
    Ok((loaded, cost))
}

struct Loaded {
    memory: process::Memory,
    load_ms: f64,
    stall_ms: f64,
    stall_before_ms: f64,
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn print(outcomes: &Outcomes) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let [few_low, few_high] = outcomes.cpu_us_at_1000_quartiles;
    let [n_low, n_high] = outcomes.cpu_us_at_n_quartiles;
    println!(
        "{} tokens, {} workers\n\
         memory    {:.1} bytes a token: {:.1} MiB, {:.1} MiB with an empty store, at most {:.1} MiB\n\
         load      {:.0} ms from the connection to the last acknowledgement\n\
         stall     {:.1} ms at most ({:.1} ms before the load)\n\
         CPU       {:.1} us a request at {FEW} tokens ({few_low:.1} to {few_high:.1})\n\
         CPU       {:.1} us a request at {} tokens ({n_low:.1} to {n_high:.1})",
        outcomes.tokens,
        outcomes.workers,
        outcomes.bytes_per_token,
        mib(outcomes.rss_bytes),
        mib(outcomes.rss_empty_bytes),
        mib(outcomes.rss_peak_bytes),
        outcomes.load_ms,
        outcomes.longest_stall_ms,
        outcomes.longest_stall_before_ms,
        outcomes.cpu_us_at_1000,
        outcomes.cpu_us_at_n,
        outcomes.tokens,
    );
    outcomes.each.print();
}
