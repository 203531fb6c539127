//! Which records of the trail somebody wants to see.

use serde::{Deserialize, Serialize};

use super::record::{Entry, Record, Verdict};
use super::timestamp::Timestamp;

/// Which records are meant: those that match everything that is said here. A record that
/// does not have what is asked about does not match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Whatever is about this agent, `agt_…`: its requests, and what was done to it alone or
    /// as one that a kill lists, or may where it lists not all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What happened at this time or later, by the clock of whoever saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What happened before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Decisions on this action, and kills that stop it by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Decisions of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Verdict>,
    /// Acts of this name, for example `agent.revoked`, and the kills that they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<String>,
    /// The rows of this kill, `kil_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<String>,
    /// Records of one of these types; of any if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

/// The types of records, as they are written.
pub const RECORD_TYPES: [&str; 17] = [
    "decision",
    "ended",
    "applied",
    "in_flight",
    "dropped",
    "gap",
    "conflict",
    "worker_lost",
    "worker_closed",
    "admin",
    "kill_activated",
    "kill_scope",
    "kill_completed",
    "key",
    "key_announced",
    "archived",
    "restored",
];

impl Filter {
    /// Whether it is about every record.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this record is meant.
    pub fn matches(&self, record: &Record) -> bool {
        let Self { agent, since, until, action, decision, act, kill, types } = self;
        let entry = &record.entry;
        since.is_none_or(|it| record.time >= it)
            && until.is_none_or(|it| record.time < it)
            && (types.is_empty() || types.iter().any(|it| it == entry.type_name()))
            && decision.is_none_or(|it| matches!(entry, Entry::Decision(at) if at.decision == it))
            && agent.as_deref().is_none_or(|it| entry.concerns(it))
            && action.as_deref().is_none_or(|it| entry.is_on(it))
            && act.as_deref().is_none_or(|it| entry.act() == Some(it))
            && kill.as_deref().is_none_or(|it| entry.kill_id() == Some(it))
    }
}

impl Entry {
    /// The type of the record, as it is written.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Decision(_) => "decision",
            Self::Ended(_) => "ended",
            Self::Applied(_) => "applied",
            Self::InFlight(_) => "in_flight",
            Self::Dropped(_) => "dropped",
            Self::Gap(_) => "gap",
            Self::Conflict(_) => "conflict",
            Self::WorkerLost(_) => "worker_lost",
            Self::WorkerClosed(_) => "worker_closed",
            Self::Admin(_) => "admin",
            Self::KillActivated(_) => "kill_activated",
            Self::KillScope(_) => "kill_scope",
            Self::KillCompleted(_) => "kill_completed",
            Self::Key(_) => "key",
            Self::KeyAnnounced(_) => "key_announced",
            Self::Archived(_) => "archived",
            Self::Restored(_) => "restored",
        }
    }

    /// The one agent that it is about, if it is about one.
    pub fn agent_id(&self) -> Option<&str> {
        match self {
            Self::Decision(it) => it.agent_id.as_deref(),
            Self::Ended(it) => it.agent_id.as_deref(),
            Self::InFlight(it) => it.agent_id.as_deref(),
            Self::Admin(it) => agent_in(&it.subject),
            Self::KillActivated(it) => agent_in(&it.subject),
            Self::KillScope(it) => match it.agent_ids.as_slice() {
                [one] if it.agents == 1 => Some(one),
                _ => None,
            },
            _ => None,
        }
    }

    /// What was done, of an act or a kill.
    pub fn act(&self) -> Option<&str> {
        match self {
            Self::Admin(it) => Some(&it.act),
            Self::KillActivated(it) => Some(&it.act),
            _ => None,
        }
    }

    /// The kill of which it is a row.
    pub fn kill_id(&self) -> Option<&str> {
        match self {
            Self::KillActivated(it) => Some(&it.kill_id),
            Self::KillScope(it) => Some(&it.kill_id),
            Self::KillCompleted(it) => Some(&it.kill_id),
            _ => None,
        }
    }

    fn concerns(&self, agent: &str) -> bool {
        self.agent_id() == Some(agent) || matches!(self, Self::KillScope(it) if it.may_list(agent))
    }

    fn is_on(&self, action: &str) -> bool {
        let of_subject = |it: &str| it.split_once(' ').is_some_and(|(_, it)| it == action);
        match self {
            Self::Decision(it) => it.action.as_deref() == Some(action),
            Self::Admin(it) => of_subject(&it.subject),
            Self::KillActivated(it) => of_subject(&it.subject),
            Self::KillScope(it) => it.actions.iter().any(|it| it == action),
            _ => false,
        }
    }
}

/// The agent that a subject is, or whose capability it is (`agt_… action`).
fn agent_in(subject: &str) -> Option<&str> {
    let first = subject.split(' ').next()?;
    first.starts_with("agt_").then_some(first)
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
