//! Operators. They are read and written beside the authority, and take no revision.

use kya_core::{OperatorKeyDigest, UnixSeconds};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::rows::{self, signed};
use super::write::Write;
use crate::operators::{OperatorName, Role};
use crate::store::{
    Cause, NewOperator, OperatorOutcome, OperatorRecord, RevokedOperator, StoreError,
};

pub(super) async fn add(
    mut write: Write,
    new: NewOperator,
    cause: Cause,
) -> Result<OperatorRecord, StoreError> {
    if by_name(write.db(), &new.name).await?.is_some() {
        return Err(StoreError::OperatorNameTaken(new.name));
    }
    let (at, now) = write.time();
    let operator = OperatorRecord {
        name: new.name,
        role: new.role,
        digest: new.digest,
        created_at: at,
        created_by: cause.actor.clone(),
        expires: new.ttl_seconds.map(|ttl| UnixSeconds(now.seconds().0.saturating_add(ttl))),
        revoked: None,
    };
    sqlx::query(
        "INSERT INTO operators (name, role, digest, created_us, created_by, expires_s)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(operator.name.as_str())
    .bind(operator.role.name())
    .bind(operator.digest.0.to_vec())
    .bind(signed(at.0))
    .bind(&operator.created_by)
    .bind(operator.expires.map(|expires| signed(expires.0)))
    .execute(write.db())
    .await?;
    write.commit_aside("operator.added", operator.name.to_string(), cause).await?;
    Ok(operator)
}

pub(super) async fn revoke(
    mut write: Write,
    name: OperatorName,
    cause: Cause,
) -> Result<OperatorOutcome, StoreError> {
    let Some(before) = by_name(write.db(), &name).await? else {
        return Err(StoreError::NoSuchOperator(name));
    };
    if before.revoked.is_some() {
        write.roll_back().await?;
        return Ok(OperatorOutcome { record: before, changed: false });
    }
    let (at, _) = write.time();
    let revoked = RevokedOperator {
        at,
        by: cause.actor.clone(),
        reason: cause.reason.clone(),
        incident_id: cause.incident_id.clone(),
    };
    sqlx::query(
        "UPDATE operators SET revoked_us = ?, revoked_by = ?, revoked_reason = ?, incident_id = ?
         WHERE name = ?",
    )
    .bind(signed(at.0))
    .bind(&revoked.by)
    .bind(&revoked.reason)
    .bind(&revoked.incident_id)
    .bind(name.as_str())
    .execute(write.db())
    .await?;
    write.commit_aside("operator.revoked", name.to_string(), cause).await?;
    let record = OperatorRecord { revoked: Some(revoked), ..before };
    Ok(OperatorOutcome { record, changed: true })
}

async fn by_name(
    db: &mut SqliteConnection,
    name: &OperatorName,
) -> Result<Option<OperatorRecord>, StoreError> {
    let found = sqlx::query("SELECT * FROM operators WHERE name = ?")
        .bind(name.as_str())
        .fetch_optional(db)
        .await?;
    found.as_ref().map(operator).transpose()
}

pub(super) async fn by_key(
    db: &mut SqliteConnection,
    digest: OperatorKeyDigest,
) -> Result<Option<OperatorRecord>, StoreError> {
    let found = sqlx::query("SELECT * FROM operators WHERE digest = ?")
        .bind(digest.0.to_vec())
        .fetch_optional(db)
        .await?;
    found.as_ref().map(operator).transpose()
}

pub(super) async fn list(
    db: &mut SqliteConnection,
    after: Option<OperatorName>,
    limit: u32,
) -> Result<Vec<OperatorRecord>, StoreError> {
    // A name is not empty, so the empty text comes before every one.
    let after = after.as_ref().map_or("", OperatorName::as_str).to_owned();
    let found = sqlx::query("SELECT * FROM operators WHERE name > ? ORDER BY name LIMIT ?")
        .bind(after)
        .bind(limit)
        .fetch_all(db)
        .await?;
    found.iter().map(operator).collect()
}

fn operator(row: &SqliteRow) -> Result<OperatorRecord, StoreError> {
    let (name, role): (String, &str) = (row.try_get("name")?, row.try_get("role")?);
    let digest: &[u8] = row.try_get("digest")?;
    let by: Option<String> = row.try_get("revoked_by")?;
    let revoked = match (rows::optional_micros(row, "revoked_us")?, by) {
        (Some(at), Some(by)) => Some(RevokedOperator {
            at,
            by,
            reason: row.try_get("revoked_reason")?,
            incident_id: row.try_get("incident_id")?,
        }),
        (None, None) => None,
        _ => return Err(rows::corrupt("revoked_by", "revoked by nobody, or never")),
    };
    Ok(OperatorRecord {
        name: name.try_into().map_err(|error| rows::corrupt("name", error))?,
        role: Role::from_name(role).ok_or_else(|| rows::corrupt("role", role))?,
        digest: OperatorKeyDigest(
            digest.try_into().map_err(|error| rows::corrupt("digest", error))?,
        ),
        created_at: rows::micros(row, "created_us")?,
        created_by: row.try_get("created_by")?,
        expires: rows::optional(row, "expires_s")?.map(UnixSeconds),
        revoked,
    })
}
