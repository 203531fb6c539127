//! What the control plane's HTTP API takes and gives.
//!
//! Requests carry every field; answers name only what this program uses, so
//! that a newer server may say more. `-o json` shows the answer as it came.
//! Statuses and times stay text, because they are only shown.

mod approvals;
mod audit;
mod delegation;
mod drills;
mod keys;
mod kills;
mod operators;
mod policies;
mod schedules;
mod status;
mod stops;
mod token_keys;

use std::collections::BTreeMap;

use kya_core::{AgentId, KillId, PublicKey};
use serde::{Deserialize, Serialize};

use crate::token_id::AnyTokenId;

pub(crate) use approvals::{Approval, ApprovalChange, Approvals};
pub(crate) use audit::*;
pub(crate) use delegation::*;
pub(crate) use drills::*;
pub(crate) use keys::*;
pub(crate) use kills::*;
pub(crate) use operators::{
    AddedOperator, NewOperator, Operator, OperatorChange, Operators, WhoAmI,
};
pub(crate) use policies::*;
pub(crate) use schedules::*;
pub(crate) use status::*;
pub(crate) use stops::*;
pub(crate) use token_keys::*;

/// `POST /v1/agents`.
#[derive(Debug, Serialize)]
pub(crate) struct NewAgent<'a> {
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public_key: Option<PublicKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent_id: Option<AgentId>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<&'a str>,
}

/// `POST /v1/tokens` and `/v1/capability-tokens`.
#[derive(Debug, Serialize)]
pub(crate) struct NewToken {
    pub(crate) agent_id: AgentId,
    /// None are all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) services: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) actions: Vec<String>,
    pub(crate) ttl_seconds: u64,
}

/// `POST /v1/nodes`.
#[derive(Debug, Serialize)]
pub(crate) struct NewNode<'a> {
    pub(crate) name: &'a str,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub(crate) node_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl_seconds: Option<u64>,
}

/// Why something is changed: the body of every change of status.
#[derive(Debug, Serialize)]
pub(crate) struct Why<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) incident_id: Option<&'a str>,
}

impl<'a> From<&'a crate::args::Why> for Why<'a> {
    fn from(why: &'a crate::args::Why) -> Self {
        Self { reason: Some(&why.reason), incident_id: why.incident_id.as_deref() }
    }
}

