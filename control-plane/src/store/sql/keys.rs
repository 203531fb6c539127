//! The log of the keys that sign updates.

use kya_core::{PublicKey, Revision};

use super::rows::{self, signed};
use super::shown;
use super::write::Write;
use super::{Columns, Engine, Sql, values};
use crate::store::{Cause, KeyAction, KeyChange, KeyStep, NewKeyStep, Outcome, StoreError};

const MAX_STEPS: u32 = 1_000;

pub(in crate::store) async fn after(
    db: &mut impl Sql,
    revision: Revision,
) -> Result<Vec<KeyStep>, StoreError> {
    // The newest, should there ever be more.
    let found = db
        .all(
            "SELECT key_steps.*, epoch, committed_us
         FROM key_steps JOIN updates USING (revision)
         WHERE key_steps.revision > $1 ORDER BY key_steps.revision DESC LIMIT $2",
            values![signed(revision.0), MAX_STEPS],
        )
        .await?;
    found.iter().rev().map(step).collect()
}

pub(super) async fn take(
    mut write: Write<impl Engine>,
    new: NewKeyStep,
    cause: Cause,
) -> Result<Outcome<KeyStep>, StoreError> {
    let newest = write.db().one("SELECT max(revision) AS newest FROM key_steps", values![]).await?;
    if newest.optional_int("newest")?.unwrap_or_default() != signed(new.follows.0) {
        return Err(StoreError::KeysChanged);
    }
    let KeyChange { action, serial, active, counting, signed: update } = &new.change;
    let revision = write.position().revision;
    let counting: Vec<_> = counting.iter().map(PublicKey::to_string).collect();
    // The update that it refers to is written with the commit.
    write.defer_references().await?;
    write
        .db()
        .execute(
            "INSERT INTO key_steps
         (revision, action, serial, active, counting, signed, actor, reason, incident_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            values![
                signed(revision.0),
                action.name(),
                signed(*serial),
                active.to_string(),
                counting.join(" "),
                update,
                &cause.actor,
                &cause.reason,
                &cause.incident_id
            ],
        )
        .await?;
    let event = format!("key.{}", action.name());
    write.shows(None, shown::keys(&new.change));
    let subject = new.change.subject().id().to_string();
    let committed = write.commit(Vec::new(), &event, subject, cause.clone()).await?;
    let record = KeyStep { change: new.change, committed, cause };
    Ok(Outcome { record, changed: true, committed })
}

fn step(row: &impl Columns) -> Result<KeyStep, StoreError> {
    let action = row.text("action")?;
    let active = row.text("active")?;
    let counting = row.text("counting")?;
    let key = |text: &str| {
        text.parse::<PublicKey>().map_err(|error| rows::corrupt("a key that signs", error))
    };
    let serial = row.int("serial")?;
    Ok(KeyStep {
        change: KeyChange {
            action: KeyAction::from_name(action).ok_or_else(|| rows::corrupt("action", action))?,
            serial: u64::try_from(serial).map_err(|error| rows::corrupt("serial", error))?,
            active: key(active)?,
            counting: counting.split(' ').map(key).collect::<Result<_, _>>()?,
            signed: row.optional_bytes("signed")?.map(<[u8]>::to_vec),
        },
        committed: rows::committed(row, "committed_us")?,
        cause: rows::cause(row)?,
    })
}
