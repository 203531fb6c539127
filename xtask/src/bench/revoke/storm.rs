//! A control plane that is gone and comes back, and the proxies that all come back to it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kya_envoy::{Artifacts, Fleet, unix_ms};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::bench::alone::{LIMIT, PAUSE, control_plane};
use crate::bench::helper::Helper;
use crate::distribution::{Distribution, line};
use crate::simulate::Said;

/// How long it is gone before it is started again: not at all, and until the waits of the
/// proxies do not grow any more.
const GONE: [Duration; 2] = [Duration::ZERO, Duration::from_secs(5)];
/// How often it is killed and started again, for each of these.
const ROUNDS: u32 = 3;
/// A stream has lasted by then, so that the next is opened soon after its end.
const SETTLED: Duration = Duration::from_millis(2500);
/// Between two attempts to find out whether it listens.
const KNOCK_EVERY: Duration = Duration::from_millis(1);

/// Proxies that come back.
#[derive(Debug, Serialize)]
pub(super) struct Storm {
    streams: usize,
    outages: Vec<Outage>,
}

/// Several times that it was gone for as long.
#[derive(Debug, Serialize)]
struct Outage {
    /// After how long it was started again.
    gone_ms: u64,
    rounds: usize,
    /// From the kill of its process until it listened again.
    down_ms: Distribution,
    /// From then to the first and to the last stream that has a state.
    first_back_ms: Distribution,
    last_back_ms: Distribution,
    /// From the commit of a kill that was made at once to the last stream that has it.
    kill_last_ms: Distribution,
    /// That commit, after it listened again.
    kill_after_ms: Distribution,
}

#[derive(Debug, Default)]
struct Times {
    down: Vec<f64>,
    first_back: Vec<f64>,
    last_back: Vec<f64>,
    kill_last: Vec<f64>,
    kill_after: Vec<f64>,
}

pub(super) async fn measure(artifacts: &Artifacts, streams: usize) -> Result<Storm> {
    eprintln!("{streams} streams lose their control plane");
    let mut fleet = control_plane(artifacts).await?;
    let arguments = [format!("--count={streams}"), "--reconnect".to_owned()];
    let mut proxies = Helper::proxies(artifacts, &fleet, &arguments).await?;
    let (mut outages, mut number) = (Vec::new(), 0);
    for gone in GONE {
        let mut times = Times::default();
        for _ in 0..ROUNDS {
            sleep(SETTLED).await;
            number += 1;
            fleet = outage(fleet, &mut proxies, gone, number, &mut times).await?;
        }
        outages.push(Outage::of(gone, &times)?);
    }
    drop(proxies);
    fleet.finish().await?;
    Ok(Storm { streams, outages })
}

/// Kills the control plane, starts it again, and has it kill somebody at once.
async fn outage(
    fleet: Fleet,
    proxies: &mut Helper,
    gone: Duration,
    number: u32,
    times: &mut Times,
) -> Result<Fleet> {
    let agent = fleet.api().register_agent(&format!("bench-{number}")).await?;
    proxies.delta(agent.revision, LIMIT).await?;
    sleep(PAUSE).await;
    let died = unix_ms();
    let headless = fleet.crash_control_plane()?;
    sleep(gone).await;
    let listens = tokio::spawn(listens(headless.control_plane.grpc()));
    let fleet = headless.recover().await?;
    let change = fleet.api().revoke_agent(&agent.agent_id, "bench").await?;
    let listened = listens.await??;
    // Either may be said first.
    let (mut state, mut kill) = (None, None);
    let both = |said| {
        match said {
            Said::State(arrived) => state = Some(arrived),
            Said::Delta(arrived) if arrived.id == change.revision => kill = Some(arrived),
            _ => {}
        }
        state.zip(kill)
    };
    let (state, kill) = proxies.wait("every stream to be back, with the kill", LIMIT, both).await?;
    times.down.push(listened - died);
    times.first_back.push(state.first_unix_ms - listened);
    times.last_back.push(state.last_unix_ms - listened);
    times.kill_last.push(kill.last_unix_ms - change.committed_unix_ms);
    times.kill_after.push(change.committed_unix_ms - listened);
    Ok(fleet)
}

/// When a connection to it can be made, in milliseconds since 1970.
async fn listens(address: SocketAddr) -> Result<f64> {
    let knock = async {
        while TcpStream::connect(address).await.is_err() {
            sleep(KNOCK_EVERY).await;
        }
        unix_ms()
    };
    timeout(LIMIT, knock).await.context("the control plane does not listen again")
}

impl Outage {
    fn of(gone: Duration, times: &Times) -> Result<Self> {
        let spread = |times: &[f64]| Distribution::of(times).context("nothing was measured");
        Ok(Self {
            gone_ms: u64::try_from(gone.as_millis())?,
            rounds: times.down.len(),
            down_ms: spread(&times.down)?,
            first_back_ms: spread(&times.first_back)?,
            last_back_ms: spread(&times.last_back)?,
            kill_last_ms: spread(&times.kill_last)?,
            kill_after_ms: spread(&times.kill_after)?,
        })
    }
}

impl Storm {
    pub(super) fn print(&self) {
        for outage in &self.outages {
            let Outage { gone_ms, rounds, .. } = outage;
            println!(
                "\n{} streams whose control plane is killed and, {gone_ms} ms later, started again, {rounds} times; ms",
                self.streams
            );
            for (what, spread) in [
                ("down, until it listens again", &outage.down_ms),
                ("first stream is back, after that", &outage.first_back_ms),
                ("last stream is back, after that", &outage.last_back_ms),
                ("a kill is committed, after that", &outage.kill_after_ms),
                ("last stream has it, after its commit", &outage.kill_last_ms),
            ] {
                println!("  {what:<38} {}", line(&Some(spread.clone())));
            }
        }
    }
}
