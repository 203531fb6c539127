//! The rows of a kill.

use serde::{Deserialize, Serialize};

/// Who stopped something: the first row of a kill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activated {
    /// `kil_…`
    pub kill_id: String,
    /// The state from which on it is stopped.
    pub epoch: u64,
    /// Its revision.
    pub revision: u64,
    /// What was done, for example `agent.revoked`.
    pub act: String,
    /// Id or name of whom or what it was done to.
    pub subject: String,
    /// Who did it.
    pub actor: String,
    /// In which role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of which incident it is part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<String>,
    /// `abort` or `drain`: what becomes of requests in flight.
    pub in_flight: String,
}

/// What a kill reached: its second row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// `kil_…`
    pub kill_id: String,
    /// Agents that it stops, descendants included.
    pub agents: u64,
    /// Their opaque tokens that counted until then.
    pub tokens: u64,
    /// Their capability tokens that counted until then.
    pub capability_tokens: u64,
    /// The actions that it stops; empty if all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// The first of the agents, at most 1000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agent_ids: Vec<String>,
}

impl Scope {
    /// Whether it stops this agent, as far as the list says: where that is cut off, it may.
    pub fn may_list(&self, agent: &str) -> bool {
        let listed = u64::try_from(self.agent_ids.len()).unwrap_or(u64::MAX);
        listed < self.agents || self.agent_ids.iter().any(|it| it == agent)
    }
}

/// What was in flight at a kill, closed: the last of its third rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// `kil_…`
    pub kill_id: String,
    /// Workers that were to apply it.
    pub workers: u64,
    /// Workers that reported that they did.
    pub applied: u64,
    /// Requests that were in flight.
    pub in_flight: u64,
    /// Of these: the upstream answered in full.
    pub committed: u64,
    /// Of these: never reached the upstream, or undone.
    pub rolled_back: u64,
    /// Of these: a person must look.
    pub escalated: u64,
    /// Of these: still going on when this was written, because they may drain.
    pub open: u64,
    /// Whether it was written because the time was over.
    pub timed_out: bool,
    /// Whether there were more workers, or more requests of one, than are counted here: then
    /// all of these numbers are the least that they can be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_off: bool,
    /// Proxies and workers of which is not known what was in flight: `proxy/instance`, at
    /// most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}
