//! Rows to records.

use kya_core::{
    AgentId, GrantIndex, NodeCredentialDigest, Position, Revision, TokenDigest, TokenId,
    UnixSeconds, wire,
};
use prost::Message;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::nodes::{NodeName, NodePattern};
use crate::store::{
    Agent, Cause, Committed, Event, NodeRegistration, StoreError, StoredUpdate, Token,
    in_flight_from_name, status_from_name,
};
use crate::time::UnixMicros;

pub(super) fn agent(row: &SqliteRow) -> Result<Agent, StoreError> {
    let status: &str = row.try_get("status")?;
    let in_flight: &str = row.try_get("in_flight")?;
    let public_key: Option<&str> = row.try_get("public_key")?;
    Ok(Agent {
        id: agent_id(row, "id")?,
        name: row.try_get("name")?,
        status: status_from_name(status).ok_or_else(|| corrupt("status", status))?,
        in_flight: in_flight_from_name(in_flight).ok_or_else(|| corrupt("in_flight", in_flight))?,
        public_key: public_key
            .map(str::parse)
            .transpose()
            .map_err(|error| corrupt("public_key", error))?,
        created_at: micros(row, "created_us")?,
        revoked_at: optional_micros(row, "revoked_us")?,
        status_changed_at: micros(row, "status_changed_us")?,
        status_actor: row.try_get("status_actor")?,
        status_reason: row.try_get("status_reason")?,
        incident_id: row.try_get("incident_id")?,
        revision: Revision(unsigned(row, "revision")?),
    })
}

pub(super) fn token(row: &SqliteRow) -> Result<Token, StoreError> {
    let digest: &[u8] = row.try_get("digest")?;
    Ok(Token {
        id: TokenId::from_slice(row.try_get("id")?).map_err(|error| corrupt("id", error))?,
        digest: TokenDigest::from_slice(digest).ok_or_else(|| corrupt("digest", "not 32 bytes"))?,
        agent_id: agent_id(row, "agent_id")?,
        grant: grant(row)?.0,
        issued_at: micros(row, "issued_us")?,
        expires: UnixSeconds(unsigned(row, "expires_s")?),
        revoked_at: optional_micros(row, "revoked_us")?,
        revision: Revision(unsigned(row, "revision")?),
    })
}

pub(super) fn node(row: &SqliteRow) -> Result<NodeRegistration, StoreError> {
    let (name, node_id): (String, String) = (row.try_get("name")?, row.try_get("node_id")?);
    let digest: &[u8] = row.try_get("digest")?;
    Ok(NodeRegistration {
        name: NodeName::try_from(name).map_err(|error| corrupt("name", error))?,
        node_id: NodePattern::try_from(node_id).map_err(|error| corrupt("node_id", error))?,
        digest: NodeCredentialDigest(digest.try_into().map_err(|error| corrupt("digest", error))?),
        created_at: micros(row, "created_us")?,
        expires: optional(row, "expires_s")?.map(UnixSeconds),
        revoked_at: optional_micros(row, "revoked_us")?,
        revoked_by: row.try_get("revoked_by")?,
        revoked_reason: row.try_get("revoked_reason")?,
        incident_id: row.try_get("incident_id")?,
    })
}

/// Needs `grant_index` and `agent_id`.
pub(super) fn grant(row: &SqliteRow) -> Result<(GrantIndex, AgentId), StoreError> {
    let index = unsigned(row, "grant_index")?;
    let known = u32::try_from(index).ok().and_then(GrantIndex::new);
    Ok((known.ok_or_else(|| corrupt("grant_index", index))?, agent_id(row, "agent_id")?))
}

/// Needs `epoch`, `revision` and the column named `at`.
pub(super) fn committed(row: &SqliteRow, at: &str) -> Result<Committed, StoreError> {
    let position =
        Position { epoch: unsigned(row, "epoch")?, revision: Revision(unsigned(row, "revision")?) };
    Ok(Committed { position, at: micros(row, at)? })
}

pub(super) fn update(row: &SqliteRow) -> Result<StoredUpdate, StoreError> {
    let encoded: &[u8] = row.try_get("delta")?;
    Ok(StoredUpdate {
        committed: committed(row, "committed_us")?,
        delta: wire::Delta::decode(encoded).map_err(|error| corrupt("delta", error))?,
    })
}

pub(super) fn event(row: &SqliteRow) -> Result<Event, StoreError> {
    Ok(Event {
        sequence: unsigned(row, "sequence")?,
        committed: committed(row, "at_us")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        cause: Cause {
            actor: row.try_get("actor")?,
            reason: row.try_get("reason")?,
            incident_id: row.try_get("incident_id")?,
        },
    })
}

fn agent_id(row: &SqliteRow, column: &str) -> Result<AgentId, StoreError> {
    AgentId::from_slice(row.try_get(column)?).map_err(|error| corrupt(column, error))
}

pub(super) fn micros(row: &SqliteRow, column: &str) -> Result<UnixMicros, StoreError> {
    unsigned(row, column).map(UnixMicros)
}

pub(super) fn optional_micros(
    row: &SqliteRow,
    column: &str,
) -> Result<Option<UnixMicros>, StoreError> {
    Ok(optional(row, column)?.map(UnixMicros))
}

pub(super) fn optional(row: &SqliteRow, column: &str) -> Result<Option<u64>, StoreError> {
    let value: Option<i64> = row.try_get(column)?;
    value.map(u64::try_from).transpose().map_err(|error| corrupt(column, error))
}

fn unsigned(row: &SqliteRow, column: &str) -> Result<u64, StoreError> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|error| corrupt(column, error))
}

pub(super) fn corrupt(column: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("column {column}: {why}"))
}

/// SQLite's integers are signed. Times and revisions stay far below the limit;
/// one that does not is kept at it.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
