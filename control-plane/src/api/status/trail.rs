//! Where the audit trail ends, and what is not in it yet.

use serde::Serialize;

use super::{Look, problems};
use crate::audit::Lateness;
use crate::store::StoreError;

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

impl TrailStatus {
    pub(super) async fn look(look: &mut Look<'_>) -> Result<Self, StoreError> {
        let api = look.api;
        let Lateness { head, acts, acts_since, unsigned_since } = api.trail.lateness().await?;
        look.problems.extend(acts_since.and_then(problems::acts));
        look.problems.extend(unsigned_since.and_then(problems::checkpoint));
        let signs_here = api.trail.signs_here();
        if !signs_here && !api.store.commits().are_shared() {
            look.problems.push(problems::key());
        }
        let (checkpoint_size, signed) = head.checkpoint;
        Ok(Self {
            origin: head.origin,
            size: head.size,
            checkpoint_size,
            checkpoint_at: (checkpoint_size > 0).then(|| signed.to_rfc3339()),
            acts_waiting: acts,
            signs_here,
        })
    }
}
