//! Node registrations. They are read and written beside the authority, and take
//! no revision.

use kya_core::{NodeCredentialDigest, UnixSeconds};
use sqlx::SqliteConnection;

use super::rows::{self, signed};
use super::write::Write;
use crate::nodes::NodeName;
use crate::store::{Cause, NewNode, NodeOutcome, NodeRegistration, StoreError};

pub(super) async fn register(
    mut write: Write,
    new: NewNode,
    cause: Cause,
) -> Result<NodeRegistration, StoreError> {
    if by_name(write.db(), &new.name).await?.is_some() {
        return Err(StoreError::NodeNameTaken(new.name));
    }
    let (at, now) = write.time();
    let node = NodeRegistration {
        name: new.name,
        node_id: new.node_id,
        digest: new.digest,
        created_at: at,
        expires: new.ttl_seconds.map(|ttl| UnixSeconds(now.seconds().0.saturating_add(ttl))),
        revoked_at: None,
        revoked_by: None,
        revoked_reason: None,
        incident_id: None,
    };
    sqlx::query(
        "INSERT INTO node_registrations (name, node_id, digest, created_us, expires_s)
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(node.name.as_str())
    .bind(node.node_id.as_str())
    .bind(node.digest.0.to_vec())
    .bind(signed(at.0))
    .bind(node.expires.map(|expires| signed(expires.0)))
    .execute(write.db())
    .await?;
    write.commit_aside("node.registered", node.name.to_string(), cause).await?;
    Ok(node)
}

pub(super) async fn revoke(
    mut write: Write,
    name: NodeName,
    cause: Cause,
) -> Result<NodeOutcome, StoreError> {
    let Some(before) = by_name(write.db(), &name).await? else {
        return Err(StoreError::NoSuchNode(name));
    };
    if before.revoked_at.is_some() {
        write.roll_back().await?;
        return Ok(NodeOutcome { record: before, changed: false });
    }
    let (at, _) = write.time();
    let record = NodeRegistration {
        revoked_at: Some(at),
        revoked_by: Some(cause.actor.clone()),
        revoked_reason: cause.reason.clone(),
        incident_id: cause.incident_id.clone(),
        ..before
    };
    sqlx::query(
        "UPDATE node_registrations SET revoked_us = ?, revoked_by = ?, revoked_reason = ?,
         incident_id = ? WHERE name = ?",
    )
    .bind(signed(at.0))
    .bind(&record.revoked_by)
    .bind(&record.revoked_reason)
    .bind(&record.incident_id)
    .bind(name.as_str())
    .execute(write.db())
    .await?;
    write.commit_aside("node.revoked", name.to_string(), cause).await?;
    Ok(NodeOutcome { record, changed: true })
}

async fn by_name(
    db: &mut SqliteConnection,
    name: &NodeName,
) -> Result<Option<NodeRegistration>, StoreError> {
    let found = sqlx::query("SELECT * FROM node_registrations WHERE name = ?")
        .bind(name.as_str())
        .fetch_optional(db)
        .await?;
    found.as_ref().map(rows::node).transpose()
}

pub(super) async fn by_credential(
    db: &mut SqliteConnection,
    digest: NodeCredentialDigest,
) -> Result<Option<NodeRegistration>, StoreError> {
    let found = sqlx::query("SELECT * FROM node_registrations WHERE digest = ?")
        .bind(digest.0.to_vec())
        .fetch_optional(db)
        .await?;
    found.as_ref().map(rows::node).transpose()
}

pub(super) async fn list(
    db: &mut SqliteConnection,
    after: Option<NodeName>,
    limit: u32,
) -> Result<Vec<NodeRegistration>, StoreError> {
    // A name is not empty, so the empty text comes before every one.
    let after = after.as_ref().map_or("", NodeName::as_str).to_owned();
    let found =
        sqlx::query("SELECT * FROM node_registrations WHERE name > ? ORDER BY name LIMIT ?")
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await?;
    found.iter().map(rows::node).collect()
}
