//! The rounds: in each, every variant has a slice of time, in an order of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::Options;
use super::listeners::{DIRECT, UPSTREAM};
use super::stage::Stage;
use super::stats::{Draw, median};
use super::variants::{Chain, VARIANTS, Variant};
use super::wasm::{PIECES, REPEATS};
use crate::bench::process;
use crate::simulate::Said;
use crate::simulate::load::{Loaded, Order, Pace, Shown, Slice};

/// Connections of the closed loop: enough to keep one worker busy while a client takes
/// what it has answered.
const CONNECTIONS: usize = 8;
/// Connections of the open loop: more than are ever busy at half of the capacity.
const OPEN_CONNECTIONS: usize = 32;
/// Slices of the first round, which only warms up.
const WARM_MILLIS: u64 = 250;
/// Slices and rounds of pieces: hundreds of them are in each request.
const PIECE_MILLIS: u64 = 300;
const PIECE_ROUNDS: u32 = 7;
/// Events for the audit trail go out in batches: what is sent after a slice belongs to it.
const SETTLE: Duration = Duration::from_millis(500);
const MOST_SETTLING: u32 = 20;

/// Which of two answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answers {
    /// The listener answers by itself.
    Direct,
    /// The service does.
    Upstream,
}

/// What was measured of one variant, a figure for each round.
#[derive(Debug, Default, Clone)]
pub(super) struct Series {
    /// CPU of Envoy at a request, in microseconds.
    pub(super) cpu_us: Vec<f64>,
    /// CPU of the processes that it asks.
    pub(super) others_us: Vec<f64>,
    pub(super) per_second: Vec<f64>,
    /// Time to an answer, in microseconds.
    pub(super) p50_us: Vec<f64>,
    pub(super) p99_us: Vec<f64>,
}

