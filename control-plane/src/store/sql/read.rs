//! Reading. Every function runs on the connection that it is given, so that the
//! caller decides what belongs to one transaction.

use kya_core::Revision;

use super::rows::{self, signed};
use super::{Columns, Sql, values};
use crate::store::{Committed, Event, StoreError, StoredUpdate};

pub(in crate::store) async fn head(db: &mut impl Sql) -> Result<Committed, StoreError> {
    let row = db.one("SELECT epoch, revision, committed_us FROM head", values![]).await?;
    rows::committed(&row, "committed_us")
}

pub(super) async fn updates_after(
    db: &mut impl Sql,
    revision: Revision,
    limit: u32,
) -> Result<Vec<StoredUpdate>, StoreError> {
    let found = db
        .all(
            "SELECT * FROM updates WHERE revision > $1 ORDER BY revision LIMIT $2",
            values![signed(revision.0), limit],
        )
        .await?;
    found.iter().map(rows::update).collect()
}

pub(in crate::store) async fn committed(
    db: &mut impl Sql,
    revision: Revision,
) -> Result<Option<Committed>, StoreError> {
    let found = db
        .first(
            "SELECT epoch, revision, committed_us FROM updates WHERE revision = $1",
            values![signed(revision.0)],
        )
        .await?;
    found.as_ref().map(|row| rows::committed(row, "committed_us")).transpose()
}

pub(super) async fn events_after(
    db: &mut impl Sql,
    after: u64,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let found = db
        .all(
            "SELECT * FROM events WHERE sequence > $1 ORDER BY sequence LIMIT $2",
            values![signed(after), limit],
        )
        .await?;
    found.iter().map(rows::event).collect()
}

/// The sequence of the newest event, 0 before the first.
pub(super) async fn newest_event(db: &mut impl Sql) -> Result<u64, StoreError> {
    let row = db.one("SELECT max(sequence) AS newest FROM events", values![]).await?;
    Ok(row.optional_int("newest")?.unwrap_or_default().unsigned_abs())
}
