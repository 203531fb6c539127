//! The control plane alone, with simulated proxies: how long the last of many waits,
//! beside plain TCP and Redis.

use anyhow::{Context as _, Result, ensure};
use kya_envoy::{Artifacts, Fleet, unix_ms};
use serde::Serialize;

use crate::bench::alone::{LIMIT, PAUSE, all_have_left, control_plane, kill, size_of_a_kill};
use crate::bench::helper::Helper;
use crate::distribution::{Distribution, line};
use crate::redis::Redis;
use crate::resp::{Client, Value};
use crate::simulate::{Said, subscribers};

/// More streams than this are told of fewer kills.
const MANY: usize = 5000;
const FEWER: u32 = 20;

/// The last of many streams, beside the last of as many connections to others.
#[derive(Debug, Serialize)]
pub(super) struct Streams {
    count: usize,
    kills: usize,
    /// Of each message, with the framing of gRPC and HTTP/2.
    bytes: usize,
    /// From the commit to the last stream that has it.
    p50_ms: f64,
    p99_ms: f64,
    /// From the first write to the last plain connection that has as many bytes.
    tcp_p50_ms: f64,
    tcp_p99_ms: f64,
    /// From the `PUBLISH` to the last subscriber that has as many bytes.
    redis_p50_ms: f64,
    redis_p99_ms: f64,
    /// Kya by plain TCP, and by Redis.
    ratio_p50: f64,
    ratio_p99: f64,
    redis_ratio_p50: f64,
    redis_ratio_p99: f64,
    /// The same in full, and the first stream that has it.
    first_ms: Distribution,
    last_ms: Distribution,
    tcp_last_ms: Distribution,
    redis_last_ms: Distribution,
    /// Some kills more, where every proxy answers that it has applied them.
    last_while_acknowledged_ms: Option<Distribution>,
    /// From the commit to the last acknowledgement at the control plane.
    acknowledged_ms: Option<Distribution>,
}

/// All that was measured, in ms.
#[derive(Debug, Default)]
struct Times {
    first: Vec<f64>,
    last: Vec<f64>,
    tcp: Vec<f64>,
    redis: Vec<f64>,
    while_acknowledged: Vec<f64>,
    acknowledged: Vec<f64>,
}

/// Everybody who is told.
struct Stage {
    fleet: Fleet,
    proxies: Helper,
    writer: Helper,
    readers: Helper,
    publisher: Client,
    subscribers: Helper,
    count: usize,
    bytes: usize,
}

