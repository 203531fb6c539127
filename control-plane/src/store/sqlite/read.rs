//! Reading. Every function runs on the connection that it is given, so that the
//! caller decides what belongs to one transaction.

use kya_core::{AgentId, GrantIndex, Revision, Status, TokenId};
use sqlx::SqliteConnection;

use super::rows::{self, signed};
use crate::store::{Agent, Committed, Event, StoreError, StoredUpdate, Token, status_name};

pub(super) async fn head(db: &mut SqliteConnection) -> Result<Committed, StoreError> {
    let row = sqlx::query("SELECT epoch, revision, committed_us FROM head").fetch_one(db).await?;
    rows::committed(&row, "committed_us")
}

pub(super) async fn agent(db: &mut SqliteConnection, id: AgentId) -> Result<Agent, StoreError> {
    let row = sqlx::query("SELECT * FROM agents WHERE id = ?")
        .bind(id.to_bytes().to_vec())
        .fetch_optional(db)
        .await?;
    row.as_ref().map_or(Err(StoreError::NoSuchAgent(id)), rows::agent)
}

pub(super) async fn token(db: &mut SqliteConnection, id: TokenId) -> Result<Token, StoreError> {
    let row = sqlx::query("SELECT * FROM tokens WHERE id = ?")
        .bind(id.to_bytes().to_vec())
        .fetch_optional(db)
        .await?;
    row.as_ref().map_or(Err(StoreError::NoSuchToken(id)), rows::token)
}

pub(super) async fn agents(
    db: &mut SqliteConnection,
    status: Option<Status>,
    after: Option<AgentId>,
    limit: u32,
) -> Result<Vec<Agent>, StoreError> {
    // An id is 16 bytes, so the empty blob comes before every one.
    let query = "SELECT * FROM agents WHERE id > ?1 AND (?2 IS NULL OR status = ?2)
                 ORDER BY id LIMIT ?3";
    let found = sqlx::query(query)
        .bind(after.map(|id| id.to_bytes().to_vec()).unwrap_or_default())
        .bind(status.map(status_name))
        .bind(limit)
        .fetch_all(db)
        .await?;
    found.iter().map(rows::agent).collect()
}

pub(super) async fn tokens(
    db: &mut SqliteConnection,
    holder: Option<AgentId>,
    after: Option<TokenId>,
    limit: u32,
) -> Result<Vec<Token>, StoreError> {
    let after = after.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
    // Two queries, so that each has its index.
    let query = match holder {
        Some(holder) => {
            sqlx::query("SELECT * FROM tokens WHERE id > ? AND agent_id = ? ORDER BY id LIMIT ?")
                .bind(after)
                .bind(holder.to_bytes().to_vec())
        }
        None => sqlx::query("SELECT * FROM tokens WHERE id > ? ORDER BY id LIMIT ?").bind(after),
    };
    let found = query.bind(limit).fetch_all(db).await?;
    found.iter().map(rows::token).collect()
}

/// The one grant of an agent.
pub(super) async fn grant(
    db: &mut SqliteConnection,
    holder: AgentId,
) -> Result<GrantIndex, StoreError> {
    let row = sqlx::query("SELECT grant_index, agent_id FROM grants WHERE agent_id = ? LIMIT 1")
        .bind(holder.to_bytes().to_vec())
        .fetch_optional(db)
        .await?;
    let none = || StoreError::Corrupt(format!("{holder} has no grant"));
    rows::grant(&row.ok_or_else(none)?).map(|(index, _)| index)
}

pub(super) async fn updates_after(
    db: &mut SqliteConnection,
    revision: Revision,
    limit: u32,
) -> Result<Vec<StoredUpdate>, StoreError> {
    let found = sqlx::query("SELECT * FROM updates WHERE revision > ? ORDER BY revision LIMIT ?")
        .bind(signed(revision.0))
        .bind(limit)
        .fetch_all(db)
        .await?;
    found.iter().map(rows::update).collect()
}

pub(super) async fn committed(
    db: &mut SqliteConnection,
    revision: Revision,
) -> Result<Option<Committed>, StoreError> {
    let found = sqlx::query("SELECT epoch, revision, committed_us FROM updates WHERE revision = ?")
        .bind(signed(revision.0))
        .fetch_optional(db)
        .await?;
    found.as_ref().map(|row| rows::committed(row, "committed_us")).transpose()
}

pub(super) async fn events_after(
    db: &mut SqliteConnection,
    after: u64,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let found = sqlx::query("SELECT * FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?")
        .bind(signed(after))
        .bind(limit)
        .fetch_all(db)
        .await?;
    found.iter().map(rows::event).collect()
}
