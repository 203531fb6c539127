//! What subjects of events are like, as events say it: nothing of a token or a key but its
//! public part.

use kya_core::AgentId;
use serde_json::{Value, json};

use crate::store::approvals::Verdict;
use crate::store::issuer::TokenKey;
use crate::store::{
    Agent, Approval, CapabilityToken, Decided, Issuer, KeyChange, NodeRegistration, OperatorRecord,
    Policy, Principal, Token, in_flight_name, status_name,
};
use crate::time::{UnixMicros, second_start};

fn at(at: Option<UnixMicros>) -> Option<String> {
    at.map(UnixMicros::to_rfc3339)
}

pub(super) fn agent(agent: &Agent) -> Option<Value> {
    Some(json!({
        "name": agent.name,
        "status": status_name(agent.status),
        "in_flight": in_flight_name(agent.in_flight),
        "public_key": agent.public_key.map(|key| key.to_string()),
        "owner_id": agent.owner.as_ref().map(|owner| owner.id.to_string()),
        "parent_id": agent.parent.map(|id| id.to_string()),
        "labels": agent.labels.to_string(),
        "policy_id": agent.policy.as_ref().map(|policy| policy.id.to_string()),
        "expires_at": at(agent.expires.map(second_start)),
        "tokens_not_before": agent.tokens_not_before.0,
        "revoked_at": at(agent.revoked_at),
    }))
}

pub(super) fn token(token: &Token) -> Option<Value> {
    Some(json!({
        "agent_id": token.agent_id.to_string(),
        "issued_at": token.issued_at.to_rfc3339(),
        "expires_at": second_start(token.expires).to_rfc3339(),
        "revoked_at": at(token.revoked_at),
    }))
}

pub(super) fn capability_token(token: &CapabilityToken) -> Option<Value> {
    Some(json!({
        "agent_id": token.agent_id.to_string(),
        "issued_at": second_start(token.issued).to_rfc3339(),
        "expires_at": second_start(token.expires).to_rfc3339(),
        "revoked_at": at(token.revoked_at),
    }))
}

/// The registered agent whose place another takes.
pub(super) fn replaced(agent: &Agent, by: AgentId) -> Option<Value> {
    let mut shown = self::agent(agent)?;
    shown["replaced_by"] = by.to_string().into();
    Some(shown)
}

/// What waits for a second operator, or how that ended.
pub(super) fn approval(approval: &Approval, verdict: Option<Verdict>) -> Option<Value> {
    Some(json!({
        "of": approval.of.to_string(),
        "target_revision": approval.target_revision.0,
        "asked_by": approval.asked_by,
        "expires_at": approval.expires_at.to_rfc3339(),
        "status": verdict.map_or("pending", Verdict::name),
    }))
}

pub(super) fn issuer(issuer: &Issuer) -> Option<Value> {
    let key = |key: &TokenKey| {
        let state = match (key.retired_at, key.activated_at) {
            (Some(_), _) => "retired",
            (None, Some(_)) => "activated",
            (None, None) => "announced",
        };
        json!({ "key_id": key.public_key.id().to_string(), "state": state })
    };
    // Those that are retired stay so.
    let keys: Vec<_> = issuer.keys.iter().filter(|it| it.retired_at.is_none()).map(key).collect();
    Some(json!({ "name": issuer.name, "max_lifetime_s": issuer.max_lifetime, "keys": keys }))
}

/// The keys that sign updates, once this step is done.
pub(super) fn keys(change: &KeyChange) -> Option<Value> {
    let counting: Vec<_> = change.counting.iter().map(|key| key.id().to_string()).collect();
    Some(json!({
        "serial": change.serial,
        "active": change.active.id().to_string(),
        "counting": counting,
    }))
}

pub(super) fn decided(decided: &Decided) -> Option<Value> {
    Some(json!({
        "status": status_name(decided.status),
        "in_flight": in_flight_name(decided.in_flight),
        "revoked_at": at(decided.revoked_at),
    }))
}

pub(super) fn principal(principal: &Principal) -> Option<Value> {
    let mut shown = decided(&principal.decided)?;
    shown["name"] = principal.name.as_str().into();
    Some(shown)
}

/// Without the document, which the registry keeps in all versions: its SHA-256.
pub(super) fn policy(policy: &Policy) -> Option<Value> {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(policy.document.as_bytes());
    let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(json!({
        "name": policy.name.as_str(),
        "version": policy.version.get(),
        "document_sha256": sha256,
    }))
}

pub(super) fn node(node: &NodeRegistration) -> Option<Value> {
    Some(json!({
        "match": node.node_id.as_str(),
        "expires_at": at(node.expires.map(second_start)),
        "revoked_at": at(node.revoked_at),
    }))
}

pub(super) fn operator(operator: &OperatorRecord) -> Option<Value> {
    Some(json!({
        "role": operator.role.name(),
        "expires_at": at(operator.expires.map(second_start)),
        "revoked_at": at(operator.revoked.as_ref().map(|revoked| revoked.at)),
    }))
}
