//! Principals.

use kya_core::{InFlight, PrincipalId, Status};

use super::rows::{self, signed};
use super::write::Write;
use super::{Engine, Sql, shown, undoing, values};
use crate::principals::PrincipalKey;
use crate::store::{
    Cause, Decided, NewPrincipal, Outcome, Principal, Restorable, StatusAction, StopError,
    StoreError, in_flight_name, rules, status_name,
};

pub(super) async fn add(
    mut write: Write<impl Engine>,
    new: NewPrincipal,
    cause: Cause,
) -> Result<Outcome<Principal>, StoreError> {
    if find(write.db(), &PrincipalKey::Name(new.name.clone())).await?.is_some() {
        return Err(StopError::PrincipalNameTaken(new.name).into());
    }
    let (at, _) = write.time();
    let decided = Decided {
        status: Status::Active,
        in_flight: InFlight::Abort,
        changed_at: at,
        revoked_at: None,
        reason: None,
        incident_id: None,
        revision: write.position().revision,
    };
    let principal = Principal { id: new.id, name: new.name, created_at: at, decided };
    let insert = "INSERT INTO principals
         (id, name, created_us, status, in_flight, status_changed_us, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = values![
        principal.id.to_bytes().to_vec(),
        principal.name.as_str(),
        signed(at.0),
        status_name(Status::Active),
        in_flight_name(InFlight::Abort),
        signed(at.0),
        signed(principal.decided.revision.0),
    ];
    write.db().execute(insert, values).await?;
    let (changes, id) = (vec![principal.to_wire()], principal.id.to_string());
    write.shows(None, shown::principal(&principal));
    let committed = write.commit(changes, "principal.added", id, cause).await?;
    Ok(Outcome { record: principal, changed: true, committed })
}

pub(super) async fn decide(
    mut write: Write<impl Engine>,
    key: PrincipalKey,
    action: StatusAction,
    cause: Cause,
) -> Result<Outcome<Principal>, StoreError> {
    let before = by_key(write.db(), &key).await?;
    let Some(next) = rules::next_of_principal(&before, action)? else {
        let revision = before.decided.revision;
        let of = Restorable::Principal(PrincipalKey::Id(before.id));
        return undoing::unchanged(write, (before, revision), (of, action), cause).await;
    };
    let decided = write.decided(next, before.decided.revoked_at, &cause);
    let update = "UPDATE principals SET status = $1, in_flight = $2, revoked_us = $3,
         status_changed_us = $4, status_reason = $5, incident_id = $6, revision = $7
         WHERE id = $8";
    let mut values = decided_values(&decided);
    values.extend(values![before.id.to_bytes().to_vec()]);
    write.db().execute(update, values).await?;
    let was = shown::principal(&before);
    let principal = Principal { decided, ..before };
    write.shows(was, shown::principal(&principal));
    let (changes, id) = (vec![principal.to_wire()], principal.id.to_string());
    let committed = write.commit(changes, rules::principal_event(action), id, cause).await?;
    Ok(Outcome { record: principal, changed: true, committed })
}

/// Status, in flight, revoked at, changed at, reason, incident and revision.
pub(super) fn decided_values(decided: &Decided) -> Vec<super::Value> {
    values![
        status_name(decided.status),
        in_flight_name(decided.in_flight),
        decided.revoked_at.map(|at| signed(at.0)),
        signed(decided.changed_at.0),
        &decided.reason,
        &decided.incident_id,
        signed(decided.revision.0),
    ]
}

pub(super) async fn by_key(db: &mut impl Sql, key: &PrincipalKey) -> Result<Principal, StoreError> {
    find(db, key).await?.ok_or_else(|| StopError::NoSuchPrincipal(key.clone()).into())
}

async fn find(db: &mut impl Sql, key: &PrincipalKey) -> Result<Option<Principal>, StoreError> {
    let row = match key {
        PrincipalKey::Id(id) => {
            let query = "SELECT * FROM principals WHERE id = $1";
            db.first(query, values![id.to_bytes().to_vec()]).await?
        }
        PrincipalKey::Name(name) => {
            let query = "SELECT * FROM principals WHERE name = $1";
            db.first(query, values![name.as_str()]).await?
        }
    };
    row.as_ref().map(rows::principal).transpose()
}

pub(super) async fn list(
    db: &mut impl Sql,
    status: Option<Status>,
    after: Option<PrincipalId>,
    limit: u32,
) -> Result<Vec<Principal>, StoreError> {
    let query = "SELECT * FROM principals
                 WHERE id > $1 AND (CAST($2 AS TEXT) IS NULL OR status = $2)
                 ORDER BY id LIMIT $3";
    let after = after.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
    let found = db.all(query, values![after, status.map(status_name), limit]).await?;
    found.iter().map(rows::principal).collect()
}
