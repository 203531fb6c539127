//! What calls about successors, trees, many tokens and decisions take and give.

use kya_core::{AgentId, KillId, PublicKey};
use serde::{Deserialize, Serialize};

use super::{Agent, Why};

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

/// An agent and all that act for it.
#[derive(Debug, Deserialize)]
pub(crate) struct Tree {
    /// That agent first, and each after the one that it acts for.
    pub(crate) agents: Vec<Branch>,
    /// Whether there are more.
    pub(crate) truncated: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Branch {
    #[serde(flatten)]
    pub(crate) agent: Agent,
}

/// `POST /v1/tokens/revoke`.
#[derive(Debug, Serialize)]
pub(crate) struct RevokeTokens<'a> {
    #[serde(flatten)]
    pub(crate) selection: TokenSelection<'a>,
    #[serde(flatten)]
    pub(crate) why: Why<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
}

/// Which tokens are meant. Whatever is named must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct TokenSelection<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent_id: Option<AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) selector: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TokensChange {
    agent_id: Option<AgentId>,
    selector: Option<String>,
    service: Option<String>,
    action: Option<String>,
    pub(crate) changed: bool,
    /// How many were revoked; none where all of an agent were, by one record.
    pub(crate) tokens: Option<u64>,
    /// Those that were issued up to this second do not count any more.
    pub(crate) tokens_not_before: Option<String>,
    /// The last revision that it took; none if no token is meant.
    pub(crate) revision: Option<u64>,
    pub(crate) committed_at: Option<String>,
    /// As in [`Commit`](super::Commit).
    #[serde(default)]
    pub(crate) kill_id: Option<KillId>,
}

impl TokensChange {
    /// Which tokens it says were meant.
    pub(crate) fn selection(&self) -> TokenSelection<'_> {
        TokenSelection {
            agent_id: self.agent_id,
            selector: self.selector.as_deref(),
            service: self.service.as_deref(),
            action: self.action.as_deref(),
        }
    }
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
