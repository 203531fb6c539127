//! Commit of a revocation to the last that knows it: with real Envoys, with many
//! simulated ones beside plain TCP and Redis, and where something is in the way.

mod fleet;
mod gap;
mod polling;
mod snapshot;
mod storm;
mod streams;

use std::collections::BTreeMap;

use anyhow::Result;
use kya_envoy::{Artifacts, Profile, RunDir};
use serde::Serialize;
use tokio::runtime::Runtime;

use self::gap::{Gap, Gaps};
use self::polling::Polling;
use self::snapshot::Snapshots;
use self::storm::Storm;
use self::streams::Streams;
use super::held::{self, Held};
use crate::command::{self, cargo};
use crate::redis::{self, Redis};
use crate::{build, file_limit, setup};

/// Kills while new proxies come, and as many without.
const SNAPSHOT_KILLS: u32 = 40;
/// Connections to Redis that are not those of subscribers or sidecars.
const BESIDES: usize = 100;
/// Kills while streams are held.
const HELD_KILLS: u32 = 20;

/// Options of `cargo xtask bench revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many agents to kill; at most 20 where there are more than 5000 streams.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    kills: u32,
    /// How many Envoys; 0 leaves them out.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(0..=64))]
    proxies: u16,
    /// Worker threads of each Envoy.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// How many simulated proxies, and as many plain TCP connections and subscribers of Redis:
    /// several numbers, one after the other; 0 leaves them out.
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000,10000", value_parser = clap::value_parser!(u16).range(0..=10_000))]
    streams: Vec<u16>,
    /// How many agents to deny by a list that is polled; 0 leaves that out.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(0..=1000))]
    polls: u16,
    /// How many sidecars poll it every second, and as many every ten seconds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=4000))]
    sidecars: u16,
    /// How many streams lose their control plane and come back; 0 leaves that out.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    storm: u16,
    /// How many new proxies a second fetch everything during kills; 0 leaves that out.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    newcomers: u16,
    /// After how many revisions proxies come back: several numbers; 0 leaves that out.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000", value_parser = clap::value_parser!(u32).range(0..=15_000))]
    gaps: Vec<u32>,
    /// How many tokens there are for new proxies, and for those that come back.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    tokens: u32,
    /// How many streams are held open at once; 0 leaves that out.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    held: u16,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// What was left out is null, or empty.
#[derive(Debug, Default, Serialize)]
struct Outcomes {
    real: Option<fleet::Outcomes>,
    /// By how many there are.
    streams: BTreeMap<u16, Streams>,
    polling: Option<Polling>,
    storm: Option<Storm>,
    snapshot: Option<Snapshots>,
    gap: Gaps,
    held: Option<Held>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    file_limit::make_room(options.most().into())?;
    let artifacts = Artifacts::new(Profile::Release);
    if options.proxies > 0 {
        setup::envoy(&artifacts)?;
        build::filter(&artifacts)?;
    }
    let redis_server = options.needs_redis().then(redis::ensure).transpose()?;
    build::binaries(&artifacts, Profile::Release)?;
    command::run(&mut cargo(&artifacts, &["build", "--release", "-p", "xtask"]))?;
    let outcomes = Runtime::new()?.block_on(async {
        // The process is this one's child for as long as it measures.
        let redis = match &redis_server {
            Some((program, _)) => {
                let dir = RunDir::new(&artifacts)?;
                let room = usize::from(options.most()) + BESIDES;
                Some((Redis::start(program, dir.path(), room).await?, dir))
            }
            None => None,
        };
        let outcomes = options.measure(&artifacts, redis.as_ref().map(|(redis, _)| redis)).await?;
        if let Some((redis, dir)) = redis {
            drop(redis);
            dir.remove()?;
        }
        anyhow::Ok(outcomes)
    })?;
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&outcomes)?),
        false => outcomes.print(),
    }
    Ok(())
}

