//! Reading. Every function runs on the connection that it is given, so that the
//! caller decides what belongs to one transaction.

use kya_core::{AgentId, GrantIndex, Revision, TokenId};

use super::rows::{self, signed};
use super::{Columns, Sql, values};
use crate::store::{Committed, Event, StoreError, StoredUpdate, Token};

pub(in crate::store) async fn head(db: &mut impl Sql) -> Result<Committed, StoreError> {
    let row = db.one("SELECT epoch, revision, committed_us FROM head", values![]).await?;
    rows::committed(&row, "committed_us")
}

pub(super) async fn token(db: &mut impl Sql, id: TokenId) -> Result<Token, StoreError> {
    let row =
        db.first("SELECT * FROM tokens WHERE id = $1", values![id.to_bytes().to_vec()]).await?;
    row.as_ref().map_or(Err(StoreError::NoSuchToken(id)), rows::token)
}

pub(super) async fn tokens(
    db: &mut impl Sql,
    holder: Option<AgentId>,
    after: Option<TokenId>,
    limit: u32,
) -> Result<Vec<Token>, StoreError> {
    let after = after.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
    // Two queries, so that each has its index.
    let found = match holder {
        Some(holder) => {
            let query = "SELECT * FROM tokens WHERE id > $1 AND agent_id = $2 ORDER BY id LIMIT $3";
            db.all(query, values![after, holder.to_bytes().to_vec(), limit]).await?
        }
        None => {
            let query = "SELECT * FROM tokens WHERE id > $1 ORDER BY id LIMIT $2";
            db.all(query, values![after, limit]).await?
        }
    };
    found.iter().map(rows::token).collect()
}

/// The one grant of an agent.
pub(super) async fn grant(db: &mut impl Sql, holder: AgentId) -> Result<GrantIndex, StoreError> {
    let row = db
        .first(
            "SELECT grant_index, agent_id FROM grants WHERE agent_id = $1 LIMIT 1",
            values![holder.to_bytes().to_vec()],
        )
        .await?;
    let none = || StoreError::Corrupt(format!("{holder} has no grant"));
    rows::grant(&row.ok_or_else(none)?).map(|(index, _)| index)
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
