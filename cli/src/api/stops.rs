//! What stops take and give.

use kya_core::{AgentId, KillId, PrincipalId};
use serde::{Deserialize, Serialize};

use super::{Commit, Why};
use crate::args::{InFlight, Stopping};

/// The body of every stop.
#[derive(Debug, Serialize)]
pub(crate) struct Stop<'a> {
    /// Where it is one action of an agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<&'a str>,
    /// Where it is many agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) selector: Option<&'a str>,
    #[serde(flatten)]
    pub(crate) why: Why<'a>,
    /// If it is to be another than that of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_flight: Option<InFlight>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
}

impl<'a> From<Why<'a>> for Stop<'a> {
    fn from(why: Why<'a>) -> Self {
        Self { action: None, selector: None, why, in_flight: None, dry_run: false }
    }
}

impl<'a> From<&'a Stopping> for Stop<'a> {
    fn from(Stopping { why, dry, .. }: &'a Stopping) -> Self {
        Self { dry_run: dry.dry_run, ..Why::from(why).into() }
    }
}

/// `POST /v1/principals`.
#[derive(Debug, Serialize)]
pub(crate) struct NewPrincipal<'a> {
    pub(crate) name: &'a str,
}

/// What a stop would do.
#[derive(Debug, Deserialize)]
pub(crate) struct DryRun {
    /// True, or it was none.
    pub(crate) dry_run: bool,
    /// Whether it would change anything.
    pub(crate) changed: bool,
    pub(crate) reach: Reach,
}

/// Agents that are neither revoked nor expired, and such tokens of theirs.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Reach {
    pub(crate) agents: u64,
    pub(crate) tokens: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Principal {
    pub(crate) principal_id: PrincipalId,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) created_at: String,
    pub(crate) revoked_at: Option<String>,
    pub(crate) status_changed_at: Option<String>,
    pub(crate) status_reason: Option<String>,
    pub(crate) incident_id: Option<String>,
    pub(crate) revision: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Principals {
    pub(crate) principals: Vec<Principal>,
    pub(crate) next: Option<PrincipalId>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PrincipalChange {
    pub(crate) principal: Principal,
    #[serde(flatten)]
    pub(crate) commit: Commit,
    pub(crate) reach: Option<Reach>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Capability {
    pub(crate) agent_id: AgentId,
    pub(crate) action: String,
    pub(crate) status: String,
    pub(crate) status_changed_at: Option<String>,
    pub(crate) status_reason: Option<String>,
    pub(crate) incident_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Capabilities {
    pub(crate) capabilities: Vec<Capability>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CapabilityChange {
    pub(crate) capability: Capability,
    #[serde(flatten)]
    pub(crate) commit: Commit,
    /// Of the other actions that are known of the agent, those that are active.
    pub(crate) active: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Fleet {
    pub(crate) status: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FleetChange {
    pub(crate) fleet: Fleet,
    #[serde(flatten)]
    pub(crate) commit: Commit,
    pub(crate) reach: Option<Reach>,
}

/// What became of a decision about many agents.
#[derive(Debug, Deserialize)]
pub(crate) struct SelectionChange {
    pub(crate) selector: String,
    pub(crate) status: String,
    pub(crate) changed: bool,
    /// Agents that were changed.
    pub(crate) agents: u64,
    /// Agents that already were so, or were revoked.
    pub(crate) unchanged: u64,
    /// The last of them; none if no agent is meant.
    pub(crate) revision: Option<u64>,
    pub(crate) committed_at: Option<String>,
    /// As in [`Commit`](super::Commit).
    #[serde(default)]
    pub(crate) kill_id: Option<KillId>,
}
