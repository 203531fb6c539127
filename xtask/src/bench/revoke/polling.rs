//! What the last sidecar waits for where a list in Redis is polled in the place of a push.

use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::{Artifacts, unix_ms};
use serde::Serialize;

use crate::bench::alone::LIMIT;
use crate::bench::helper::Helper;
use crate::distribution::{Distribution, line};
use crate::redis::Redis;
use crate::resp::{Client, Value};
use crate::simulate::{Said, chance, pollers};

/// Times between two questions, of the sidecars that ask often and of those that do not.
const PERIODS_MS: [u64; 2] = [1000, 10_000];
/// Agents are denied at any time within so long.
const SPREAD: Duration = Duration::from_secs(1);

/// A list that is polled every second, and one every ten seconds.
#[derive(Debug, Serialize)]
pub(super) struct Polling {
    #[serde(rename = "1s")]
    every_second: Polled,
    #[serde(rename = "10s")]
    every_ten_seconds: Polled,
}

/// From the `SET` to the last sidecar that knows.
#[derive(Debug, Serialize)]
struct Polled {
    sidecars: u16,
    kills: usize,
    p50_ms: f64,
    p99_ms: f64,
    last_ms: Distribution,
}

/// Denies agents, each of which both kinds of sidecars come to know of.
pub(super) async fn measure(
    artifacts: &Artifacts,
    redis: &Redis,
    sidecars: u16,
    kills: u32,
) -> Result<Polling> {
    eprintln!("{kills} kills by a list that {sidecars} sidecars poll, and {sidecars} less often");
    let start = |every: u64| {
        let arguments = [
            "pollers".to_owned(),
            format!("--redis={}", redis.address()),
            format!("--count={sidecars}"),
            format!("--every-ms={every}"),
        ];
        Helper::start(artifacts, &arguments, &[])
    };
    let [often, seldom] = PERIODS_MS;
    let (mut often, mut seldom) = (start(often)?, start(seldom)?);
    often.ready().await?;
    seldom.ready().await?;
    let mut list = Client::connect(redis.address()).await?;
    let (mut soon, mut late) = (Vec::new(), Vec::new());
    for id in 1..=u64::from(kills) {
        for pollers in [&mut often, &mut seldom] {
            pollers.tell(&id.to_string()).await?;
            let asking = |said| matches!(said, Said::Asking { id: of } if of == id).then_some(());
            pollers.wait("the sidecars to ask", LIMIT, asking).await?;
        }
        tokio::time::sleep(chance::below(SPREAD)).await;
        let began = unix_ms();
        let answer = list.ask(&[b"SET", pollers::key(id).as_bytes(), b"revoked"]).await?;
        ensure!(answer == Value::Simple("OK".to_owned()), "Redis said {answer:?}");
        soon.push(often.message(id, LIMIT).await?.last_unix_ms - began);
        late.push(seldom.message(id, LIMIT).await?.last_unix_ms - began);
    }
    Ok(Polling {
        every_second: Polled::of(sidecars, &soon)?,
        every_ten_seconds: Polled::of(sidecars, &late)?,
    })
}

impl Polled {
    fn of(sidecars: u16, times: &[f64]) -> Result<Self> {
        let Some(last_ms) = Distribution::of(times) else {
            anyhow::bail!("nobody was denied");
        };
        let (p50_ms, p99_ms) = (last_ms.p50, last_ms.p99);
        Ok(Self { sidecars, kills: times.len(), p50_ms, p99_ms, last_ms })
    }
}

impl Polling {
    pub(super) fn print(&self) {
        for (every, polled) in [("1 s", &self.every_second), ("10 s", &self.every_ten_seconds)] {
            let Polled { sidecars, kills, last_ms, .. } = polled;
            println!(
                "\n{sidecars} sidecars that poll a list in Redis every {every}, {kills} kills; ms"
            );
            println!("  {:<34} {}", "last sidecar knows", line(&Some(last_ms.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_periods_are_the_names_of_the_fields() {
        let polled = |times: &[f64]| Polled::of(100, times).unwrap();
        let polling =
            Polling { every_second: polled(&[900.0]), every_ten_seconds: polled(&[8.0, 9.0]) };
        let json = serde_json::to_value(polling).unwrap();
        assert_eq!(json["1s"]["p99_ms"], 900.0);
        assert_eq!(json["10s"]["p50_ms"], 8.0);
        assert_eq!(json["10s"]["kills"], 2);
        assert!(Polled::of(100, &[]).is_err());
    }
}