impl Options {
    /// How many streams to measure with, one after the other.
    fn counts(&self) -> impl Iterator<Item = u16> {
        self.streams.iter().copied().filter(|count| *count > 0)
    }

    /// Most connections of one kind.
    fn most(&self) -> u16 {
        let polling = if self.polls == 0 { 0 } else { 2 * self.sidecars };
        self.counts().chain([self.storm, self.held, polling]).max().unwrap_or(0)
    }

    fn needs_redis(&self) -> bool {
        self.polls > 0 || self.counts().next().is_some()
    }

    async fn measure(&self, artifacts: &Artifacts, redis: Option<&Redis>) -> Result<Outcomes> {
        let mut outcomes = Outcomes::default();
        if self.proxies > 0 {
            outcomes.real = Some(fleet::measure(artifacts, self).await?);
        }
        if let Some(redis) = redis {
            for count in self.counts() {
                let streams = streams::measure(artifacts, redis, count.into(), self.kills).await?;
                outcomes.streams.insert(count, streams);
            }
            if self.polls > 0 {
                let polling = polling::measure(artifacts, redis, self.sidecars, self.polls.into());
                outcomes.polling = Some(polling.await?);
            }
        }
        if self.storm > 0 {
            outcomes.storm = Some(storm::measure(artifacts, self.storm.into()).await?);
        }
        if self.newcomers > 0 {
            let kills = self.kills.min(SNAPSHOT_KILLS);
            let snapshot = snapshot::measure(artifacts, self.tokens, self.newcomers.into(), kills);
            outcomes.snapshot = Some(snapshot.await?);
        }
        let gaps: Vec<u32> = self.gaps.iter().copied().filter(|gap| *gap > 0).collect();
        if !gaps.is_empty() {
            outcomes.gap = gap::measure(artifacts, &gaps, self.tokens).await?;
        }
        if self.held > 0 {
            outcomes.held = Some(held::hold(artifacts, self.held.into(), HELD_KILLS).await?);
        }
        Ok(outcomes)
    }
}

impl Outcomes {
    fn print(&self) {
        if let Some(real) = &self.real {
            real.print();
        }
        self.streams.values().for_each(Streams::print);
        if let Some(polling) = &self.polling {
            polling.print();
        }
        if let Some(storm) = &self.storm {
            storm.print();
        }
        if let Some(snapshot) = &self.snapshot {
            snapshot.print();
        }
        self.gap.values().for_each(Gap::print);
        if let Some(held) = &self.held {
            held.print();
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        let words = std::iter::once("revoke").chain(arguments.iter().copied());
        Arguments::try_parse_from(words).unwrap().options
    }

    #[test]
    fn every_part_can_be_left_out() {
        let all = options(&[]);
        assert_eq!(all.counts().collect::<Vec<_>>(), [1, 100, 1000, 10_000]);
        assert!(all.needs_redis());
        assert_eq!(all.most(), 10_000);
        let none = options(&[
            "--proxies=0",
            "--streams=0",
            "--polls=0",
            "--storm=0",
            "--newcomers=0",
            "--gaps=0",
            "--held=0",
        ]);
        assert!(!none.needs_redis());
        let artifacts = Artifacts::new(Profile::Release);
        let measured = Runtime::new().unwrap().block_on(none.measure(&artifacts, None)).unwrap();
        let json = serde_json::to_value(measured).unwrap();
        for left_out in ["real", "polling", "storm", "snapshot", "held"] {
            assert!(json[left_out].is_null(), "{left_out}");
        }
        for left_out in ["streams", "gap"] {
            assert_eq!(json[left_out], serde_json::json!({}), "{left_out}");
        }
        assert_eq!(json.as_object().unwrap().len(), 7);
    }

    #[test]
    fn some_numbers_of_streams_are_taken_in_their_order() {
        let some = options(&["--streams=1,100", "--polls=0", "--storm=0", "--held=0"]);
        assert_eq!(some.counts().collect::<Vec<_>>(), [1, 100]);
        assert_eq!(some.most(), 100);
    }
}
