//! Rows to records.

use kya_core::{
    AgentId, GrantIndex, NodeCredentialDigest, PolicyId, Position, PrincipalId, Revision,
    TokenDigest, TokenId, UnixSeconds, wire,
};
use prost::Message;

use super::Columns;
use crate::labels::Labels;
use crate::nodes::{NodeName, NodePattern};
use crate::store::model::token_to_wire;
use crate::store::{
    Agent, Capability, Cause, Committed, Decided, Event, NodeRegistration, Owner, PolicyOf,
    Principal, StoreError, StoredUpdate, Token, TokenLimits, in_flight_from_name, status_from_name,
};
use crate::time::UnixMicros;

pub(super) fn agent(row: &impl Columns) -> Result<Agent, StoreError> {
    let status = row.text("status")?;
    let in_flight = row.text("in_flight")?;
    let public_key = row.optional_text("public_key")?;
    Ok(Agent {
        id: agent_id(row, "id")?,
        name: row.text("name")?.to_owned(),
        status: status_from_name(status).ok_or_else(|| corrupt("status", status))?,
        in_flight: in_flight_from_name(in_flight).ok_or_else(|| corrupt("in_flight", in_flight))?,
        public_key: public_key
            .map(str::parse)
            .transpose()
            .map_err(|error| corrupt("public_key", error))?,
        owner: owner(row)?,
        parent: optional_agent(row, "parent_id")?,
        replaces: optional_agent(row, "replaces_id")?,
        replaced_by: optional_agent(row, "successor_id")?,
        labels: labels(row)?,
        expires: optional(row, "expires_s")?.map(UnixSeconds),
        tokens_not_before: UnixSeconds(unsigned(row, "tokens_not_before_s")?),
        policy: policy_of(row)?,
        policy_revision: optional(row, "policy_revision")?.map(Revision),
        created_at: micros(row, "created_us")?,
        revoked_at: optional_micros(row, "revoked_us")?,
        status_changed_at: micros(row, "status_changed_us")?,
        status_actor: row.text("status_actor")?.to_owned(),
        status_reason: owned(row.optional_text("status_reason")?),
        incident_id: owned(row.optional_text("incident_id")?),
        revision: Revision(unsigned(row, "revision")?),
    })
}

/// Needs `principal_id`, and of that principal `owner` and `owner_status`.
fn owner(row: &impl Columns) -> Result<Option<Owner>, StoreError> {
    let Some(id) = row.optional_bytes("principal_id")? else { return Ok(None) };
    let name = row.optional_text("owner")?.unwrap_or_default();
    let status = row.optional_text("owner_status")?.unwrap_or_default();
    Ok(Some(Owner {
        id: PrincipalId::from_slice(id).map_err(|error| corrupt("principal_id", error))?,
        name: name.parse().map_err(|error| corrupt("owner", error))?,
        status: status_from_name(status).ok_or_else(|| corrupt("owner_status", status))?,
    }))
}

/// Needs `policy_id`, and of that policy `policy_name`.
fn policy_of(row: &impl Columns) -> Result<Option<PolicyOf>, StoreError> {
    let Some(id) = row.optional_bytes("policy_id")? else { return Ok(None) };
    let name = row.optional_text("policy_name")?.unwrap_or_default();
    Ok(Some(PolicyOf {
        id: PolicyId::from_slice(id).map_err(|error| corrupt("policy_id", error))?,
        name: name.parse().map_err(|error| corrupt("policy_name", error))?,
    }))
}

pub(super) fn principal(row: &impl Columns) -> Result<Principal, StoreError> {
    Ok(Principal {
        id: PrincipalId::from_slice(row.bytes("id")?).map_err(|error| corrupt("id", error))?,
        name: row.text("name")?.parse().map_err(|error| corrupt("name", error))?,
        created_at: micros(row, "created_us")?,
        decided: decided(row)?,
    })
}

