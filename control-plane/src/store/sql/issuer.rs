//! The issuer of capability tokens and its keys.

use kya_core::{MAX_KEYS, PublicKey, Revision};

use super::rows::{self, signed};
use super::shown;
use super::write::Write;
use super::{Columns, Engine, Sql, values};
use crate::store::issuer::{Issuer, IssuerChange, IssuerError, TokenKey};
use crate::store::{Cause, Outcome, StoreError};

pub(super) async fn read(db: &mut impl Sql) -> Result<Issuer, StoreError> {
    let keys = "SELECT * FROM token_keys ORDER BY published_us DESC, public_key";
    let keys = db.all(keys, values![]).await?;
    let keys = keys.iter().map(key).collect::<Result<_, _>>()?;
    let row = db.first("SELECT * FROM issuer", values![]).await?;
    let Some(row) = row else { return Ok(Issuer { keys, ..Issuer::default() }) };
    Ok(Issuer {
        name: Some(row.text("name")?.to_owned()),
        max_lifetime: rows::count(&row, "max_lifetime_s")?,
        keys,
        revision: Revision(rows::count(&row, "revision")?),
    })
}

fn key(row: &impl Columns) -> Result<TokenKey, StoreError> {
    let bytes = row.bytes("public_key")?;
    let bytes = bytes.try_into().map_err(|error| rows::corrupt("public_key", error))?;
    Ok(TokenKey {
        public_key: PublicKey::from_bytes(bytes)
            .map_err(|error| rows::corrupt("public_key", error))?,
        published_at: rows::micros(row, "published_us")?,
        activated_at: rows::optional_micros(row, "activated_us")?,
        activated_revision: rows::optional(row, "activated_revision")?.map(Revision),
        retired_at: rows::optional_micros(row, "retired_us")?,
    })
}

/// Takes a step. One that was taken before changes nothing.
pub(super) async fn change(
    mut write: Write<impl Engine>,
    change: IssuerChange,
    cause: Cause,
) -> Result<Outcome<Issuer>, StoreError> {
    let before = read(write.db()).await?;
    if is_so(&before, &change)? {
        // Every change of the issuer itself is at a revision of its own.
        let revision = before.revision;
        return match revision {
            Revision(0) => Err(IssuerError::NotConfigured.into()),
            _ => write.unchanged(before, revision).await,
        };
    }
    let was = shown::issuer(&before);
    let ((at, _), position) = (write.time(), write.position());
    let (at, revision) = (signed(at.0), signed(position.revision.0));
    let (event, subject) = match &change {
        IssuerChange::Configure { name, max_lifetime } => {
            let upsert = "INSERT INTO issuer (one, name, max_lifetime_s, revision)
                          VALUES (1, $1, $2, $3)
                          ON CONFLICT (one) DO UPDATE
                          SET name = $1, max_lifetime_s = $2, revision = $3";
            let values = values![name, signed(*max_lifetime), revision];
            write.db().execute(upsert, values).await?;
            ("issuer.configured", name.clone())
        }
        IssuerChange::Publish(key) => {
            if before.published().count() >= MAX_KEYS {
                return Err(IssuerError::TooManyKeys.into());
            }
            let first = before.active().is_none();
            let insert = "INSERT INTO token_keys
                          (public_key, published_us, activated_us, activated_revision)
                          VALUES ($1, $2, $3, $4)";
            let activated = first.then_some(at);
            let values = values![bytes(*key), at, activated, first.then_some(revision)];
            write.db().execute(insert, values).await?;
            ("token_key.announced", key.id().to_string())
        }
        IssuerChange::Activate(key) => {
            let update = "UPDATE token_keys SET activated_us = $1, activated_revision = $2
                          WHERE public_key = $3";
            write.db().execute(update, values![at, revision, bytes(*key)]).await?;
            ("token_key.activated", key.id().to_string())
        }
        IssuerChange::Retire(key) => {
            let update = "UPDATE token_keys SET retired_us = $1 WHERE public_key = $2";
            write.db().execute(update, values![at, bytes(*key)]).await?;
            ("token_key.retired", key.id().to_string())
        }
    };
    write.db().execute("UPDATE issuer SET revision = $1", values![revision]).await?;
    let record = read(write.db()).await?;
    write.shows(was, shown::issuer(&record));
    let changes = vec![record.to_wire()];
    let committed = write.commit(changes, event, subject, cause).await?;
    Ok(Outcome { record, changed: true, committed })
}

/// Whether it is so already, or why it cannot be.
fn is_so(before: &Issuer, change: &IssuerChange) -> Result<bool, IssuerError> {
    let find =
        |key: PublicKey| before.find(key).ok_or_else(|| IssuerError::NoSuchKey(Box::new(key)));
    match change {
        IssuerChange::Configure { name, max_lifetime } => {
            Ok(before.name.as_ref() == Some(name) && before.max_lifetime == *max_lifetime)
        }
        _ if before.name.is_none() => Err(IssuerError::NotConfigured),
        IssuerChange::Publish(key) => match before.find(*key) {
            Some(known) if known.retired_at.is_some() => Err(IssuerError::Retired(Box::new(*key))),
            known => Ok(known.is_some()),
        },
        IssuerChange::Activate(key) => match find(*key)? {
            known if known.retired_at.is_some() => Err(IssuerError::Retired(Box::new(*key))),
            _ => Ok(before.active() == Some(*key)),
        },
        IssuerChange::Retire(key) => match find(*key)? {
            known if known.retired_at.is_some() => Ok(true),
            _ if before.active() == Some(*key) => Err(IssuerError::Active(Box::new(*key))),
            _ => Ok(false),
        },
    }
}

fn bytes(key: PublicKey) -> Vec<u8> {
    key.to_bytes().to_vec()
}
