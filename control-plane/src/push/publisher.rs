//! The one task that turns committed updates into signed ones, in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kya_core::{Signer, sign_update, wire};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::ring::Ring;
use super::timeline::Timeline;
use crate::store::{Store, StoreError, StoredUpdate};
use crate::telemetry::Metrics;
use crate::time::Clock;

/// How often the store is asked without a wake. Wakes are what makes a push
/// fast; this is what makes it certain.
const SAFETY_POLL: Duration = Duration::from_secs(1);
const BATCH: u32 = 256;

pub(super) struct Publisher {
    pub(super) store: Arc<dyn Store>,
    pub(super) signer: Arc<Signer>,
    pub(super) ring: Arc<Ring>,
    pub(super) timeline: Arc<Timeline>,
    pub(super) wake: Arc<Notify>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Publisher {
    /// Runs until `stop`. A store that fails is asked again; nothing is skipped.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut failing = false;
        loop {
            match self.publish_committed().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "cannot read committed updates; trying again");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(SAFETY_POLL) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Publishes everything that is committed and was not published yet.
    async fn publish_committed(&self) -> Result<(), StoreError> {
        loop {
            let updates = self.store.updates_after(self.ring.newest().revision, BATCH).await?;
            if updates.is_empty() {
                return Ok(());
            }
            for update in updates {
                self.publish(update)?;
            }
        }
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
        let signed = sign_update(
            &self.signer,
            &wire::Update {
                epoch: position.epoch,
                revision: position.revision.0,
                unix_millis: update.committed.at.millis().0,
                body: Some(wire::update::Body::Delta(update.delta)),
            },
        );
        // Whoever made the change notes its commit a moment earlier; this is
        // for changes that another process made.
        self.timeline.note(update.committed, (Instant::now(), self.clock.now()));
        self.metrics.published(position.revision);
        self.ring.append(position, signed);
        Ok(())
    }
}
