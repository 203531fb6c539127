//! The newest kill, in short.

use std::time::Duration;

use kya_core::{AgentId, KillId};
use serde::Serialize;

use super::is_complete;
use crate::api::Api;
use crate::audit::kills::Standing;
use crate::store::{Kill, KillFilter, StoreError, is_drill_reason};
use crate::time::UnixMicros;

/// Most workers that are named.
const NAMED: usize = 20;
/// So far back, and so many, kills are looked at.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const LOOKED_AT: u32 = 20;
const A_PAGE: u32 = 500;
const PAGES: u32 = 4;

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
}

impl LastKill {
    /// Whether nobody is missing, as far as is known.
    pub(in crate::api) fn is_acknowledged(&self) -> bool {
        self.recorded && self.laggards.is_empty()
    }
}

/// The newest kill, if there was one.
pub(in crate::api) async fn last(api: &Api) -> Result<Option<LastKill>, StoreError> {
    let found = api.store.kills(KillFilter::default(), None, 1).await?;
    match found.into_iter().next() {
        Some(kill) => in_short(api, kill).await.map(Some),
        None => Ok(None),
    }
}

/// The newest kill of the last day that is older than `late` and that somebody has not
/// acknowledged. Those of drills, and what agents gave back themselves, are not looked at:
/// there may be many, and they are no stop of anybody.
pub(in crate::api) async fn unacknowledged(
    api: &Api,
    now: UnixMicros,
    late: Duration,
) -> Result<Option<LastKill>, StoreError> {
    let (mut before, mut looked_at) = (None, 0);
    for _ in 0..PAGES {
        let page = api.store.kills(KillFilter::default(), before, A_PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        before = Some(last.id);
        for kill in page {
            let age = Duration::from_micros(now.0.saturating_sub(kill.committed.at.0));
            if age > DAY || looked_at == LOOKED_AT {
                return Ok(None);
            }
            if age <= late || is_nobodys(&kill) {
                continue;
            }
            looked_at += 1;
            let found = in_short(api, kill).await?;
            if !found.is_acknowledged() {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

fn is_nobodys(kill: &Kill) -> bool {
    let by_a_drill = kill.cause.reason.as_deref().is_some_and(is_drill_reason);
    by_a_drill || kill.cause.actor.parse::<AgentId>().is_ok()
}

async fn in_short(api: &Api, kill: Kill) -> Result<LastKill, StoreError> {
    let whose = api.trail.kill_whose(&kill).await?;
    let known = api.trail.kill_progress(&kill, &whose).await?;
    let complete = known.as_ref().is_some_and(|(row, progress)| is_complete(row, progress));
    let recorded = known.is_some();
    let progress = known.map(|(_, progress)| progress).unwrap_or_default();
    let committed = kill.committed.at;
    let heard = progress.workers.iter().filter_map(|it| it.worker.applied.as_ref());
    let last = heard.map(|applied| applied.recorded.0.saturating_sub(committed.0)).max();
    Ok(LastKill {
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
    })
}
