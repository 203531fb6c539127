//! Records as JSON. Times are RFC 3339 with three decimals.

use kya_core::{
    ActionName, AgentId, PolicyId, PolicyName, PrincipalId, PublicKey, Status, TokenId, UnixSeconds,
};
use serde::Serialize;

use super::Api;
use crate::labels::Labels;
use crate::principals::PrincipalName;
use crate::store::{self, Committed, Outcome, ServiceName, in_flight_name, status_name};
use crate::time::{UnixMicros, second_start};

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Agent {
    agent_id: AgentId,
    name: String,
    status: &'static str,
    /// What becomes of its requests in flight; `None` while it is active.
    in_flight: Option<&'static str>,
    public_key: Option<PublicKey>,
    principal_id: Option<PrincipalId>,
    /// The name of that principal, and what was decided about it.
    owner: Option<PrincipalName>,
    owner_status: Option<&'static str>,
    /// Whom it acts for.
    parent_id: Option<AgentId>,
    /// Whose place it took, and who took its place.
    replaces: Option<AgentId>,
    replaced_by: Option<AgentId>,
    labels: Labels,
    expires_at: Option<String>,
    /// Only tokens that were issued after this second count.
    tokens_not_before: Option<String>,
    policy_id: Option<PolicyId>,
    /// The name of that policy.
    policy: Option<PolicyName>,
    created_at: String,
    revoked_at: Option<String>,
    status_changed_at: String,
    status_actor: String,
    status_reason: Option<String>,
    incident_id: Option<String>,
    revision: u64,
}

impl Agent {
    pub(super) fn new(agent: store::Agent, now: UnixMicros) -> Self {
        let status = agent.shown_status(now).name();
        let owner = agent.owner;
        Self {
            agent_id: agent.id,
            name: agent.name,
            status,
            in_flight: (agent.status != Status::Active).then(|| in_flight_name(agent.in_flight)),
            public_key: agent.public_key,
            principal_id: owner.as_ref().map(|owner| owner.id),
            owner_status: owner.as_ref().map(|owner| status_name(owner.status)),
            owner: owner.map(|owner| owner.name),
            parent_id: agent.parent,
            replaces: agent.replaces,
            replaced_by: agent.replaced_by,
            labels: agent.labels,
            expires_at: agent.expires.map(|expires| second_start(expires).to_rfc3339()),
            tokens_not_before: (agent.tokens_not_before > UnixSeconds(0))
                .then(|| second_start(agent.tokens_not_before).to_rfc3339()),
            policy_id: agent.policy.as_ref().map(|policy| policy.id),
            policy: agent.policy.map(|policy| policy.name),
            created_at: agent.created_at.to_rfc3339(),
            revoked_at: agent.revoked_at.map(UnixMicros::to_rfc3339),
            status_changed_at: agent.status_changed_at.to_rfc3339(),
            status_actor: agent.status_actor,
            status_reason: agent.status_reason,
            incident_id: agent.incident_id,
            revision: agent.policy_revision.max(Some(agent.revision)).map_or(0, |it| it.0),
        }
    }
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Token {
    token_id: TokenId,
    agent_id: AgentId,
    status: &'static str,
    /// The only ones that it is for; all, if there are none.
    services: Vec<ServiceName>,
    actions: Vec<ActionName>,
    issued_at: String,
    expires_at: String,
    revoked_at: Option<String>,
    revision: u64,
}

impl Token {
    pub(super) fn new(token: store::Token, now: UnixMicros) -> Self {
        let status = match token.revoked_at {
            Some(_) => "revoked",
            None if token.superseded => "superseded",
            None if token.expires <= now.seconds() => "expired",
            None => "active",
        };
        Self {
            token_id: token.id,
            agent_id: token.agent_id,
            status,
            services: token.limits.services().to_vec(),
            actions: token.limits.actions().to_vec(),
            issued_at: token.issued_at.to_rfc3339(),
            expires_at: second_start(token.expires).to_rfc3339(),
            revoked_at: token.revoked_at.map(UnixMicros::to_rfc3339),
            revision: token.revision.0,
        }
    }
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct IssuedToken {
    token: String,
    token_id: TokenId,
    agent_id: AgentId,
    services: Vec<ServiceName>,
    actions: Vec<ActionName>,
    issued_at: String,
    expires_at: String,
    revision: u64,
}

impl IssuedToken {
    pub(super) fn new(secret: &str, token: store::Token) -> Self {
        Self {
            token: secret.to_owned(),
            token_id: token.id,
            agent_id: token.agent_id,
            services: token.limits.services().to_vec(),
            actions: token.limits.actions().to_vec(),
            issued_at: token.issued_at.to_rfc3339(),
            expires_at: second_start(token.expires).to_rfc3339(),
            revision: token.revision.0,
        }
    }
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Agents {
    pub(super) agents: Vec<Agent>,
    pub(super) next: Option<AgentId>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Tokens {
    pub(super) tokens: Vec<Token>,
    pub(super) next: Option<TokenId>,
}

/// When something was committed.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct CommittedAt {
    revision: u64,
    committed_at: String,
    committed_unix_ms: f64,
}

impl From<Committed> for CommittedAt {
    fn from(committed: Committed) -> Self {
        Self {
            revision: committed.position.revision.0,
            committed_at: committed.at.to_rfc3339(),
            committed_unix_ms: committed.at.as_millis_f64(),
        }
    }
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct AgentChange {
    agent: Agent,
    /// Until when capability tokens count that were issued before a suspension that lets
    /// work in flight end; `None` if none does, or if it is not known just now.
    drains_until: Option<String>,
    changed: bool,
    #[serde(flatten)]
    committed: CommittedAt,
}

impl AgentChange {
    pub(super) async fn new(outcome: Outcome<store::Agent>, api: &Api) -> Self {
        let drains_until = api.registry.drains_until(&outcome.record).await;
        Self {
            agent: Agent::new(outcome.record, api.clock.now()),
            drains_until: drains_until.map(|until| second_start(until).to_rfc3339()),
            changed: outcome.changed,
            committed: outcome.committed.into(),
        }
    }
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct TokenChange {
    token: Token,
    changed: bool,
    #[serde(flatten)]
    committed: CommittedAt,
}

impl TokenChange {
    pub(super) fn new(outcome: Outcome<store::Token>, now: UnixMicros) -> Self {
        Self {
            token: Token::new(outcome.record, now),
            changed: outcome.changed,
            committed: outcome.committed.into(),
        }
    }
}
