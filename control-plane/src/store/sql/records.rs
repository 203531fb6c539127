//! All authority, in pages.

use std::time::Duration;

use kya_core::{UnixSeconds, wire};
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt};
use wire::change::Change;

use super::agents::agents;
use super::rows::{self, signed};
use super::{Columns, Sql, capability_tokens, issuer, policies, values};
use crate::store::stops::fleet_to_wire;
use crate::store::{Pages, RECORDS_A_PAGE, StoreError};

/// How long the next row may take.
const SILENCE: Duration = Duration::from_secs(30);

/// Sends every record. Ends early if nobody takes them any more.
pub(super) async fn send(
    db: &mut impl Sql,
    horizon: UnixSeconds,
    pages: &Pages,
) -> Result<(), StoreError> {
    let fleet = db.stream("SELECT * FROM fleet", values![]);
    send_all(fleet, pages, |row| Ok(fleet_to_wire(&rows::decided(row)?))).await?;
    let principals = db.stream("SELECT * FROM principals", values![]);
    send_all(principals, pages, |row| Ok(rows::principal(row)?.to_wire())).await?;
    // A policy before the agents that are under it.
    let current = db.stream(policies::CURRENT, values![]);
    send_all(current, pages, |row| Ok(policies::policy(row)?.to_wire())).await?;
    let capabilities = db.stream("SELECT * FROM capabilities", values![]);
    send_all(capabilities, pages, |row| Ok(rows::capability(row)?.to_wire())).await?;
    let agents = db.stream(agents!(""), values![]);
    send_all(agents, pages, |row| Ok(rows::agent(row)?.to_wire())).await?;
    let grants = db.stream("SELECT * FROM grants", values![]);
    let grant = |row: &_| {
        let (index, holder) = rows::grant(row)?;
        Ok(rows::limits(row)?.to_wire(index, holder))
    };
    send_all(grants, pages, grant).await?;
    let issuer = issuer::read(db).await?;
    if issuer.name.is_some() {
        send_page(vec![wire::Change { change: Some(issuer.to_wire()) }], pages).await;
    }
    let taken_back =
        "SELECT * FROM capability_tokens WHERE revoked_us IS NOT NULL AND expires_s > $1";
    let taken_back = db.stream(taken_back, values![signed(horizon.0)]);
    let taken_back_to_wire = |row: &_| Ok(capability_tokens::bare(row)?.revocation_to_wire());
    send_all(taken_back, pages, taken_back_to_wire).await?;
    let tokens = "SELECT * FROM tokens WHERE expires_s > $1";
    let tokens = db.stream(tokens, values![signed(horizon.0)]);
    send_all(tokens, pages, rows::wire_token).await
}

async fn send_all<R: Columns>(
    mut found: impl Stream<Item = Result<R, sqlx::Error>> + Unpin,
    pages: &Pages,
    record: impl Fn(&R) -> Result<Change, StoreError>,
) -> Result<(), StoreError> {
    let mut page = Vec::with_capacity(RECORDS_A_PAGE);
    let silent = |_| StoreError::Unavailable("it went silent while everything was read".into());
    while let Some(row) = timeout(SILENCE, found.next()).await.map_err(silent)? {
        page.push(wire::Change { change: Some(record(&row?)?) });
        if page.len() == RECORDS_A_PAGE {
            let full = std::mem::replace(&mut page, Vec::with_capacity(RECORDS_A_PAGE));
            if pages.send(full).await.is_err() {
                return Ok(());
            }
        }
    }
    if !page.is_empty() {
        send_page(page, pages).await;
    }
    Ok(())
}

async fn send_page(page: Vec<wire::Change>, pages: &Pages) {
    // Fails only when nobody takes it, which is no failure of the store.
    let _ = pages.send(page).await;
}
