//! Streams that are held open, and what each costs the control plane.

use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::Artifacts;
use serde::Serialize;

use super::alone::{control_plane, time_of_a_kill};
use super::helper::Helper;
use super::process;
use crate::distribution::{Distribution, line};

/// How long the streams are held before memory is read: manifests are gone then,
/// and every stream has heard several heartbeats.
const HELD: Duration = Duration::from_secs(15);

/// Streams that are held open.
#[derive(Debug, Serialize)]
pub(in crate::bench) struct Held {
    count: usize,
    seconds: u64,
    /// Memory of the control plane without any, and with all.
    rss_empty_bytes: u64,
    rss_bytes: u64,
    pub(in crate::bench) bytes_per_stream: f64,
    kills: usize,
    /// From the commit to the last stream that has it.
    last_ms: Option<Distribution>,
}

/// Holds so many streams open, and kills some agents meanwhile.
pub(in crate::bench) async fn hold(
    artifacts: &Artifacts,
    count: usize,
    kills: u32,
) -> Result<Held> {
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
    for number in 0..kills {
        last.push(time_of_a_kill(&fleet, &mut proxies, number).await?);
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

impl Held {
    pub(in crate::bench) fn print(&self) {
        let Self { count, seconds, bytes_per_stream, kills, .. } = self;
        println!("\n{count} streams held for {seconds} s: {bytes_per_stream} bytes each");
        println!("\n{kills} kills; last proxy has it, ms after the commit");
        println!("  {}", line(&self.last_ms));
    }
}
