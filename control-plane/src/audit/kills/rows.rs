//! The rows of a kill.

use kya_core::audit::{Activated, Entry, Scope};

use crate::store::audit::KillRow;
use crate::store::{Kill, KillReach, in_flight_name};

/// Who did it: the first row.
pub(in crate::audit) fn activated(kill: &Kill) -> Activated {
    Activated {
        kill_id: kill.id.to_string(),
        epoch: kill.committed.position.epoch,
        revision: kill.committed.position.revision.0,
        act: kill.act.clone(),
        subject: kill.subject.clone(),
        actor: kill.cause.actor.clone(),
        role: kill.cause.role.clone(),
        address: kill.cause.address.clone(),
        reason: kill.cause.reason.clone(),
        incident_id: kill.cause.incident_id.clone(),
        in_flight: in_flight_name(kill.in_flight).to_owned(),
    }
}

/// A kill whose first row has this number.
pub(in crate::audit) fn begun(kill: &Kill, seq: u64) -> KillRow {
    KillRow {
        id: kill.id.to_string(),
        activated: seq,
        epoch: kill.committed.position.epoch,
        revision: kill.committed.position.revision.0,
        at: kill.committed.at,
        scope: None,
        completed: None,
    }
}

/// What it reached: the second row.
pub(in crate::audit) fn scope(kill_id: &str, reach: &KillReach) -> Scope {
    Scope {
        kill_id: kill_id.to_owned(),
        agents: reach.agents,
        tokens: reach.tokens,
        capability_tokens: reach.capability_tokens,
        actions: reach.actions.clone(),
        agent_ids: reach.listed.iter().map(ToString::to_string).collect(),
    }
}

/// Of which kill a row is.
pub(in crate::audit) fn kill_id(entry: &Entry) -> Option<&str> {
    match entry {
        Entry::KillActivated(it) => Some(&it.kill_id),
        Entry::KillScope(it) => Some(&it.kill_id),
        Entry::KillCompleted(it) => Some(&it.kill_id),
        _ => None,
    }
}
