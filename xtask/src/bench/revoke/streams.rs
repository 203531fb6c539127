//! The control plane alone, with simulated proxies: how long the last of many waits,
//! beside plain TCP, and what a stream costs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kya_envoy::{Artifacts, Change, Fleet, FleetOptions};
use serde::Serialize;

use crate::bench::helper::Helper;
use crate::bench::process;
use crate::distribution::{Distribution, line};
use crate::simulate::Said;

/// How long one delta or message may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two things that are measured, so that none is in the way of the next.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the streams are held before memory is read: manifests are gone then,
/// and every stream has heard several heartbeats.
const HELD: Duration = Duration::from_secs(15);
/// Kills while they are held.
const HELD_KILLS: u32 = 20;

/// The last of many streams, beside the last of as many plain connections.
#[derive(Debug, Serialize)]
pub(super) struct Streams {
    count: usize,
    kills: usize,
    /// Of each message, with the framing of gRPC and HTTP/2.
    bytes: usize,
    /// From the commit to the first and to the last stream that has it.
    first_ms: Option<Distribution>,
    last_ms: Option<Distribution>,
    /// The same, where every proxy answers that it has applied it.
    last_while_acknowledged_ms: Option<Distribution>,
    /// From the commit to the last acknowledgement at the control plane.
    acknowledged_ms: Option<Distribution>,
    /// From the first write to the last plain connection that has as many bytes.
    plain_last_ms: Option<Distribution>,
    /// `last_ms` by `plain_last_ms`.
    ratio_p50: f64,
    ratio_p99: f64,
}

/// Streams that are held open.
#[derive(Debug, Serialize)]
pub(super) struct Held {
    count: usize,
    seconds: u64,
    /// Memory of the control plane without any, and with all.
    rss_empty_bytes: u64,
    rss_bytes: u64,
    bytes_per_stream: f64,
    kills: usize,
    /// From the commit to the last stream that has it.
    last_ms: Option<Distribution>,
}

