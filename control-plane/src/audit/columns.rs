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
            kind: entry.type_name(),
            agent_id: entry.agent_id().map(str::to_owned),
            action: None,
            decision: None,
            act: entry.act().map(str::to_owned),
            kill_id: None,
            is_a_kill: entry.act().is_some_and(acts::stops),
        };
        match entry {
            Entry::Decision(decided) => {
                it.action.clone_from(&decided.action);
                it.decision = Some(match decided.decision {
                    Verdict::Allow => "allow",
                    Verdict::Deny => "deny",
                    Verdict::Pass => "pass",
                });
            }
            Entry::Admin(act) => it.action = action(&act.subject),
            Entry::KillActivated(activated) => {
                it.action = action(&activated.subject);
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

/// Of the subject `agt_… action`.
fn action(subject: &str) -> Option<String> {
    subject.split_once(' ').map(|(_, action)| action.to_owned())
}