pub(super) fn capability(row: &impl Columns) -> Result<Capability, StoreError> {
    Ok(Capability {
        agent_id: agent_id(row, "agent_id")?,
        action: row.text("action")?.parse().map_err(|error| corrupt("action", error))?,
        decided: decided(row)?,
    })
}

pub(super) fn decided(row: &impl Columns) -> Result<Decided, StoreError> {
    let status = row.text("status")?;
    let in_flight = row.text("in_flight")?;
    Ok(Decided {
        status: status_from_name(status).ok_or_else(|| corrupt("status", status))?,
        in_flight: in_flight_from_name(in_flight).ok_or_else(|| corrupt("in_flight", in_flight))?,
        changed_at: micros(row, "status_changed_us")?,
        revoked_at: optional_micros(row, "revoked_us")?,
        reason: owned(row.optional_text("status_reason")?),
        incident_id: owned(row.optional_text("incident_id")?),
        revision: Revision(unsigned(row, "revision")?),
    })
}

/// A count of rows.
pub(super) fn count(row: &impl Columns, column: &str) -> Result<u64, StoreError> {
    unsigned(row, column)
}

/// Needs, beside its own columns, those of its grant, and its holder's
/// `tokens_not_before_s`.
pub(super) fn token(row: &impl Columns) -> Result<Token, StoreError> {
    let digest = row.bytes("digest")?;
    let (issued_at, not_before) =
        (micros(row, "issued_us")?, unsigned(row, "tokens_not_before_s")?);
    Ok(Token {
        id: TokenId::from_slice(row.bytes("id")?).map_err(|error| corrupt("id", error))?,
        digest: TokenDigest::from_slice(digest).ok_or_else(|| corrupt("digest", "not 32 bytes"))?,
        agent_id: agent_id(row, "agent_id")?,
        grant: grant(row)?.0,
        limits: limits(row)?,
        superseded: (1..).contains(&not_before) && issued_at.seconds().0 <= not_before,
        issued_at,
        expires: UnixSeconds(unsigned(row, "expires_s")?),
        revoked_at: optional_micros(row, "revoked_us")?,
        revision: Revision(unsigned(row, "revision")?),
    })
}

pub(super) fn node(row: &impl Columns) -> Result<NodeRegistration, StoreError> {
    let (name, node_id) = (row.text("name")?.to_owned(), row.text("node_id")?.to_owned());
    let digest = row.bytes("digest")?;
    Ok(NodeRegistration {
        name: NodeName::try_from(name).map_err(|error| corrupt("name", error))?,
        node_id: NodePattern::try_from(node_id).map_err(|error| corrupt("node_id", error))?,
        digest: NodeCredentialDigest(digest.try_into().map_err(|error| corrupt("digest", error))?),
        created_at: micros(row, "created_us")?,
        expires: optional(row, "expires_s")?.map(UnixSeconds),
        revoked_at: optional_micros(row, "revoked_us")?,
        revoked_by: owned(row.optional_text("revoked_by")?),
        revoked_reason: owned(row.optional_text("revoked_reason")?),
        incident_id: owned(row.optional_text("incident_id")?),
    })
}

/// A token as the protocol carries it, from its own columns alone.
pub(super) fn wire_token(row: &impl Columns) -> Result<wire::change::Change, StoreError> {
    let digest = row.bytes("digest")?;
    let digest =
        TokenDigest::from_slice(digest).ok_or_else(|| corrupt("digest", "not 32 bytes"))?;
    let times = (micros(row, "issued_us")?, UnixSeconds(unsigned(row, "expires_s")?));
    let revoked = optional_micros(row, "revoked_us")?.is_some();
    Ok(token_to_wire(digest, grant(row)?.0, times, revoked))
}

/// Needs `grant_index` and `agent_id`.
pub(super) fn grant(row: &impl Columns) -> Result<(GrantIndex, AgentId), StoreError> {
    let index = unsigned(row, "grant_index")?;
    let known = u32::try_from(index).ok().and_then(GrantIndex::new);
    Ok((known.ok_or_else(|| corrupt("grant_index", index))?, agent_id(row, "agent_id")?))
}

