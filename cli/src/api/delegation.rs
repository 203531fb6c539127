//! What calls about successors and decisions take and give.

use kya_core::{AgentId, PublicKey};
use serde::{Deserialize, Serialize};

use super::Why;

/// `POST /v1/agents/{agent_id}/replace`.
#[derive(Debug, Serialize)]
pub(crate) struct NewSuccessor<'a> {
    pub(crate) public_key: PublicKey,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) revoke: bool,
    #[serde(flatten)]
    pub(crate) why: Why<'a>,
}

/// `POST /v1/verify`.
#[derive(Serialize)]
pub(crate) struct Question {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent_id: Option<AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) decision: String,
    pub(crate) reason: Option<String>,
    pub(crate) agent_id: Option<AgentId>,
    pub(crate) policy: Option<PolicyUsed>,
    pub(crate) revision: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PolicyUsed {
    pub(crate) id: String,
    pub(crate) version: u32,
}
