//! Where the audit trail ends, and what is not in it yet.

use std::time::Duration;

use kya_core::audit::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Look, problems};
use crate::store::StoreError;
use crate::store::audit::TrailHead;
use crate::time::UnixMicros;

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditStatus")]
pub(super) struct TrailStatus {
    origin: String,
    /// Number of the last record.
    size: u64,
    /// Records that the newest checkpoint is of.
    checkpoint_size: u64,
    /// When that was signed; `None` if none was.
    checkpoint_at: Option<String>,
    /// Acts of operators that are not in the trail yet.
    acts_waiting: u64,
    /// Whether the key that signs checkpoints is at this server.
    signs_here: bool,
}

/// What is read of a record.
#[derive(Deserialize)]
struct Recorded {
    recorded: Timestamp,
}

impl TrailStatus {
    pub(super) async fn look(look: &mut Look<'_>) -> Result<Self, StoreError> {
        let (api, now) = (look.api, look.now);
        let head = api.trail.store().head().await?;
        let newest = api.store.newest_event().await?;
        let waiting = api.store.events_after(head.event.sequence, 1).await?;
        if let Some(event) = waiting.first() {
            look.problems.extend(problems::acts(since(event.committed.at, now)));
        }
        let signs_here = api.trail.signs_here();
        let unsigned = unsigned_since(look, &head).await?.map(|at| since(at, now));
        look.problems.extend(unsigned.and_then(problems::checkpoint));
        if !signs_here && !api.store.commits().are_shared() {
            look.problems.push(problems::key());
        }
        let (checkpoint_size, signed) = head.checkpoint;
        Ok(Self {
            origin: head.origin,
            size: head.size,
            checkpoint_size,
            checkpoint_at: (checkpoint_size > 0).then(|| signed.to_rfc3339()),
            acts_waiting: newest.saturating_sub(head.event.sequence),
            signs_here,
        })
    }
}

/// When the first record was appended that no checkpoint is of.
async fn unsigned_since(
    look: &Look<'_>,
    head: &TrailHead,
) -> Result<Option<UnixMicros>, StoreError> {
    let (signed, _) = head.checkpoint;
    if head.size <= signed {
        return Ok(None);
    }
    let Some(line) = look.api.trail.store().line(signed.saturating_add(1)).await? else {
        return Ok(None);
    };
    let wrong = |error| StoreError::Corrupt(format!("record {}: {error}", line.seq));
    let Recorded { recorded } = serde_json::from_str(&line.record).map_err(wrong)?;
    Ok(Some(UnixMicros(recorded.0)))
}

fn since(then: UnixMicros, now: UnixMicros) -> Duration {
    Duration::from_micros(now.0.saturating_sub(then.0))
}
