//! Kills while new proxies keep coming for everything that there is.

use std::time::Duration;

use anyhow::{Context as _, Result};
use kya_envoy::Artifacts;
use serde::Serialize;
use tokio::time::sleep;

use crate::bench::alone::{LIMIT, time_of_a_kill, with_tokens};
use crate::bench::helper::Helper;
use crate::distribution::{Distribution, line};
use crate::simulate::{CREDENTIAL, Visit};

/// Streams whose last one is waited for.
const STREAMS: usize = 100;
/// Kills in a row with newcomers, and as many without.
const IN_A_ROW: u32 = 10;
/// How long they come before the first kill.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// The last of some streams, with and without others that are being sent everything.
#[derive(Debug, Serialize)]
pub(super) struct Snapshots {
    tokens: u32,
    streams: usize,
    /// How many a second were to come.
    newcomers_a_second: u32,
    /// Kills of each kind.
    kills: usize,
    /// From the commit to the last stream that has it, while nobody comes.
    alone_ms: Distribution,
    /// The same while they come.
    loaded_ms: Distribution,
    ratio_p99: f64,
    /// Those that have come, and those for whom there was no room.
    newcomers: usize,
    turned_away: usize,
    /// From the Hello of one of them until it has everything.
    newcomer_ms: Distribution,
    /// What each was sent, on average.
    bytes_a_newcomer: u64,
}

pub(super) async fn measure(
    artifacts: &Artifacts,
    tokens: u32,
    newcomers_a_second: u32,
    kills: u32,
) -> Result<Snapshots> {
    eprintln!("{kills} kills while {newcomers_a_second} proxies a second fetch {tokens} tokens");
    let fleet = with_tokens(artifacts, tokens).await?;
    let count = [format!("--count={STREAMS}")];
    let mut proxies = Helper::proxies(artifacts, &fleet, &count).await?;
    let arguments = [
        "newcomers".to_owned(),
        format!("--address={}", fleet.control_plane.addresses().grpc),
        format!("--a-second={newcomers_a_second}"),
    ];
    let variables = [(CREDENTIAL, fleet.control_plane.node_credential()?)];
    let mut newcomers = Helper::start(artifacts, &arguments, &variables)?;
    newcomers.ready().await?;
    let (mut alone, mut loaded) = (Vec::new(), Vec::new());
    let (mut visits, mut turned_away) = (Vec::new(), 0);
    let mut number = 0;
    while loaded.len() < kills as usize {
        for _ in 0..IN_A_ROW {
            alone.push(time_of_a_kill(&fleet, &mut proxies, number).await?);
            number += 1;
        }
        newcomers.tell("come").await?;
        sleep(UNDER_WAY).await;
        for _ in 0..IN_A_ROW {
            loaded.push(time_of_a_kill(&fleet, &mut proxies, number).await?);
            number += 1;
        }
        newcomers.tell("leave").await?;
        let (more, away) = newcomers.visited("the newcomers to leave", LIMIT).await?;
        visits.extend(more);
        turned_away += away;
    }
    drop((proxies, newcomers));
    fleet.finish().await?;
    Snapshots::of(tokens, newcomers_a_second, (&alone, &loaded), &visits, turned_away)
}

impl Snapshots {
    fn of(
        tokens: u32,
        newcomers_a_second: u32,
        (alone, loaded): (&[f64], &[f64]),
        visits: &[Visit],
        turned_away: usize,
    ) -> Result<Self> {
        let spread = |times: &[f64]| Distribution::of(times).context("nothing was measured");
        let (alone_ms, loaded_ms) = (spread(alone)?, spread(loaded)?);
        let bytes: usize = visits.iter().map(|visit| visit.bytes).sum();
        let times: Vec<f64> = visits.iter().map(|visit| visit.ms).collect();
        Ok(Self {
            tokens,
            streams: STREAMS,
            newcomers_a_second,
            kills: loaded.len(),
            ratio_p99: (loaded_ms.p99 / alone_ms.p99 * 100.0).round() / 100.0,
            alone_ms,
            loaded_ms,
            newcomers: visits.len(),
            turned_away,
            newcomer_ms: spread(&times)?,
            bytes_a_newcomer: (bytes / visits.len().max(1)) as u64,
        })
    }

    pub(super) fn print(&self) {
        let Self { tokens, streams, kills, newcomers, turned_away, bytes_a_newcomer, .. } = self;
        println!(
            "\n{streams} streams of a store of {tokens} tokens, {kills} kills of each kind; ms"
        );
        for (what, spread) in [
            ("last proxy has it", &self.alone_ms),
            ("the same while new proxies come", &self.loaded_ms),
            ("a new proxy has everything", &self.newcomer_ms),
        ] {
            println!("  {what:<34} {}", line(&Some(spread.clone())));
        }
        println!(
            "  {newcomers} came, each for {bytes_a_newcomer} bytes; no room for {turned_away}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_with_newcomers_stand_beside_kills_without() {
        let visit = |ms, bytes| Visit { ms, deltas: 0, chunks: Some(1), bytes };
        let visits = [visit(30.0, 100), visit(50.0, 300)];
        let found = Snapshots::of(1000, 20, (&[2.0, 4.0], &[8.0, 6.0]), &visits, 1).unwrap();
        let json = serde_json::to_value(found).unwrap();
        assert_eq!(json["alone_ms"]["p99"], 4.0);
        assert_eq!(json["loaded_ms"]["p99"], 8.0);
        assert_eq!(json["ratio_p99"], 2.0);
        assert_eq!(json["newcomer_ms"]["max"], 50.0);
        assert_eq!(json["bytes_a_newcomer"], 200);
        assert_eq!((&json["newcomers"], &json["turned_away"]), (&2.into(), &1.into()));
        assert!(Snapshots::of(1000, 20, (&[2.0], &[8.0]), &[], 0).is_err());
    }
}
