//! Real Envoys, each worker of which serves traffic.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kya_envoy::traffic::{Lane, Load, Outcome, Sample, pin_all, tally};
use kya_envoy::{Artifacts, Fleet, FleetOptions, until};
use serde::Serialize;

use super::Options;
use crate::distribution::{Distribution, histogram, line};

/// Time between two requests on one connection.
const PAUSE: Duration = Duration::from_millis(1);
/// Requests that every worker must have allowed before the kill.
const WARM_UP: usize = 10;
const LIMIT: Duration = Duration::from_secs(20);

/// One kill; times in ms after the commit.
#[derive(Debug)]
struct Kill {
    /// When the last worker began to decide by the revocation.
    applied: f64,
    /// When the control plane had the last acknowledgement.
    acknowledged: f64,
    /// When the last worker's first denial was back at the agent.
    denied: f64,
    /// Requests that were sent after the last worker knew, and allowed.
    allowed_after: usize,
}

/// What came of it; times in ms after the commit.
#[derive(Debug, Serialize)]
pub(super) struct Outcomes {
    /// Until the last worker decides by it: of `applied_ms`.
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    kills: usize,
    proxies: usize,
    workers_per_proxy: u16,
    workers: usize,
    applied_ms: Option<Distribution>,
    acknowledged_ms: Option<Distribution>,
    denied_ms: Option<Distribution>,
    allowed_after_last_ack: usize,
    #[serde(skip)]
    applied: Vec<f64>,
    #[serde(skip)]
    denied: Vec<f64>,
}

/// Kills agents, and prints where that has got to.
pub(super) async fn measure(artifacts: &Artifacts, options: &Options) -> Result<Outcomes> {
    let size = FleetOptions {
        sidecars: options.proxies.into(),
        workers: options.workers.into(),
        ..FleetOptions::default()
    };
    let fleet = Fleet::start(artifacts, &size).await?;
    let lanes = pin_all(&fleet.sidecars).await?;
    let mut kills = Vec::new();
    for number in 1..=options.kills {
        kills.push(kill(&fleet, &lanes, number).await?);
        if number % 10 == 0 {
            eprintln!("{number} of {} kills", options.kills);
        }
    }
    let outcomes = Outcomes::of(&fleet, options, &kills);
    fleet.finish().await?;
    Ok(outcomes)
}

/// Revokes one new agent while every worker serves it.
async fn kill(fleet: &Fleet, lanes: &[Lane], number: u32) -> Result<Kill> {
    let api = fleet.api();
    let agent = api.register_agent(&format!("bench-{number}")).await?;
    let token = api.issue_token(&agent.agent_id).await?;
    if !api.acknowledgements(token.revision, LIMIT).await?.complete {
        bail!("a worker did not learn of the token within {LIMIT:?}");
    }
    let load = Load::start(lanes, &token.token, PAUSE);
    let enough = |samples: &[Sample], wanted: fn(Outcome) -> bool, least: usize| {
        let of_lane = |lane| samples.iter().filter(|s| s.lane == lane && wanted(s.outcome)).count();
        (0..lanes.len()).all(|lane| of_lane(lane) >= least).then_some(())
    };
    let allowed = |outcome| outcome == Outcome::Allowed;
    let denied = |outcome| outcome == Outcome::Denied;
    until("every worker to allow requests", LIMIT, async || {
        Ok(enough(&load.samples_from(0), allowed, WARM_UP))
    })
    .await
    .with_context(|| answers(lanes, &load))?;
    // So that kills fall on every phase of the filter's timer.
    tokio::time::sleep(Duration::from_micros(u64::from(number) * 6180 % 10_000)).await;

    let change = api.revoke_agent(&agent.agent_id, "bench").await?;
    let acks = api.acknowledgements(change.revision, LIMIT).await?;
    until("every worker to deny", LIMIT, async || Ok(enough(&load.samples_from(0), denied, 1)))
        .await
        .with_context(|| answers(lanes, &load))?;
    let samples = load.stop().await?;

    let last_applied = acks.last_applied_unix_ms().context("nobody has acknowledged")?;
    if !acks.complete || acks.acknowledgements.len() != lanes.len() {
        bail!("{} of {} workers have acknowledged", acks.acknowledgements.len(), lanes.len());
    }
    let first_denials = (0..lanes.len()).filter_map(|lane| {
        let of_lane = samples.iter().filter(|s| s.lane == lane && denied(s.outcome));
        of_lane.map(|sample| sample.answered_unix_ms).reduce(f64::min)
    });
    let last_denial = first_denials.reduce(f64::max).context("nobody has denied")?;
    Ok(Kill {
        applied: last_applied - change.committed_unix_ms,
        acknowledged: acks.acknowledgements.iter().map(|ack| ack.after_ms).fold(0.0, f64::max),
        denied: last_denial - change.committed_unix_ms,
        allowed_after: samples
            .iter()
            .filter(|sample| sample.sent_unix_ms > last_applied && allowed(sample.outcome))
            .count(),
    })
}

/// What each worker has answered, for when it was not what is wanted.
fn answers(lanes: &[Lane], load: &Load) -> String {
    format!("answers of each worker:\n{}", tally(lanes, &load.samples_from(0)))
}

impl Outcomes {
    fn of(fleet: &Fleet, options: &Options, kills: &[Kill]) -> Self {
        let times = |of: fn(&Kill) -> f64| kills.iter().map(of).collect::<Vec<f64>>();
        let (applied, denied) = (times(|kill| kill.applied), times(|kill| kill.denied));
        let applied_ms = Distribution::of(&applied);
        Self {
            p50_ms: applied_ms.as_ref().map(|spread| spread.p50),
            p99_ms: applied_ms.as_ref().map(|spread| spread.p99),
            kills: kills.len(),
            proxies: fleet.sidecars.len(),
            workers_per_proxy: options.workers,
            workers: fleet.workers(),
            applied_ms,
            acknowledged_ms: Distribution::of(&times(|kill| kill.acknowledged)),
            denied_ms: Distribution::of(&denied),
            allowed_after_last_ack: kills.iter().map(|kill| kill.allowed_after).sum(),
            applied,
            denied,
        }
    }

    pub(super) fn print(&self) {
        let Self { kills, proxies, workers, .. } = self;
        println!("\n{kills} kills, {proxies} Envoys, {workers} workers; ms after the commit");
        let measured = [
            ("last worker applied it", &self.applied_ms, Some(&self.applied)),
            ("last acknowledgement was back", &self.acknowledged_ms, None),
            ("last worker's first denial was seen", &self.denied_ms, Some(&self.denied)),
        ];
        for (what, spread, times) in measured {
            println!("\n{what}\n  {}", line(spread));
            if let Some(times) = times {
                print!("\n{}", histogram(times));
            }
        }
        println!("\nrequests allowed after the last worker knew: {}", self.allowed_after_last_ack);
    }
}
