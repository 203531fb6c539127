//! Proxies that were cut off while many revisions passed, and come back.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kya_envoy::{Artifacts, Fleet};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::bench::alone::with_tokens;
use crate::bench::helper::Helper;
use crate::distribution::{Distribution, line};
use crate::simulate::{CREDENTIAL, Visit};

/// Proxies that come back, one after the other.
const PROXIES: usize = 20;
/// Revisions that are being made at a time.
const AT_ONCE: u64 = 16;
/// How long all of them may take to come and to leave.
const LIMIT: Duration = Duration::from_secs(120);

/// By the number of revisions that have passed.
pub(super) type Gaps = BTreeMap<u32, Gap>;

/// What it took them to be up to date again.
#[derive(Debug, Serialize)]
pub(super) struct Gap {
    revisions: u32,
    proxies: usize,
    /// Tokens that the store holds.
    tokens: u32,
    /// What they were sent: `deltas`, or a `snapshot`.
    by: &'static str,
    /// From the Hello of one until it has the newest revision.
    current_ms: Distribution,
    /// Of each, on average: deltas, chunks that were fetched, bytes.
    deltas: f64,
    chunks: f64,
    bytes: f64,
    /// For comparison: from the Hello of one that had nothing until it had everything.
    first_time_ms: Distribution,
}

pub(super) async fn measure(artifacts: &Artifacts, gaps: &[u32], tokens: u32) -> Result<Gaps> {
    let fleet = with_tokens(artifacts, tokens).await?;
    let arguments = [
        "returning".to_owned(),
        format!("--address={}", fleet.control_plane.addresses().grpc),
        format!("--count={PROXIES}"),
    ];
    let variables = [(CREDENTIAL, fleet.control_plane.node_credential()?)];
    let mut proxies = Helper::start(artifacts, &arguments, &variables)?;
    proxies.ready().await?;
    let mut found = Gaps::new();
    for &revisions in gaps {
        eprintln!("{PROXIES} proxies come back after {revisions} revisions");
        let first = visit(&mut proxies, &fleet).await?;
        pass(&fleet, revisions).await?;
        let back = visit(&mut proxies, &fleet).await?;
        found.insert(revisions, Gap::of(revisions, tokens, &first, &back)?);
    }
    drop(proxies);
    fleet.finish().await?;
    Ok(found)
}

/// All of them come, have the newest revision, and leave.
async fn visit(proxies: &mut Helper, fleet: &Fleet) -> Result<Vec<Visit>> {
    let newest = fleet.api().nodes().await?.revision;
    proxies.tell(&newest.to_string()).await?;
    Ok(proxies.visited("the proxies to have been there", LIMIT).await?.0)
}

/// Makes so many revisions: each is an agent that is registered.
async fn pass(fleet: &Fleet, revisions: u32) -> Result<()> {
    let before = fleet.api().nodes().await?.revision;
    let mut tasks = JoinSet::new();
    for lane in 0..AT_ONCE {
        let (api, share) = (fleet.api().clone(), share(u64::from(revisions), lane));
        tasks.spawn(async move {
            for number in 0..share {
                api.register_agent(&format!("bench-{lane}-{number}")).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let passed = fleet.api().nodes().await?.revision - before;
    ensure!(passed == u64::from(revisions), "{passed} revisions have passed, not {revisions}");
    Ok(())
}

/// How many of them one of those that work at once makes.
fn share(all: u64, lane: u64) -> u64 {
    all / AT_ONCE + u64::from(lane < all % AT_ONCE)
}

impl Gap {
    fn of(revisions: u32, tokens: u32, first: &[Visit], back: &[Visit]) -> Result<Self> {
        let spread = |visits: &[Visit]| {
            let times: Vec<f64> = visits.iter().map(|visit| visit.ms).collect();
            Distribution::of(&times).context("nobody has come")
        };
        let mean = |of: fn(&Visit) -> usize| {
            let all: usize = back.iter().map(of).sum();
            (all as f64 / back.len().max(1) as f64).round()
        };
        let snapshots = back.iter().filter(|visit| visit.chunks.is_some()).count();
        let by = match snapshots {
            0 => "deltas",
            all if all == back.len() => "snapshot",
            some => anyhow::bail!("{some} of {} were sent a snapshot", back.len()),
        };
        Ok(Self {
            revisions,
            proxies: back.len(),
            tokens,
            by,
            current_ms: spread(back)?,
            deltas: mean(|visit| visit.deltas),
            chunks: mean(|visit| visit.chunks.unwrap_or(0)),
            bytes: mean(|visit| visit.bytes),
            first_time_ms: spread(first)?,
        })
    }

    pub(super) fn print(&self) {
        let Self { revisions, proxies, tokens, by, deltas, chunks, bytes, .. } = self;
        println!(
            "\n{proxies} proxies that come back after {revisions} revisions, {tokens} tokens; ms"
        );
        let [current, first] = [&self.current_ms, &self.first_time_ms].map(|it| Some(it.clone()));
        println!("  {:<34} {}", format!("up to date, by {by}"), line(&current));
        println!("  {:<34} {}", "for comparison: the first time", line(&first));
        println!("  each was sent {deltas} deltas and {chunks} chunks, {bytes} bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(chunks: Option<usize>) -> Visit {
        Visit { ms: 3.0, deltas: 10, chunks, bytes: 100 }
    }

    #[test]
    fn it_says_by_what_they_have_come_up_to_date() {
        let first = [visit(Some(9))];
        let by = |back: &[Visit]| Gap::of(100, 5, &first, back).map(|gap| gap.by);
        assert_eq!(by(&[visit(None), visit(None)]).unwrap(), "deltas");
        assert_eq!(by(&[visit(Some(1)), visit(Some(0))]).unwrap(), "snapshot");
        assert!(by(&[visit(Some(1)), visit(None)]).is_err());
        assert!(by(&[]).is_err());
        let gap = Gap::of(100, 5, &first, &[visit(Some(1)), visit(Some(2))]).unwrap();
        let json = serde_json::to_value(Gaps::from([(100, gap)])).unwrap();
        assert_eq!(json["100"]["current_ms"]["p50"], 3.0);
        assert_eq!((&json["100"]["chunks"], &json["100"]["deltas"]), (&2.0.into(), &10.0.into()));
    }

    #[test]
    fn the_shares_of_all_are_all() {
        for all in [0, 1, 100, 10_000] {
            assert_eq!((0..AT_ONCE).map(|lane| share(all, lane)).sum::<u64>(), all);
        }
    }
}
