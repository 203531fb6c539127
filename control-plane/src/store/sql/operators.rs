//! Operators. They are read and written beside the authority, and take no revision.

use kya_core::{OperatorKeyDigest, UnixSeconds};

use super::rows::{self, signed};
use super::write::Write;
use super::{Columns, Engine, Sql, shown, values};
use crate::operators::{OperatorName, Role};
use crate::store::{
    Cause, NewOperator, OperatorOutcome, OperatorRecord, RevokedOperator, StoreError,
};

pub(super) async fn add(
    mut write: Write<impl Engine>,
    new: NewOperator,
    cause: Cause,
) -> Result<OperatorRecord, StoreError> {
    if by_name(write.db(), new.name.as_str()).await?.is_some() {
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
    write
        .db()
        .execute(
            "INSERT INTO operators (name, role, digest, created_us, created_by, expires_s)
             VALUES ($1, $2, $3, $4, $5, $6)",
            values![
                operator.name.as_str(),
                operator.role.name(),
                operator.digest.0.to_vec(),
                signed(at.0),
                &operator.created_by,
                operator.expires.map(|expires| signed(expires.0))
            ],
        )
        .await?;
    write.shows(None, shown::operator(&operator));
    write.commit_aside("operator.added", operator.name.to_string(), cause).await?;
    Ok(operator)
}

pub(super) async fn revoke(
    mut write: Write<impl Engine>,
    name: OperatorName,
    cause: Cause,
) -> Result<OperatorOutcome, StoreError> {
    let Some(before) = by_name(write.db(), name.as_str()).await? else {
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
    write
        .db()
        .execute(
            "UPDATE operators SET revoked_us = $1, revoked_by = $2, revoked_reason = $3,
             incident_id = $4 WHERE name = $5",
            values![
                signed(at.0),
                &revoked.by,
                &revoked.reason,
                &revoked.incident_id,
                name.as_str()
            ],
        )
        .await?;
    let was = shown::operator(&before);
    let record = OperatorRecord { revoked: Some(revoked), ..before };
    write.shows(was, shown::operator(&record));
    write.commit_aside("operator.revoked", name.to_string(), cause).await?;
    Ok(OperatorOutcome { record, changed: true })
}

/// The operator of this name, if one with a key was ever called so.
pub(super) async fn by_name(
    db: &mut impl Sql,
    name: &str,
) -> Result<Option<OperatorRecord>, StoreError> {
    let found = db.first("SELECT * FROM operators WHERE name = $1", values![name]).await?;
    found.as_ref().map(operator).transpose()
}

pub(super) async fn by_key(
    db: &mut impl Sql,
    digest: OperatorKeyDigest,
) -> Result<Option<OperatorRecord>, StoreError> {
    let found =
        db.first("SELECT * FROM operators WHERE digest = $1", values![digest.0.to_vec()]).await?;
    found.as_ref().map(operator).transpose()
}

pub(super) async fn list(
    db: &mut impl Sql,
    after: Option<OperatorName>,
    limit: u32,
) -> Result<Vec<OperatorRecord>, StoreError> {
    // A name is not empty, so the empty text comes before every one.
    let after = after.as_ref().map_or("", OperatorName::as_str).to_owned();
    let found = db
        .all(
            "SELECT * FROM operators WHERE name > $1 ORDER BY name LIMIT $2",
            values![after, limit],
        )
        .await?;
    found.iter().map(operator).collect()
}

fn operator(row: &impl Columns) -> Result<OperatorRecord, StoreError> {
    let (name, role) = (row.text("name")?.to_owned(), row.text("role")?);
    let digest = row.bytes("digest")?;
    let by = rows::owned(row.optional_text("revoked_by")?);
    let revoked = match (rows::optional_micros(row, "revoked_us")?, by) {
        (Some(at), Some(by)) => Some(RevokedOperator {
            at,
            by,
            reason: rows::owned(row.optional_text("revoked_reason")?),
            incident_id: rows::owned(row.optional_text("incident_id")?),
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
        created_by: row.text("created_by")?.to_owned(),
        expires: rows::optional(row, "expires_s")?.map(UnixSeconds),
        revoked,
    })
}
