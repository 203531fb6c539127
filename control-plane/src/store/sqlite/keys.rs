//! The log of the keys that sign updates.

use std::path::Path;

use kya_core::{PublicKey, Revision};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Row, SqliteConnection};

use super::rows::{self, signed};
use super::write::Write;
use crate::store::{Cause, KeyAction, KeyChange, KeyStep, NewKeyStep, Outcome, StoreError};

const MAX_STEPS: u32 = 1_000;

pub(super) async fn after(
    db: &mut SqliteConnection,
    revision: Revision,
) -> Result<Vec<KeyStep>, StoreError> {
    // The newest, should there ever be more.
    let found = sqlx::query(
        "SELECT key_steps.*, epoch, committed_us
         FROM key_steps JOIN updates USING (revision)
         WHERE key_steps.revision > ? ORDER BY key_steps.revision DESC LIMIT ?",
    )
    .bind(signed(revision.0))
    .bind(MAX_STEPS)
    .fetch_all(db)
    .await?;
    found.iter().rev().map(step).collect()
}

pub(super) async fn take(
    mut write: Write,
    new: NewKeyStep,
    cause: Cause,
) -> Result<Outcome<KeyStep>, StoreError> {
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT max(revision) FROM key_steps").fetch_one(write.db()).await?;
    if newest.unwrap_or_default() != signed(new.follows.0) {
        return Err(StoreError::KeysChanged);
    }
    let KeyChange { action, serial, active, counting, signed: update } = &new.change;
    let revision = write.position().revision;
    let counting: Vec<_> = counting.iter().map(PublicKey::to_string).collect();
    // The update that it refers to is written with the commit.
    sqlx::query("PRAGMA defer_foreign_keys = ON").execute(write.db()).await?;
    sqlx::query(
        "INSERT INTO key_steps
         (revision, action, serial, active, counting, signed, actor, reason, incident_id)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(signed(revision.0))
    .bind(action.name())
    .bind(signed(*serial))
    .bind(active.to_string())
    .bind(counting.join(" "))
    .bind(update)
    .bind(&cause.actor)
    .bind(&cause.reason)
    .bind(&cause.incident_id)
    .execute(write.db())
    .await?;
    let event = format!("key.{}", action.name());
    let subject = new.change.subject().id().to_string();
    let committed = write.commit(Vec::new(), &event, subject, cause.clone()).await?;
    let record = KeyStep { change: new.change, committed, cause };
    Ok(Outcome { record, changed: true, committed })
}

/// Reads the log in a database that a server may be using, without changing
/// anything. A database from before there was a log has an empty one.
pub(super) async fn peek(path: &Path) -> Result<Vec<KeyStep>, StoreError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut db = options.busy_timeout(super::WAIT).connect().await?;
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name = 'key_steps'")
            .fetch_one(&mut db)
            .await?;
    if tables == 0 {
        return Ok(Vec::new());
    }
    after(&mut db, Revision(0)).await
}

fn step(row: &SqliteRow) -> Result<KeyStep, StoreError> {
    let action: &str = row.try_get("action")?;
    let active: &str = row.try_get("active")?;
    let counting: &str = row.try_get("counting")?;
    let key = |text: &str| {
        text.parse::<PublicKey>().map_err(|error| rows::corrupt("a key that signs", error))
    };
    let serial: i64 = row.try_get("serial")?;
    Ok(KeyStep {
        change: KeyChange {
            action: KeyAction::from_name(action).ok_or_else(|| rows::corrupt("action", action))?,
            serial: u64::try_from(serial).map_err(|error| rows::corrupt("serial", error))?,
            active: key(active)?,
            counting: counting.split(' ').map(key).collect::<Result<_, _>>()?,
            signed: row.try_get("signed")?,
        },
        committed: rows::committed(row, "committed_us")?,
        cause: Cause {
            actor: row.try_get("actor")?,
            reason: row.try_get("reason")?,
            incident_id: row.try_get("incident_id")?,
        },
    })
}
