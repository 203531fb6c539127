//! Workers that are gone without having said so. Each server notes which workers are
//! connected to it; a worker that no server has seen for a while is lost, and a record
//! says from which number on nothing of it is known. The store has it written once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::Trail;
use super::group::{Done, Work};
use super::outbox::Stuck;
use super::writer::NotAppended;
use crate::push::Push;
use crate::store::audit::SourceKey;
use crate::throttle::Throttle;
use crate::time::UnixMicros;

/// How long a worker may be seen by no server before it is lost. Proxies connect again
/// within seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is noted who is there.
pub(super) const BEAT: Duration = Duration::from_secs(10);
/// Workers that are found lost at once, and are appended together.
const AT_ONCE: u32 = 256;
/// How often that is done in one go, at most.
const ROUNDS: u32 = 16;

static WARNINGS: Throttle = Throttle::new(Duration::from_secs(1));

/// Notes who is there and who is not, for ever.
pub(super) async fn watch(trail: Arc<Trail>, push: Arc<Push>, patience: Duration, beat: Duration) {
    // A server that has just begun has seen nobody.
    let settled = tokio::time::Instant::now() + patience;
    let mut beats = interval(beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let now = trail.clock.now();
        if !note(&trail, &push, now).await || tokio::time::Instant::now() < settled {
            continue;
        }
        let patience = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
        let since = UnixMicros(now.0.saturating_sub(patience));
        if let Err(error) = trail.lose_silent(since).await {
            tracing::warn!(%error, "cannot note which workers are gone");
        }
    }
}

impl Trail {
    /// Appends of each worker that nobody has seen since then that it is lost. Another
    /// server may do so at the same time: it is appended once.
    ///
    /// # Errors
    /// When the store cannot be used, or too much waits.
    pub async fn lose_silent(&self, since: UnixMicros) -> Result<(), Stuck> {
        for _ in 0..ROUNDS {
            let silent = self.store.silent(since, AT_ONCE).await?;
            let found = silent.len();
            let mut gone = JoinSet::new();
            for key in silent {
                let (queue, node) = (self.queue.clone(), key.node.clone());
                gone.spawn(async move { (node, queue.append(Work::Silent(key, since)).await) });
            }
            while let Some(lost) = gone.join_next().await {
                let (node, done) = lost.map_err(|_| NotAppended::Unavailable)?;
                if matches!(done?, Done::At(_)) && WARNINGS.passes() {
                    tracing::warn!(node, "a worker is gone, and what it had not reported with it");
                }
            }
            if u32::try_from(found) != Ok(AT_ONCE) {
                break;
            }
        }
        Ok(())
    }
}

impl Trail {
    /// Notes who is connected to this server.
    pub(super) async fn note_who_is_there(&self) {
        if let Some(push) = self.push.get() {
            note(self, push, self.clock.now()).await;
        }
    }
}

/// Returns whether it could be noted: nobody is lost because of a database that is away.
async fn note(trail: &Trail, push: &Push, now: UnixMicros) -> bool {
    let (nodes, _) = push.nodes().list();
    let mut there = Vec::new();
    for node in nodes {
        for (slot, worker) in node.workers {
            let key = SourceKey { node: node.proxy.node_id.clone(), instance: worker.instance };
            there.push((key, slot));
        }
    }
    for some in there.chunks(1000) {
        if let Err(error) = trail.store.seen(some, now).await {
            tracing::warn!(%error, "cannot note which workers are there");
            return false;
        }
    }
    true
}