/// Kills agents, and in turn with each kill has the same bytes written to as many plain
/// connections, and published to as many subscribers.
pub(super) async fn measure(
    artifacts: &Artifacts,
    redis: &Redis,
    count: usize,
    kills: u32,
) -> Result<Streams> {
    let kills = if count > MANY { kills.min(FEWER) } else { kills };
    eprintln!("{count} simulated proxies, plain connections and subscribers, {kills} kills");
    let mut stage = Stage::start(artifacts, redis, count).await?;
    let mut times = Times::default();
    for number in 0..kills {
        // Each of them comes first in its turn.
        for turn in 0..3 {
            match (number + turn) % 3 {
                0 => stage.kill(number, &mut times).await?,
                1 => times.tcp.push(stage.write(number.into()).await?),
                _ => times.redis.push(stage.publish(number.into()).await?),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    let (fleet, bytes) = stage.leave().await?;
    acknowledged(artifacts, &fleet, count, kills, &mut times).await?;
    fleet.finish().await?;
    Streams::of(count, bytes, &times)
}

impl Stage {
    async fn start(artifacts: &Artifacts, redis: &Redis, count: usize) -> Result<Self> {
        let fleet = control_plane(artifacts).await?;
        let bytes = size_of_a_kill(artifacts, &fleet).await?;
        let (all, long) = (format!("--count={count}"), format!("--bytes={bytes}"));
        let helper = |role: &str, arguments: &[&str]| {
            let words = std::iter::once(role).chain(arguments.iter().copied());
            Helper::start(artifacts, &words.map(str::to_owned).collect::<Vec<_>>(), &[])
        };
        let mut writer = helper("writer", &[&all, &long])?;
        let address = |said| match said {
            Said::Listens { address } => Some(address),
            _ => None,
        };
        let address = writer.wait("the writer to listen", LIMIT, address).await?;
        let address = format!("--address={address}");
        let mut readers = helper("readers", &[&all, &long, &address])?;
        readers.ready().await?;
        let address = format!("--redis={}", redis.address());
        let mut subscribers = helper("subscribers", &[&all, &address])?;
        subscribers.ready().await?;
        let publisher = Client::connect(redis.address()).await?;
        let proxies = Helper::proxies(artifacts, &fleet, &[all]).await?;
        Ok(Self { fleet, proxies, writer, readers, publisher, subscribers, count, bytes })
    }

    /// Leaves the control plane alone, and knows how long messages were.
    async fn leave(self) -> Result<(Fleet, usize)> {
        let Self { fleet, proxies, writer, readers, publisher, subscribers, bytes, .. } = self;
        drop((proxies, writer, readers, publisher, subscribers));
        all_have_left(&fleet).await?;
        Ok((fleet, bytes))
    }

    async fn kill(&mut self, number: u32, times: &mut Times) -> Result<()> {
        let (change, arrived) = kill(&self.fleet, &mut self.proxies, number).await?;
        times.first.push(arrived.first_unix_ms - change.committed_unix_ms);
        times.last.push(arrived.last_unix_ms - change.committed_unix_ms);
        Ok(())
    }

    /// From the first write to the last plain connection that has the message.
    async fn write(&mut self, id: u64) -> Result<f64> {
        self.writer.tell(&id.to_string()).await?;
        let arrived = self.readers.message(id, LIMIT).await?;
        let began = |said| match said {
            Said::Began { id: began, unix_ms } if began == id => Some(unix_ms),
            _ => None,
        };
        let began = self.writer.wait("the writer to have begun", LIMIT, began).await?;
        Ok(arrived.last_unix_ms - began)
    }

    /// From before it is published to the last subscriber that has the message.
    async fn publish(&mut self, id: u64) -> Result<f64> {
        let message = subscribers::message(id, self.bytes);
        let words: [&[u8]; 3] = [b"PUBLISH", subscribers::CHANNEL.as_bytes(), message.as_bytes()];
        let began = unix_ms();
        self.publisher.send(&words).await?;
        let arrived = self.subscribers.message(id, LIMIT).await?;
        match self.publisher.hear().await? {
            Value::Integer(heard) if heard == self.count as i64 => {}
            other => anyhow::bail!("{} subscribe, and Redis said {other:?}", self.count),
        }
        Ok(arrived.last_unix_ms - began)
    }
}

/// Some kills more, where every proxy answers.
async fn acknowledged(
    artifacts: &Artifacts,
    fleet: &Fleet,
    count: usize,
    kills: u32,
    times: &mut Times,
) -> Result<()> {
    let arguments = [format!("--count={count}"), "--acknowledge".to_owned()];
    let mut proxies = Helper::proxies(artifacts, fleet, &arguments).await?;
    for number in 0..kills.min(FEWER) {
        let (change, arrived) = kill(fleet, &mut proxies, kills + number).await?;
        times.while_acknowledged.push(arrived.last_unix_ms - change.committed_unix_ms);
        let acks = fleet.api().acknowledgements(change.revision, LIMIT).await?;
        ensure!(acks.complete && acks.proxies == count, "{} of {count}", acks.proxies);
        let back = acks.acknowledgements.iter().map(|ack| ack.after_ms).fold(0.0, f64::max);
        times.acknowledged.push(back);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

impl Streams {
    fn of(count: usize, bytes: usize, times: &Times) -> Result<Self> {
        let spread = |times: &[f64]| Distribution::of(times).context("nothing was measured");
        let (last, tcp, redis) = (spread(&times.last)?, spread(&times.tcp)?, spread(&times.redis)?);
        let ratio = |kya: f64, other: f64| (kya / other * 100.0).round() / 100.0;
        Ok(Self {
            count,
            kills: times.last.len(),
            bytes,
            p50_ms: last.p50,
            p99_ms: last.p99,
            tcp_p50_ms: tcp.p50,
            tcp_p99_ms: tcp.p99,
            redis_p50_ms: redis.p50,
            redis_p99_ms: redis.p99,
            ratio_p50: ratio(last.p50, tcp.p50),
            ratio_p99: ratio(last.p99, tcp.p99),
            redis_ratio_p50: ratio(last.p50, redis.p50),
            redis_ratio_p99: ratio(last.p99, redis.p99),
            first_ms: spread(&times.first)?,
            last_ms: last,
            tcp_last_ms: tcp,
            redis_last_ms: redis,
            last_while_acknowledged_ms: Distribution::of(&times.while_acknowledged),
            acknowledged_ms: Distribution::of(&times.acknowledged),
        })
    }

    pub(super) fn print(&self) {
        let Self { count, kills, bytes, .. } = self;
        println!("\n{count} simulated proxies, {kills} kills, {bytes} bytes each; ms");
        for (what, spread) in [
            ("first proxy has it", Some(&self.first_ms)),
            ("last proxy has it", Some(&self.last_ms)),
            ("last plain TCP connection", Some(&self.tcp_last_ms)),
            ("last subscriber of Redis", Some(&self.redis_last_ms)),
            ("last proxy, while all acknowledge", self.last_while_acknowledged_ms.as_ref()),
            ("last acknowledgement is back", self.acknowledged_ms.as_ref()),
        ] {
            println!("  {what:<34} {}", line(&spread.cloned()));
        }
        let Self { ratio_p50, ratio_p99, redis_ratio_p50, redis_ratio_p99, .. } = self;
        println!(
            "  kya by plain TCP: p50 {ratio_p50}, p99 {ratio_p99}; by Redis: p50 {redis_ratio_p50}, p99 {redis_ratio_p99}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_is_of_its_own_times() {
        let times = Times {
            first: vec![0.5],
            last: vec![4.0, 6.0],
            tcp: vec![2.0, 3.0],
            redis: vec![8.0],
            ..Times::default()
        };
        let json = serde_json::to_value(Streams::of(100, 190, &times).unwrap()).unwrap();
        for (field, value) in [
            ("p50_ms", 4.0),
            ("p99_ms", 6.0),
            ("tcp_p50_ms", 2.0),
            ("tcp_p99_ms", 3.0),
            ("redis_p50_ms", 8.0),
            ("redis_p99_ms", 8.0),
            ("ratio_p50", 2.0),
            ("ratio_p99", 2.0),
            ("redis_ratio_p50", 0.5),
            ("redis_ratio_p99", 0.75),
        ] {
            assert_eq!(json[field], value, "{field}");
        }
        assert_eq!(json["first_ms"]["p50"], 0.5);
        assert!(json["acknowledged_ms"].is_null());
        assert!(Streams::of(100, 190, &Times { tcp: Vec::new(), ..times }).is_err());
    }
}
