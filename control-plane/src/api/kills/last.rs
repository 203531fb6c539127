//! The newest kill, in short.

use std::time::Duration;

use kya_core::KillId;
use serde::Serialize;

use super::is_complete;
use crate::api::Api;
use crate::audit::kills::Standing;
use crate::store::{KillFilter, StoreError};
use crate::time::UnixMicros;

/// Most workers that are named.
const NAMED: usize = 20;

/// The newest kill.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct LastKill {
    pub(in crate::api) kill_id: KillId,
    /// What was done, for example `agent.revoked`.
    act: String,
    subject: String,
    at: String,
    /// Whether it is in the audit trail.
    recorded: bool,
    /// Whether every worker that was there has acknowledged it, nothing is in flight any
    /// more, and the trail says so. Where nobody was there that proves nothing.
    complete: bool,
    /// Whether its receipt says complete: the same, and somebody was there.
    receipt_complete: bool,
    workers_there: usize,
    acknowledged: u64,
    /// From its commit until the last acknowledgement so far was in the trail.
    last_acknowledged_after_ms: Option<f64>,
    /// `proxy/instance` of the first that have not acknowledged it.
    laggards: Vec<String>,
    #[serde(skip)]
    committed: UnixMicros,
}

impl LastKill {
    /// Time since its commit.
    pub(in crate::api) fn age(&self, now: UnixMicros) -> Duration {
        Duration::from_micros(now.0.saturating_sub(self.committed.0))
    }

    /// Whether nobody is missing, as far as is known.
    pub(in crate::api) fn is_acknowledged(&self) -> bool {
        self.recorded && self.laggards.is_empty()
    }
}

/// The newest kill, if there was one.
pub(in crate::api) async fn last(api: &Api) -> Result<Option<LastKill>, StoreError> {
    let found = api.store.kills(KillFilter::default(), None, 1).await?;
    let Some(kill) = found.into_iter().next() else { return Ok(None) };
    let whose = api.trail.kill_whose(&kill).await?;
    let known = api.trail.kill_progress(&kill, &whose).await?;
    let complete = known.as_ref().is_some_and(|(row, progress)| is_complete(row, progress));
    let recorded = known.is_some();
    let progress = known.map(|(_, progress)| progress).unwrap_or_default();
    let committed = kill.committed.at;
    let heard = progress.workers.iter().filter_map(|it| it.worker.applied.as_ref());
    let last = heard.map(|applied| applied.recorded.0.saturating_sub(committed.0)).max();
    Ok(Some(LastKill {
        kill_id: kill.id,
        act: kill.act,
        subject: kill.subject,
        at: committed.to_rfc3339(),
        recorded,
        complete,
        receipt_complete: complete && !progress.workers.is_empty(),
        workers_there: progress.workers.len(),
        acknowledged: progress.acknowledged(),
        last_acknowledged_after_ms: last.map(|after| UnixMicros(after).as_millis_f64()),
        laggards: progress.laggards().take(NAMED).map(Standing::name).collect(),
        committed,
    }))
}
