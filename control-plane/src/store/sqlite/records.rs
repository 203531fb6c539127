//! All authority, in pages.

use kya_core::{UnixSeconds, wire};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use tokio_stream::{Stream, StreamExt};
use wire::change::Change;

use super::rows::{self, signed};
use crate::store::model::grant_to_wire;
use crate::store::{Pages, RECORDS_A_PAGE, StoreError};

/// Sends every record. Ends early if nobody takes them any more.
pub(super) async fn send(
    db: &mut SqliteConnection,
    horizon: UnixSeconds,
    pages: &Pages,
) -> Result<(), StoreError> {
    let agents = sqlx::query("SELECT * FROM agents").fetch(&mut *db);
    send_all(agents, pages, |row| Ok(rows::agent(row)?.to_wire())).await?;
    let grants = sqlx::query("SELECT * FROM grants").fetch(&mut *db);
    let grant = |row: &_| rows::grant(row).map(|(index, holder)| grant_to_wire(index, holder));
    send_all(grants, pages, grant).await?;
    let tokens = "SELECT * FROM tokens WHERE expires_s > ?";
    let tokens = sqlx::query(tokens).bind(signed(horizon.0)).fetch(db);
    send_all(tokens, pages, |row| Ok(rows::token(row)?.to_wire())).await
}

async fn send_all(
    mut found: impl Stream<Item = Result<SqliteRow, sqlx::Error>> + Unpin,
    pages: &Pages,
    record: impl Fn(&SqliteRow) -> Result<Change, StoreError>,
) -> Result<(), StoreError> {
    let mut page = Vec::with_capacity(RECORDS_A_PAGE);
    while let Some(row) = found.next().await {
        page.push(wire::Change { change: Some(record(&row?)?) });
        if page.len() == RECORDS_A_PAGE {
            let full = std::mem::replace(&mut page, Vec::with_capacity(RECORDS_A_PAGE));
            if pages.send(full).await.is_err() {
                return Ok(());
            }
        }
    }
    if !page.is_empty() {
        // Fails only when nobody takes it, which is no failure of the store.
        let _ = pages.send(page).await;
    }
    Ok(())
}