/// Kills agents, and after each kill has the same bytes written to as many plain
/// connections.
pub(super) async fn measure(artifacts: &Artifacts, count: usize, kills: u32) -> Result<Streams> {
    eprintln!("{count} simulated proxies, and {count} plain connections");
    let fleet = control_plane(artifacts).await?;
    let bytes = size_of_a_kill(artifacts, &fleet).await?;

    let both = [format!("--count={count}"), format!("--bytes={bytes}")];
    let writer = [&["writer".to_owned()][..], &both].concat();
    let mut writer = Helper::start(artifacts, &writer, &[])?;
    let address = |said| match said {
        Said::Listens { address } => Some(address),
        _ => None,
    };
    let plain = format!("--plain={}", writer.wait("the writer to listen", LIMIT, address).await?);
    let mut proxies = Helper::proxies(artifacts, &fleet, &[&both[..], &[plain]].concat()).await?;
    let (mut first, mut last, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..kills {
        let (change, arrived) = kill(&fleet, &mut proxies, number).await?;
        first.push(arrived.first_unix_ms - change.committed_unix_ms);
        last.push(arrived.last_unix_ms - change.committed_unix_ms);
        tokio::time::sleep(PAUSE).await;

        let id = u64::from(number);
        writer.tell(&id.to_string()).await?;
        let arrived = |said| match said {
            Said::Plain(arrived) if arrived.id == id => Some(arrived),
            _ => None,
        };
        let arrived = proxies.wait("the plain message everywhere", LIMIT, arrived).await?;
        let began = |said| match said {
            Said::Began { id: began, unix_ms } if began == id => Some(unix_ms),
            _ => None,
        };
        let began = writer.wait("the writer to have begun", LIMIT, began).await?;
        plain.push(arrived.last_unix_ms - began);
        tokio::time::sleep(PAUSE).await;
    }
    drop((proxies, writer));

    let arguments = [format!("--count={count}"), "--acknowledge".to_owned()];
    let mut proxies = Helper::proxies(artifacts, &fleet, &arguments).await?;
    let (mut busy, mut acknowledged) = (Vec::new(), Vec::new());
    for number in 0..kills {
        let (change, arrived) = kill(&fleet, &mut proxies, kills + number).await?;
        busy.push(arrived.last_unix_ms - change.committed_unix_ms);
        let acks = fleet.api().acknowledgements(change.revision, LIMIT).await?;
        ensure!(acks.complete && acks.proxies == count, "{} of {count}", acks.proxies);
        acknowledged.push(acks.acknowledgements.iter().map(|ack| ack.after_ms).fold(0.0, f64::max));
        tokio::time::sleep(PAUSE).await;
    }
    drop(proxies);
    fleet.finish().await?;

    let (last_ms, plain_last_ms) = (Distribution::of(&last), Distribution::of(&plain));
    let ratio = |of: fn(&Distribution) -> f64| match (&last_ms, &plain_last_ms) {
        (Some(kya), Some(plain)) => (of(kya) / of(plain) * 100.0).round() / 100.0,
        _ => f64::NAN,
    };
    Ok(Streams {
        count,
        kills: last.len(),
        bytes,
        first_ms: Distribution::of(&first),
        ratio_p50: ratio(|spread| spread.p50),
        ratio_p99: ratio(|spread| spread.p99),
        last_ms,
        last_while_acknowledged_ms: Distribution::of(&busy),
        acknowledged_ms: Distribution::of(&acknowledged),
        plain_last_ms,
    })
}

/// Holds so many streams open.
pub(super) async fn hold(artifacts: &Artifacts, count: usize) -> Result<Held> {
    eprintln!("{count} streams that are held");
    let fleet = control_plane(artifacts).await?;
    let memory = || process::memory(fleet.control_plane.pid());
    // What the first connection costs once is not counted as that of a stream.
    drop(Helper::proxies(artifacts, &fleet, &["--count=1".to_owned()]).await?);
    let empty = memory()?.resident;
    let mut proxies = Helper::proxies(artifacts, &fleet, &[format!("--count={count}")]).await?;
    tokio::time::sleep(HELD).await;
    let connected = fleet.api().nodes().await?.nodes.len();
    ensure!(connected == count, "{connected} of {count} are connected");
    let resident = memory()?.resident;
    let mut last = Vec::new();
    for number in 0..HELD_KILLS {
        let (change, arrived) = kill(&fleet, &mut proxies, number).await?;
        last.push(arrived.last_unix_ms - change.committed_unix_ms);
        tokio::time::sleep(PAUSE).await;
    }
    drop(proxies);
    fleet.finish().await?;
    let each = resident.saturating_sub(empty) as f64 / count as f64;
    Ok(Held {
        count,
        seconds: HELD.as_secs(),
        rss_empty_bytes: empty,
        rss_bytes: resident,
        bytes_per_stream: each.round(),
        kills: last.len(),
        last_ms: Distribution::of(&last),
    })
}

async fn control_plane(artifacts: &Artifacts) -> Result<Fleet> {
    let alone = FleetOptions { sidecars: 0, ..FleetOptions::default() };
    Fleet::start(artifacts, &alone).await
}

/// How many bytes the delta of a kill is on the wire.
async fn size_of_a_kill(artifacts: &Artifacts, fleet: &Fleet) -> Result<usize> {
    let mut one = Helper::proxies(artifacts, fleet, &["--count=1".to_owned()]).await?;
    Ok(kill(fleet, &mut one, 0).await.context("a first kill")?.1.bytes)
}

/// Revokes a new agent, and waits until every stream has heard it.
async fn kill(
    fleet: &Fleet,
    proxies: &mut Helper,
    number: u32,
) -> Result<(Change, crate::simulate::Arrived)> {
    let agent = fleet.api().register_agent(&format!("bench-{number}")).await?;
    proxies.delta(agent.revision, LIMIT).await?;
    tokio::time::sleep(PAUSE).await;
    let change = fleet.api().revoke_agent(&agent.agent_id, "bench").await?;
    let arrived = proxies.delta(change.revision, LIMIT).await?;
    Ok((change, arrived))
}

impl Streams {
    pub(super) fn print(&self) {
        let Self { count, kills, bytes, ratio_p50, ratio_p99, .. } = self;
        println!(
            "\n{kills} kills, {count} simulated proxies, {bytes} bytes each; ms after the commit"
        );
        println!("\nfirst proxy has it\n  {}", line(&self.first_ms));
        println!("\nlast proxy has it\n  {}", line(&self.last_ms));
        println!("\nthe same while all acknowledge\n  {}", line(&self.last_while_acknowledged_ms));
        println!("\nlast acknowledgement was back\n  {}", line(&self.acknowledged_ms));
        println!(
            "\nlast of {count} plain TCP connections has as many bytes, after the first write"
        );
        println!("  {}", line(&self.plain_last_ms));
        println!("\nkya by plain TCP: p50 {ratio_p50}, p99 {ratio_p99}");
    }
}

impl Held {
    pub(super) fn print(&self) {
        let Self { count, seconds, bytes_per_stream, kills, .. } = self;
        println!("\n{count} streams held for {seconds} s: {bytes_per_stream} bytes each");
        println!("\n{kills} kills; last proxy has it, ms after the commit");
        println!("  {}", line(&self.last_ms));
    }
}
