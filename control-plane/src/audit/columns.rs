//! What is searched for, of a record.

use kya_core::audit::{Entry, Verdict};

use super::acts;

/// What is searched for, of a record.
pub(super) struct Columns {
    pub(super) kind: &'static str,
    pub(super) agent_id: Option<String>,
    pub(super) action: Option<String>,
    pub(super) decision: Option<&'static str>,
    pub(super) act: Option<String>,
    pub(super) kill_id: Option<String>,
    pub(super) is_a_kill: bool,
}

impl Columns {
    pub(super) fn of(entry: &Entry) -> Self {
        let mut it = Self {
            kind: kind(entry),
            agent_id: None,
            action: None,
            decision: None,
            act: None,
            kill_id: None,
            is_a_kill: false,
        };
        match entry {
            Entry::Decision(decided) => {
                it.agent_id.clone_from(&decided.agent_id);
                it.action.clone_from(&decided.action);
                it.decision = Some(match decided.decision {
                    Verdict::Allow => "allow",
                    Verdict::Deny => "deny",
                    Verdict::Pass => "pass",
                });
            }
            Entry::Ended(ended) => it.agent_id.clone_from(&ended.agent_id),
            Entry::InFlight(concerned) => it.agent_id.clone_from(&concerned.agent_id),
            Entry::Admin(act) => {
                it.agent_id = acts::agent(&act.subject).map(str::to_owned);
                it.act = Some(act.act.clone());
                it.is_a_kill = acts::stops(&act.act);
            }
            Entry::KillActivated(activated) => {
                it.agent_id = acts::agent(&activated.subject).map(str::to_owned);
                it.act = Some(activated.act.clone());
                it.kill_id = Some(activated.kill_id.clone());
                it.is_a_kill = true;
            }
            Entry::KillScope(scope) => {
                it.kill_id = Some(scope.kill_id.clone());
                it.is_a_kill = true;
            }
            Entry::KillCompleted(completed) => {
                it.kill_id = Some(completed.kill_id.clone());
                it.is_a_kill = true;
            }
            _ => {}
        }
        it
    }
}

/// The `type` of a record.
pub(super) const fn kind(entry: &Entry) -> &'static str {
    match entry {
        Entry::Decision(_) => "decision",
        Entry::Ended(_) => "ended",
        Entry::Applied(_) => "applied",
        Entry::InFlight(_) => "in_flight",
        Entry::Dropped(_) => "dropped",
        Entry::Gap(_) => "gap",
        Entry::WorkerLost(_) => "worker_lost",
        Entry::WorkerClosed(_) => "worker_closed",
        Entry::Admin(_) => "admin",
        Entry::KillActivated(_) => "kill_activated",
        Entry::KillScope(_) => "kill_scope",
        Entry::KillCompleted(_) => "kill_completed",
        Entry::Key(_) => "key",
        Entry::Archived(_) => "archived",
        Entry::Restored(_) => "restored",
    }
}