/// All that was measured.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// As fast as they are answered.
    pub(super) closed: BTreeMap<(Answers, &'static str), Series>,
    /// At one rate for all.
    pub(super) open: BTreeMap<&'static str, Series>,
    pub(super) open_per_second: f64,
    /// CPU at a request that has a piece so often.
    pub(super) pieces: BTreeMap<(&'static str, u32), Vec<f64>>,
}

/// One slice to be.
#[derive(Debug, Clone)]
struct Turn {
    slice: Slice,
    others: Vec<u32>,
    audited: bool,
}

/// Measures all of it.
pub(super) async fn measure(stage: &mut Stage, options: &Options) -> Result<Measured> {
    let mut measured = Measured::default();
    let mut draw = Draw::seeded(1);
    rounds(stage, options, &mut draw, &mut measured).await?;
    latency(stage, options, &mut draw, &mut measured).await?;
    pieces(stage, options, &mut draw, &mut measured).await?;
    Ok(measured)
}

async fn rounds(
    stage: &mut Stage,
    options: &Options,
    draw: &mut Draw,
    measured: &mut Measured,
) -> Result<()> {
    let mut plan = Vec::new();
    for variant in &VARIANTS {
        let pace = Pace::Closed { connections: CONNECTIONS };
        for (answers, path) in [(Answers::Direct, DIRECT), (Answers::Upstream, UPSTREAM)] {
            if answers == Answers::Direct || variant.upstream {
                let turn = turn(stage, variant, path, pace, options.millis).await?;
                plan.push(((answers, variant.name), turn));
            }
        }
    }
    eprintln!("CPU at a request: {} rounds of {} slices", options.rounds, plan.len());
    for round in 0..=options.rounds {
        for index in draw.order(plan.len()) {
            let (key, turn) = plan.get(index).context("a turn")?;
            let mut turn = turn.clone();
            if round == 0 {
                turn.slice.millis = WARM_MILLIS.min(options.millis);
            }
            let one = run(stage, &turn).await.with_context(|| key.1)?;
            if round > 0 {
                measured.closed.entry(*key).or_default().push(&one);
            }
        }
        eprint!("{}", if round == options.rounds { ".\n" } else { "." });
    }
    Ok(())
}

/// At half of what the slowest of them can do, so that all are asked the same and none
/// is busy.
async fn latency(
    stage: &mut Stage,
    options: &Options,
    draw: &mut Draw,
    measured: &mut Measured,
) -> Result<()> {
    let timed: Vec<&Variant> = VARIANTS.iter().filter(|variant| variant.latency).collect();
    let capacity = |variant: &&&Variant| {
        median(&measured.closed.get(&(Answers::Direct, variant.name))?.per_second)
    };
    let slowest = timed.iter().filter_map(|variant| capacity(&variant)).reduce(f64::min);
    let per_second = (slowest.context("nothing was measured")? / 2.0).round();
    ensure!(per_second >= 1.0, "the slowest answers {per_second} requests a second");
    measured.open_per_second = per_second;
    eprintln!("time to an answer at {per_second} requests a second: {} slices", timed.len());
    let pace = Pace::Open { connections: OPEN_CONNECTIONS, per_second };
    let millis = (options.millis / 2).max(1);
    for round in 0..=options.rounds {
        for index in draw.order(timed.len()) {
            let variant = timed.get(index).context("a turn")?;
            let mut turn = turn(stage, variant, DIRECT, pace, millis).await?;
            if round == 0 {
                turn.slice.millis = WARM_MILLIS.min(millis);
            }
            let one = run(stage, &turn).await.with_context(|| variant.name)?;
            if round > 0 {
                measured.open.entry(variant.name).or_default().push(&one);
            }
        }
        eprint!("{}", if round == options.rounds { ".\n" } else { "." });
    }
    Ok(())
}

async fn pieces(
    stage: &mut Stage,
    options: &Options,
    draw: &mut Draw,
    measured: &mut Measured,
) -> Result<()> {
    let mut plan = Vec::new();
    for piece in &PIECES {
        for repeats in REPEATS {
            let address = stage.address(&piece.listener(repeats)).await?;
            let shown = Shown::One(stage.bearers.good.clone());
            let pace = Pace::Closed { connections: CONNECTIONS };
            let millis = PIECE_MILLIS.min(options.millis);
            let path = DIRECT.to_owned();
            let slice = Slice { address, path, shown, status: 200, pace, millis };
            plan.push(((piece.name, repeats), Turn { slice, others: Vec::new(), audited: false }));
        }
    }
    let rounds = PIECE_ROUNDS.min(options.rounds);
    eprintln!("pieces: {rounds} rounds of {} slices", plan.len());
    for round in 0..=rounds {
        for index in draw.order(plan.len()) {
            let (key, turn) = plan.get(index).context("a turn")?;
            let one = run(stage, turn).await.context(key.0)?;
            if round > 0 {
                measured.pieces.entry(*key).or_default().push(one.cpu_us);
            }
        }
    }
    Ok(())
}

async fn turn(
    stage: &Stage,
    variant: &Variant,
    path: &str,
    pace: Pace,
    millis: u64,
) -> Result<Turn> {
    let others = match variant.chain {
        Chain::ExtAuthz(server) => stage.others.pids(server),
        _ => Vec::new(),
    };
    let slice = Slice {
        address: stage.address(variant.name).await?,
        path: path.to_owned(),
        shown: stage.bearers.shown(variant.bearer),
        status: variant.status,
        pace,
        millis,
    };
    let audited = matches!(variant.chain, Chain::Kya { audit: true, .. });
    Ok(Turn { slice, others, audited })
}

/// What one slice has shown.
#[derive(Debug)]
struct One {
    cpu_us: f64,
    others_us: f64,
    loaded: Loaded,
}

async fn run(stage: &mut Stage, turn: &Turn) -> Result<One> {
    let pid = stage.sidecar()?.pid();
    let limit = Duration::from_millis(turn.slice.millis) + Duration::from_secs(20);
    let load = &mut stage.load;
    load.tell(&serde_json::to_string(&Order::Prepare(turn.slice.clone()))?).await?;
    let ready = |said| matches!(said, Said::Ready).then_some(());
    load.wait("requests to be made", limit, ready).await?;
    let (before, others_before) = (process::cpu(pid)?, cpu_of(&turn.others)?);
    load.tell(&serde_json::to_string(&Order::Go)?).await?;
    let loaded = |said| match said {
        Said::Loaded(loaded) => Some(loaded),
        _ => None,
    };
    let loaded = load.wait("answers", limit, loaded).await?;
    let after = match turn.audited {
        true => settled(stage, pid).await?,
        false => process::cpu(pid)?,
    };
    let used = after.saturating_sub(before);
    let others = cpu_of(&turn.others)?.saturating_sub(others_before);
    ensure!(loaded.requests > 0, "nothing was answered");
    let each = |used: Duration| used.as_secs_f64() * 1e6 / loaded.requests as f64;
    Ok(One { cpu_us: each(used), others_us: each(others), loaded })
}

/// The CPU that Envoy has used once every event has gone out and was acknowledged.
async fn settled(stage: &Stage, pid: u32) -> Result<Duration> {
    for _ in 0..MOST_SETTLING {
        tokio::time::sleep(SETTLE).await;
        // Before Envoy is asked, which takes CPU, too.
        let used = process::cpu(pid)?;
        if stage.is_drained().await? {
            return Ok(used);
        }
    }
    bail!("events for the audit trail were not taken for {:?}", SETTLE * MOST_SETTLING)
}

fn cpu_of(pids: &[u32]) -> Result<Duration> {
    pids.iter().map(|pid| process::cpu(*pid)).sum()
}

impl Series {
    fn push(&mut self, one: &One) {
        let Loaded { requests, seconds, p50_us, p99_us, .. } = one.loaded;
        self.cpu_us.push(one.cpu_us);
        self.others_us.push(one.others_us);
        self.per_second.push(requests as f64 / seconds);
        self.p50_us.push(p50_us);
        self.p99_us.push(p99_us);
    }
}
