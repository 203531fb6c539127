//! What is not in the trail yet, or not signed: how much, and since when.

use std::sync::Arc;
use std::time::Duration;

use kya_core::audit::Timestamp;
use serde::Deserialize;
use tokio::time::sleep;

use super::Trail;
use crate::store::StoreError;
use crate::store::audit::TrailHead;
use crate::time::UnixMicros;

/// How often it is looked for the metrics.
const LOOK: Duration = Duration::from_secs(2);

/// Looks for the metrics how far it is behind, for ever.
pub(super) async fn follow(trail: Arc<Trail>) {
    loop {
        if let Err(error) = trail.note_lateness().await {
            tracing::debug!(%error, "cannot look how far the audit trail is");
        }
        sleep(LOOK).await;
    }
}

/// How far the trail is behind what has happened.
#[derive(Debug, Clone)]
pub(crate) struct Lateness {
    /// Where it ends.
    pub(crate) head: TrailHead,
    /// Acts of operators that are committed and not in it.
    pub(crate) acts: u64,
    /// Age of the oldest of these.
    pub(crate) acts_since: Option<Duration>,
    /// For how long there has been a record that no checkpoint is of.
    pub(crate) unsigned_since: Option<Duration>,
}

/// What is read of a record.
#[derive(Deserialize)]
struct Recorded {
    recorded: Timestamp,
}

impl Trail {
    /// Looks, in both stores.
    pub(crate) async fn lateness(&self) -> Result<Lateness, StoreError> {
        let head = self.store.head().await?;
        let newest = self.registry.newest_event().await?;
        let waiting = self.registry.events_after(head.event.sequence, 1).await?;
        let now = self.clock.now();
        let since = |then: UnixMicros| Duration::from_micros(now.0.saturating_sub(then.0));
        let acts_since = waiting.first().map(|event| since(event.committed.at));
        let unsigned_since = self.unsigned_since(&head).await?.map(since);
        let acts = newest.saturating_sub(head.event.sequence);
        Ok(Lateness { head, acts, acts_since, unsigned_since })
    }

    /// When the first record was appended that no checkpoint is of.
    async fn unsigned_since(&self, head: &TrailHead) -> Result<Option<UnixMicros>, StoreError> {
        let (signed, _) = head.checkpoint;
        if head.size <= signed {
            return Ok(None);
        }
        let Some(line) = self.store.line(signed.saturating_add(1)).await? else {
            return Ok(None);
        };
        let wrong = |error| StoreError::Corrupt(format!("record {}: {error}", line.seq));
        let Recorded { recorded } = serde_json::from_str(&line.record).map_err(wrong)?;
        Ok(Some(UnixMicros(recorded.0)))
    }

    async fn note_lateness(&self) -> Result<(), StoreError> {
        let found = self.lateness().await?;
        let (size, at) = found.head.checkpoint;
        let checkpoint = (size > 0).then_some(at);
        self.metrics.audit.signed(checkpoint, found.unsigned_since.unwrap_or_default());
        self.metrics.audit.acts(found.acts, found.acts_since.unwrap_or_default());
        Ok(())
    }
}