impl<'a> From<&'a crate::args::MaybeWhy> for Why<'a> {
    fn from(why: &'a crate::args::MaybeWhy) -> Self {
        Self { reason: why.reason.as_deref(), incident_id: why.incident_id.as_deref() }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Agent {
    pub(crate) agent_id: AgentId,
    pub(crate) name: String,
    pub(crate) status: String,
    /// While it is not active; an older server does not say.
    #[serde(default)]
    pub(crate) in_flight: Option<String>,
    pub(crate) public_key: Option<PublicKey>,
    pub(crate) owner: Option<String>,
    pub(crate) owner_status: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) policy_id: Option<String>,
    /// The name of that policy; a server from before policies does not say.
    #[serde(default)]
    pub(crate) policy: Option<String>,
    /// A server from before these does not say.
    #[serde(default)]
    pub(crate) parent_id: Option<AgentId>,
    #[serde(default)]
    pub(crate) replaces: Option<AgentId>,
    #[serde(default)]
    pub(crate) replaced_by: Option<AgentId>,
    /// Where it was registered in the place of one that was revoked by that.
    #[serde(default)]
    pub(crate) kill_id: Option<KillId>,
    pub(crate) created_at: String,
    pub(crate) revoked_at: Option<String>,
    pub(crate) status_changed_at: String,
    /// Who last changed the status; a server from before operators does not say.
    pub(crate) status_actor: Option<String>,
    pub(crate) status_reason: Option<String>,
    pub(crate) incident_id: Option<String>,
    pub(crate) revision: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Agents {
    pub(crate) agents: Vec<Agent>,
    pub(crate) next: Option<AgentId>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AgentChange {
    pub(crate) agent: Agent,
    /// Until when capability tokens go on that were issued before a suspension.
    #[serde(default)]
    pub(crate) drains_until: Option<String>,
    #[serde(flatten)]
    pub(crate) commit: Commit,
}

/// When and as which revision a change was committed.
#[derive(Debug, Deserialize)]
pub(crate) struct Commit {
    /// False when it already was so; the rest then tells of the change that
    /// made it so.
    pub(crate) changed: bool,
    pub(crate) revision: u64,
    pub(crate) committed_at: String,
    /// Under which id it is found what becomes of it, if it stops somebody; a server from
    /// before kills does not say.
    #[serde(default)]
    pub(crate) kill_id: Option<KillId>,
}

#[derive(Deserialize)]
pub(crate) struct IssuedToken {
    pub(crate) token: String,
    pub(crate) token_id: AnyTokenId,
    pub(crate) agent_id: AgentId,
    pub(crate) expires_at: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Token {
    pub(crate) token_id: AnyTokenId,
    pub(crate) agent_id: AgentId,
    pub(crate) status: String,
    /// The only ones that it is for; all, if there are none.
    #[serde(default)]
    pub(crate) services: Vec<String>,
    #[serde(default)]
    pub(crate) actions: Vec<String>,
    pub(crate) issued_at: String,
    pub(crate) expires_at: String,
    pub(crate) revoked_at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) tokens: Vec<Token>,
    pub(crate) next: Option<AnyTokenId>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TokenChange {
    pub(crate) token: Token,
    #[serde(flatten)]
    pub(crate) commit: Commit,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Nodes {
    /// The newest committed revision.
    pub(crate) revision: u64,
    pub(crate) epoch: u64,
    pub(crate) nodes: Vec<Node>,
    #[serde(default)]
    pub(crate) disconnected: Vec<Disconnected>,
    pub(crate) registrations: Vec<Registration>,
    pub(crate) next: Option<String>,
}

/// Who may connect as which proxy.
#[derive(Debug, Deserialize)]
pub(crate) struct Registration {
    pub(crate) name: String,
    #[serde(rename = "match")]
    pub(crate) node_id: String,
    pub(crate) status: String,
    pub(crate) created_at: String,
    pub(crate) expires_at: Option<String>,
    pub(crate) revoked_at: Option<String>,
    /// Open streams. Only in a list.
    #[serde(default)]
    pub(crate) connected: u64,
    /// Where no proxy has connected by it.
    pub(crate) armed: Option<Armed>,
}

/// A registration, and this once its credential.
#[derive(Deserialize)]
pub(crate) struct RegisteredNode {
    pub(crate) credential: String,
    #[serde(flatten)]
    pub(crate) registration: Registration,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NodeChange {
    pub(crate) node: Registration,
    /// False when it already was revoked.
    pub(crate) changed: bool,
}

/// A proxy that was connected and is not now.
#[derive(Debug, Deserialize)]
pub(crate) struct Disconnected {
    pub(crate) node_id: String,
    pub(crate) since: String,
    pub(crate) registration: Option<String>,
    #[serde(default)]
    pub(crate) armed: Armed,
}

/// What is proved of a proxy.
#[derive(Debug, Deserialize)]
pub(crate) struct Armed {
    /// `armed`, `stale` or `unknown`.
    pub(crate) state: String,
    /// Why it is not armed.
    pub(crate) why: Option<String>,
}

/// Of a server that does not speak of it.
impl Default for Armed {
    fn default() -> Self {
        let why = Some("this control plane does not say".to_owned());
        Self { state: "unknown".to_owned(), why }
    }
}

/// A connected proxy.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) node_id: String,
    pub(crate) registration: String,
    pub(crate) filter_version: String,
    #[serde(default)]
    pub(crate) armed: Armed,
    /// How far its wall clock is ahead of the server's.
    pub(crate) clock_ahead_ms: Option<i64>,
    pub(crate) workers: Vec<Worker>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Worker {
    pub(crate) revision: u64,
    /// Revisions that it has not applied yet.
    pub(crate) behind: u64,
    /// What is proved of the age of its state.
    pub(crate) proved_age_ms: Option<u64>,
}

/// `POST /v1/challenges`.
#[derive(Debug, Serialize)]
pub(crate) struct NewChallenge<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node_id: Option<&'a str>,
    pub(crate) wait_ms: u64,
}

/// What came of a challenge.
#[derive(Debug, Deserialize)]
pub(crate) struct Proof {
    pub(crate) nonce: String,
    pub(crate) challenged_at: String,
    /// The newest revision that was pushed.
    pub(crate) revision: u64,
    pub(crate) epoch: u64,
    /// Somebody was challenged, and each of them is armed.
    pub(crate) armed: bool,
    pub(crate) challenged: u64,
    /// Of these, the proxies that have left since.
    pub(crate) left: u64,
    pub(crate) nodes: Vec<ProvedNode>,
    #[serde(default)]
    pub(crate) disconnected: Vec<Disconnected>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ProvedNode {
    pub(crate) node_id: String,
    pub(crate) armed: Armed,
    pub(crate) filter_version: String,
    pub(crate) configuration_hash: Option<String>,
    pub(crate) workers: Vec<ProvedWorker>,
}

/// What a worker has answered; nothing if it has not.
#[derive(Debug, Deserialize)]
pub(crate) struct ProvedWorker {
    pub(crate) slot: u32,
    pub(crate) instance: String,
    pub(crate) revision: Option<u64>,
    pub(crate) state_age_ms: Option<u64>,
    pub(crate) answered_after_ms: Option<f64>,
}

/// Who has acknowledged a revision.
#[derive(Debug, Deserialize)]
pub(crate) struct Acknowledgements {
    /// At least one proxy is connected, each has reported a worker, and none
    /// is pending. It says nothing about the disconnected ones.
    pub(crate) complete: bool,
    pub(crate) proxies: u64,
    pub(crate) proxies_acknowledged: u64,
    pub(crate) workers: u64,
    pub(crate) workers_acknowledged: u64,
    /// From the commit to the arrival of the last acknowledgement.
    pub(crate) elapsed_ms: Option<f64>,
    pub(crate) pending: Vec<Pending>,
    #[serde(default)]
    pub(crate) disconnected: Vec<Disconnected>,
}

/// A worker that has not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Pending {
    pub(crate) node_id: String,
    pub(crate) slot: u32,
}
