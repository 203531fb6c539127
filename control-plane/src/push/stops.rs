//! How long it takes until everybody has heard of a stop: what the metrics say of that.
//!
//! Nobody waits for this. It looks now and then, and takes the times that were noted when
//! each report arrived, so that how often it looks changes no figure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kya_core::Revision;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Limits;
use super::nodes::{Nodes, Transport};
use super::timeline::Timeline;
use crate::store::{Committed, KillFilter, Store};
use crate::telemetry::Metrics;

/// How often it is looked while a stop is not acknowledged.
const LOOK: Duration = Duration::from_millis(100);
/// How long proxies on streams may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Stops that are followed at the same time; the oldest make room.
const FOLLOWED: usize = 256;
/// Kills that are read at once.
const PAGE: u32 = 256;

/// Follows stops until they are acknowledged.
pub(super) struct Stops {
    pub(super) store: Arc<dyn Store>,
    pub(super) nodes: Arc<Nodes>,
    pub(super) timeline: Arc<Timeline>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) published: watch::Receiver<kya_core::Position>,
    pub(super) limits: Limits,
}

/// A stop that somebody may not have acknowledged.
#[derive(Debug, Clone, Copy)]
struct Open {
    committed: Committed,
    found: Instant,
}

/// How far a stop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Nobody is connected.
    NoOne,
    /// Somebody has not acknowledged it, and this is whether one of those pulls.
    NotBy { pulling: bool },
    /// All have, the last after this time.
    ByAll(Duration),
}

impl Stops {
    /// For ever.
    pub(super) async fn run(mut self) {
        let mut open = VecDeque::new();
        let mut known = self.published.borrow_and_update().revision;
        loop {
            let is_idle = open.is_empty() && self.published.borrow_and_update().revision == known;
            if is_idle && self.published.changed().await.is_err() {
                return;
            }
            sleep(LOOK).await;
            let newest = self.published.borrow_and_update().revision;
            if newest != known {
                match self.find(known).await {
                    Ok(found) => {
                        open.extend(found);
                        known = newest;
                    }
                    // It is in the metrics of the database, and is looked for again.
                    Err(error) => tracing::debug!(%error, "cannot look for stops"),
                }
            }
            while open.len() > FOLLOWED {
                open.pop_front();
            }
            open.retain(|stop| !self.is_over(stop));
        }
    }

    /// The stops after this revision, the first first.
    async fn find(&self, after: Revision) -> Result<Vec<Open>, crate::store::StoreError> {
        let found = Instant::now();
        let kills = self.store.kills(KillFilter::default(), None, PAGE).await?;
        let new = kills.iter().rev().map(|kill| kill.committed);
        let new = new.filter(|committed| committed.position.revision > after);
        Ok(new.map(|committed| Open { committed, found }).collect())
    }

    /// Whether no more is to be found out; then it is counted.
    fn is_over(&self, stop: &Open) -> bool {
        let waited = stop.found.elapsed();
        match self.heard(stop.committed) {
            Heard::ByAll(after) => {
                self.metrics.kills.stop_acknowledged(after);
                true
            }
            // They may be on their way back.
            Heard::NoOne => waited > PATIENCE,
            Heard::NotBy { pulling } => {
                let pulls = self.limits.pull_patience.saturating_mul(2);
                let over = waited > if pulling { pulls.max(PATIENCE) } else { PATIENCE };
                if over {
                    self.metrics.kills.stop_unacknowledged();
                }
                over
            }
        }
    }

    fn heard(&self, committed: Committed) -> Heard {
        self.nodes.inspect(|nodes, _| {
            let (mut last, mut missing, mut pulling) = (None, false, false);
            for node in nodes {
                let of_node = node.workers.values().map(|it| it.acknowledged(committed.position));
                let of_node: Option<Vec<_>> = of_node.collect();
                match of_node.filter(|all| !all.is_empty()) {
                    Some(all) => {
                        let latest = all.into_iter().map(|applied| applied.arrived).max();
                        last = last.max(latest);
                    }
                    None => {
                        missing = true;
                        pulling |= node.proxy.transport == Transport::Pull;
                    }
                }
            }
            match last {
                _ if missing => Heard::NotBy { pulling },
                Some(arrived) => Heard::ByAll(self.timeline.since(committed, arrived)),
                None => Heard::NoOne,
            }
        })
    }
}
