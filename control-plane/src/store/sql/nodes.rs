//! Node registrations. They are read and written beside the authority, and take
//! no revision.

use kya_core::{NodeCredentialDigest, UnixSeconds};

use super::rows::{self, signed};
use super::write::Write;
use super::{Engine, Sql, shown, values};
use crate::nodes::NodeName;
use crate::store::{Cause, NODE_REVOKED, NewNode, NodeOutcome, NodeRegistration, StoreError};

pub(super) async fn register(
    mut write: Write<impl Engine>,
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
    write
        .db()
        .execute(
            "INSERT INTO node_registrations (name, node_id, digest, created_us, expires_s)
         VALUES ($1, $2, $3, $4, $5)",
            values![
                node.name.as_str(),
                node.node_id.as_str(),
                node.digest.0.to_vec(),
                signed(at.0),
                node.expires.map(|expires| signed(expires.0))
            ],
        )
        .await?;
    write.shows(None, shown::node(&node));
    write.commit_aside("node.registered", node.name.to_string(), cause).await?;
    Ok(node)
}

pub(super) async fn revoke(
    mut write: Write<impl Engine>,
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
    let was = shown::node(&before);
    let record = NodeRegistration {
        revoked_at: Some(at),
        revoked_by: Some(cause.actor.clone()),
        revoked_reason: cause.reason.clone(),
        incident_id: cause.incident_id.clone(),
        ..before
    };
    write
        .db()
        .execute(
            "UPDATE node_registrations SET revoked_us = $1, revoked_by = $2, revoked_reason = $3,
             incident_id = $4 WHERE name = $5",
            values![
                signed(at.0),
                &record.revoked_by,
                &record.revoked_reason,
                &record.incident_id,
                name.as_str()
            ],
        )
        .await?;
    write.shows(was, shown::node(&record));
    write.commit_aside(NODE_REVOKED, name.to_string(), cause).await?;
    Ok(NodeOutcome { record, changed: true })
}

async fn by_name(
    db: &mut impl Sql,
    name: &NodeName,
) -> Result<Option<NodeRegistration>, StoreError> {
    let found = db
        .first("SELECT * FROM node_registrations WHERE name = $1", values![name.as_str()])
        .await?;
    found.as_ref().map(rows::node).transpose()
}

pub(super) async fn by_credential(
    db: &mut impl Sql,
    digest: NodeCredentialDigest,
) -> Result<Option<NodeRegistration>, StoreError> {
    let found = db
        .first("SELECT * FROM node_registrations WHERE digest = $1", values![digest.0.to_vec()])
        .await?;
    found.as_ref().map(rows::node).transpose()
}

pub(super) async fn list(
    db: &mut impl Sql,
    after: Option<NodeName>,
    limit: u32,
) -> Result<Vec<NodeRegistration>, StoreError> {
    // A name is not empty, so the empty text comes before every one.
    let after = after.as_ref().map_or("", NodeName::as_str).to_owned();
    let found = db
        .all(
            "SELECT * FROM node_registrations WHERE name > $1 ORDER BY name LIMIT $2",
            values![after, limit],
        )
        .await?;
    found.iter().map(rows::node).collect()
}
