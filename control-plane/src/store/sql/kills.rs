//! Kills, written beside the change that stops.

use kya_core::wire::{self, change::Change};
use kya_core::{InFlight, KillId, Revision};

use super::rows::{self, corrupt, signed};
use super::{Columns, Sql, values};
use crate::store::{
    Cause, Committed, Kill, KillFilter, StoreError, in_flight_from_name, in_flight_name,
};

/// What becomes of requests in flight by these changes.
pub(super) fn ending(changes: &[Change]) -> InFlight {
    let drains = |change: &Change| {
        let standing = match change {
            Change::Fleet(it) => it.standing.as_ref(),
            Change::Principal(it) => it.standing.as_ref(),
            Change::Agent(it) => it.standing.as_ref(),
            Change::Capability(it) => it.standing.as_ref(),
            _ => None,
        };
        standing.is_some_and(|it| it.in_flight == i32::from(wire::InFlight::Drain))
    };
    if changes.iter().any(drains) { InFlight::Drain } else { InFlight::Abort }
}

/// Writes a kill whose event was written last.
pub(super) async fn note(
    db: &mut impl Sql,
    committed: Committed,
    act: &str,
    subject: &str,
    cause: &Cause,
    ending: InFlight,
) -> Result<(), StoreError> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|error| StoreError::Unavailable(error.into()))?;
    let id = KillId::from_parts(committed.at.millis().0, random);
    let insert = "INSERT INTO kills
         (id, event, epoch, revision, at_us, act, subject, actor, role, address, reason,
          incident_id, in_flight)
         SELECT $1, max(sequence), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM events";
    let values = values![
        id.to_bytes().to_vec(),
        signed(committed.position.epoch),
        signed(committed.position.revision.0),
        signed(committed.at.0),
        act,
        subject,
        &cause.actor,
        &cause.role,
        &cause.address,
        &cause.reason,
        &cause.incident_id,
        in_flight_name(ending),
    ];
    Ok(db.execute(insert, values).await?)
}

pub(super) async fn by_id(db: &mut impl Sql, id: KillId) -> Result<Option<Kill>, StoreError> {
    let query = "SELECT * FROM kills WHERE id = $1";
    db.first(query, values![id.to_bytes().to_vec()]).await?.as_ref().map(kill).transpose()
}

pub(super) async fn at(
    db: &mut impl Sql,
    revision: Revision,
) -> Result<Option<KillId>, StoreError> {
    let query = "SELECT id FROM kills WHERE revision = $1";
    db.first(query, values![signed(revision.0)]).await?.as_ref().map(id).transpose()
}

pub(super) async fn list(
    db: &mut impl Sql,
    filter: &KillFilter,
    before: Option<KillId>,
    limit: u32,
) -> Result<Vec<Kill>, StoreError> {
    let before = match before {
        None => u64::MAX,
        Some(id) => by_id(db, id).await?.map_or(0, |kill| kill.event),
    };
    let KillFilter { subject, act, incident_id } = filter;
    let all = "SELECT * FROM kills WHERE event < $1
                 AND (CAST($2 AS TEXT) IS NULL OR act = $2)
                 AND (CAST($3 AS TEXT) IS NULL OR incident_id = $3)
               ORDER BY event DESC LIMIT $4";
    let of_subject = "SELECT * FROM kills WHERE event < $1
                        AND (CAST($2 AS TEXT) IS NULL OR act = $2)
                        AND (CAST($3 AS TEXT) IS NULL OR incident_id = $3) AND subject = $5
                      ORDER BY event DESC LIMIT $4";
    let found = match subject {
        None => db.all(all, values![signed(before), act, incident_id, limit]).await?,
        Some(subject) => {
            let values = values![signed(before), act, incident_id, limit, subject];
            db.all(of_subject, values).await?
        }
    };
    found.iter().map(kill).collect()
}

pub(super) async fn of_events(
    db: &mut impl Sql,
    first: u64,
    last: u64,
) -> Result<Vec<Kill>, StoreError> {
    let query = "SELECT * FROM kills WHERE event >= $1 AND event <= $2 ORDER BY event";
    db.all(query, values![signed(first), signed(last)]).await?.iter().map(kill).collect()
}

fn id(row: &impl Columns) -> Result<KillId, StoreError> {
    KillId::from_slice(row.bytes("id")?).map_err(|error| corrupt("id", error))
}

fn kill(row: &impl Columns) -> Result<Kill, StoreError> {
    let in_flight = row.text("in_flight")?;
    Ok(Kill {
        id: id(row)?,
        event: rows::count(row, "event")?,
        committed: rows::committed(row, "at_us")?,
        act: row.text("act")?.to_owned(),
        subject: row.text("subject")?.to_owned(),
        cause: Cause {
            role: rows::owned(row.optional_text("role")?),
            address: rows::owned(row.optional_text("address")?),
            ..rows::cause(row)?
        },
        in_flight: in_flight_from_name(in_flight).ok_or_else(|| corrupt("in_flight", in_flight))?,
    })
}