pub(super) fn labels(row: &impl Columns) -> Result<Labels, StoreError> {
    row.text("labels")?.parse().map_err(|error| corrupt("labels", error))
}

/// Needs `services` and `actions`.
pub(super) fn limits(row: &impl Columns) -> Result<TokenLimits, StoreError> {
    let limits = TokenLimits::from_stored(row.text("services")?, row.text("actions")?);
    limits.ok_or_else(|| corrupt("services", "not the limits of a grant"))
}

/// Needs `epoch`, `revision` and the column named `at`.
pub(super) fn committed(row: &impl Columns, at: &str) -> Result<Committed, StoreError> {
    let position =
        Position { epoch: unsigned(row, "epoch")?, revision: Revision(unsigned(row, "revision")?) };
    Ok(Committed { position, at: micros(row, at)? })
}

pub(super) fn update(row: &impl Columns) -> Result<StoredUpdate, StoreError> {
    let encoded = row.bytes("delta")?;
    Ok(StoredUpdate {
        committed: committed(row, "committed_us")?,
        delta: wire::Delta::decode(encoded).map_err(|error| corrupt("delta", error))?,
    })
}

pub(super) fn event(row: &impl Columns) -> Result<Event, StoreError> {
    Ok(Event {
        sequence: unsigned(row, "sequence")?,
        committed: committed(row, "at_us")?,
        action: row.text("action")?.to_owned(),
        subject: row.text("subject")?.to_owned(),
        cause: Cause { address: owned(row.optional_text("address")?), ..cause(row)? },
        before: json(row, "before")?,
        after: json(row, "after")?,
    })
}

fn json(row: &impl Columns, column: &str) -> Result<Option<serde_json::Value>, StoreError> {
    let text = row.optional_text(column)?.map(serde_json::from_str).transpose();
    text.map_err(|error| corrupt(column, error))
}

/// Needs `actor`, `reason` and `incident_id`.
pub(super) fn cause(row: &impl Columns) -> Result<Cause, StoreError> {
    Ok(Cause {
        actor: row.text("actor")?.to_owned(),
        reason: owned(row.optional_text("reason")?),
        incident_id: owned(row.optional_text("incident_id")?),
        address: None,
        role: None,
    })
}

pub(super) fn agent_id(row: &impl Columns, column: &str) -> Result<AgentId, StoreError> {
    AgentId::from_slice(row.bytes(column)?).map_err(|error| corrupt(column, error))
}

fn optional_agent(row: &impl Columns, column: &str) -> Result<Option<AgentId>, StoreError> {
    let id = row.optional_bytes(column)?.map(AgentId::from_slice).transpose();
    id.map_err(|error| corrupt(column, error))
}

pub(super) fn micros(row: &impl Columns, column: &str) -> Result<UnixMicros, StoreError> {
    unsigned(row, column).map(UnixMicros)
}

pub(super) fn optional_micros(
    row: &impl Columns,
    column: &str,
) -> Result<Option<UnixMicros>, StoreError> {
    Ok(optional(row, column)?.map(UnixMicros))
}

pub(super) fn optional(row: &impl Columns, column: &str) -> Result<Option<u64>, StoreError> {
    let value = row.optional_int(column)?;
    value.map(u64::try_from).transpose().map_err(|error| corrupt(column, error))
}

fn unsigned(row: &impl Columns, column: &str) -> Result<u64, StoreError> {
    let value = row.int(column)?;
    u64::try_from(value).map_err(|error| corrupt(column, error))
}

pub(super) fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

pub(super) fn corrupt(column: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("column {column}: {why}"))
}

/// The integers of a database are signed. Times and revisions stay far below the limit;
/// one that does not is kept at it.
pub(in crate::store) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
