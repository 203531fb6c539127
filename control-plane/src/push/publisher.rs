//! The one task that turns committed updates into signed ones, in order, and
//! that says how recently the store was seen to hold nothing newer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kya_core::{Change, MAX_CHANGES, Position, Revision, wire};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::images::Images;
use super::issuer::KnownIssuer;
use super::pulse::Pulse;
use super::ring::Ring;
use super::signing::Signing;
use super::timeline::Timeline;
use crate::keys::SigningKeys;
use crate::rotation::KeyState;
use crate::store::{Store, StoreError, StoredUpdate};
use crate::telemetry::Metrics;
use crate::time::{Clock, UnixMicros};

const BATCH: u32 = 256;

/// Everything that was committed by `began` is published, and is at `position`
/// or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Confirmed {
    /// When the store was asked.
    pub(super) began: Instant,
    /// The same, by the clock.
    pub(super) at: UnixMicros,
    pub(super) position: Position,
}

pub(super) struct Publisher {
    pub(super) store: Arc<dyn Store>,
    pub(super) signing: Signing,
    /// Where the key is that is to sign next.
    pub(super) files: SigningKeys,
    pub(super) ring: Arc<Ring>,
    pub(super) images: Arc<Images>,
    pub(super) issuer: Arc<KnownIssuer>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) confirmed: Arc<watch::Sender<Option<Confirmed>>>,
    pub(super) timeline: Arc<Timeline>,
    pub(super) wake: Arc<Notify>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    /// How often the store is asked without a wake, and a heartbeat sent. Wakes
    /// are what makes a push fast; this is what makes it certain.
    pub(super) heartbeat: Duration,
}

impl Publisher {
    /// Runs until `stop`. A store that fails is asked again; nothing is skipped.
    /// While it fails there are no heartbeats: nobody knows what it holds.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut failing = false;
        let mut commits = self.store.commits();
        let mut ticks = interval(self.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // In this order, so that no number of wakes can keep heartbeats back.
            let ticked = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => true,
                () = self.wake.notified() => false,
                () = commits.next() => false,
            };
            match self.publish_committed().await {
                Ok(confirmed) => {
                    failing = false;
                    self.confirmed.send_replace(Some(confirmed));
                    if ticked {
                        self.pulse.beat(confirmed);
                    }
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "cannot publish what is committed; trying again");
                }
                Err(_) => {}
            }
        }
    }

    /// Publishes everything that is committed and was not published yet.
    async fn publish_committed(&self) -> Result<Confirmed, StoreError> {
        loop {
            self.issuer.find(&*self.store).await?;
            let (began, at) = (Instant::now(), self.clock.now());
            let updates = self.store.updates_after(self.ring.newest().revision, BATCH).await?;
            let position = self.ring.newest();
            let epoch = match updates.first() {
                Some(update) => update.committed.position.epoch,
                None => {
                    let head = self.store.head().await?.position;
                    if head.epoch == position.epoch && head >= position {
                        return Ok(Confirmed { began, at, position });
                    }
                    head.epoch
                }
            };
            if epoch != position.epoch {
                self.begin_again(position, epoch).await?;
                continue;
            }
            for update in updates {
                if update.committed.position.epoch != epoch {
                    break;
                }
                if update.delta.changes.is_empty() {
                    self.follow_keys(update.committed.position.revision).await?;
                }
                if update.delta.changes.iter().any(is_of_the_issuer) {
                    self.issuer.note(self.store.issuer().await?);
                }
                self.publish(update)?;
            }
        }
    }

    /// Follows whoever has begun a new epoch: what was published until now may not
    /// be what the store holds, so everything is read again. The streams of the epoch
    /// before end, and their proxies connect again for a manifest.
    async fn begin_again(&self, published: Position, epoch: u64) -> Result<(), StoreError> {
        if epoch < published.epoch {
            return Err(StoreError::Corrupt(format!(
                "it is of epoch {epoch}, and epoch {} was published: there may be two databases, or it was put back from a backup under this server",
                published.epoch
            )));
        }
        tracing::warn!(epoch, "a new epoch has begun; every proxy gets a manifest");
        let steps = self.store.key_steps_after(Revision(0)).await?;
        let mine = self.signing.public_key();
        let first = match steps.first() {
            Some(step) => step.change.active,
            None => self.store.first_key(Some(mine)).await?.unwrap_or(mine),
        };
        let keys = KeyState::new(first, steps)?;
        let signer = self.files.find(keys.active).map_err(|e| StoreError::Keys(e.into()))?;
        let (signing, ring) = (self.signing.clone(), Arc::clone(&self.ring));
        let metrics = Arc::clone(&self.metrics);
        let begin = move |position: Position| {
            signing.begin_again(Arc::new(signer), keys.chain.clone(), keys.revision());
            ring.begin_again(position);
            metrics.published(position.revision);
        };
        self.issuer.lose();
        self.images.reload(&*self.store, self.clock.now(), begin).await
    }

    /// A step with the keys changes nothing else. It is taken before its revision
    /// is published, which therefore comes after it on every stream.
    async fn follow_keys(&self, revision: Revision) -> Result<(), StoreError> {
        for step in self.store.key_steps_after(self.signing.followed()).await? {
            if step.committed.position.revision > revision {
                break;
            }
            let find = |key| self.files.find(key).map_err(|error| StoreError::Keys(error.into()));
            self.signing.follow(&step, find)?;
        }
        Ok(())
    }

    fn publish(&self, update: StoredUpdate) -> Result<(), StoreError> {
        let position = update.committed.position;
        let expected = self.ring.newest().revision.next();
        if position.revision != expected {
            // A stream with a gap would be worse than one that stands still,
            // which its readers notice.
            return Err(StoreError::Corrupt(format!(
                "revision {expected} is missing: the next one is {}",
                position.revision
            )));
        }
        let changes = &update.delta.changes;
        if changes.len() > MAX_CHANGES || Change::all_from_wire(changes).is_none() {
            // Every proxy would refuse it.
            return Err(StoreError::Corrupt(format!("revision {expected} is not of the protocol")));
        }
        let committed = update.committed;
        let signed = self.signing.delta(position, committed.at.millis(), update.delta.clone());
        // Whoever made the change notes its commit a moment earlier; this is
        // for changes that another process made.
        self.timeline.note(committed, (Instant::now(), self.clock.now()));
        self.metrics.published(position.revision);
        self.images.note(update, || self.ring.append(position, signed));
        Ok(())
    }
}

fn is_of_the_issuer(change: &wire::Change) -> bool {
    matches!(change.change, Some(wire::change::Change::Issuer(_)))
}
