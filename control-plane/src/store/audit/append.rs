//! Appending: the one transaction that adds to the trail.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use kya_core::audit::ChainHash;
use kya_core::audit::merkle::Tile;
use sqlx::Transaction;
use sqlx::pool::PoolConnection;

use super::bundles::{self, Bundle};
use super::many::{self, Many};
use super::{Additions, Author, EventCursor, Locked, SourceKey, SourceRow, SourceState, TrailHead};
use super::{kills, sources as of_sources};
use crate::store::StoreError;
use crate::store::sql::{Columns, Sql, signed, values};
use crate::time::UnixMicros;

/// A database that has the tables of the trail.
#[async_trait]
pub(super) trait Tables: std::fmt::Debug + Send + Sync + 'static {
    type Engine: Many;
    /// Reads the head, and keeps every other writer out until the transaction ends.
    const LOCK: &'static str;
    /// Inserts rows of `audit_taken` from one JSON text: an array of arrays.
    const TAKEN: &'static str;
    /// Counts and lists the requests in flight of one worker.
    const FLIGHTS: kills::Statements;

    async fn writer(&self) -> Result<Transaction<'static, Self::Engine>, StoreError>;

    async fn reader(&self) -> Result<PoolConnection<Self::Engine>, StoreError>;

    /// A transaction that sees one state.
    async fn snapshot(&self) -> Result<Transaction<'static, Self::Engine>, StoreError>;

    /// Writes the bundles with few statements, and what is found in them.
    async fn insert(
        db: &mut <Self::Engine as sqlx::Database>::Connection,
        bundles: &[Bundle<'_>],
    ) -> Result<(), StoreError>;

    /// Does it, or gives up where the database does not answer.
    async fn bounded<T: Send>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError>;

    async fn close(&self);
}

const NEWEST_KEY: &str = "SELECT verifier_key FROM audit_keys ORDER BY seq DESC LIMIT 1";

pub(super) async fn append<T: Tables>(
    tables: &T,
    author: Arc<dyn Author>,
) -> Result<Additions, StoreError> {
    let mut transaction = tables.writer().await?;
    let db = &mut *transaction;
    let row = db.one(T::LOCK, values![]).await?;
    let head = head(&row)?;
    let keys = author.sources();
    let sources = sources::<T>(db, &keys).await?;
    let alive = of_sources::alive(db, &keys, &sources).await?;
    let taken = of_sources::taken(db, &author.spans(), &sources).await?;
    let unended = unended::<T>(db, &sources, &author.unended()).await?;
    let ids: Vec<_> = sources.iter().map(|it| it.as_ref().map(|it| it.id)).collect();
    let mut kills = HashMap::new();
    for id in author.kills() {
        if let Some(row) = kills::row(db, &id).await? {
            kills.insert(id, row);
        }
    }
    let newest = db.first(NEWEST_KEY, values![]).await?;
    let key = newest.map(|row| row.text("verifier_key").map(str::to_owned)).transpose()?;
    let locked = Locked { head, key, sources, unended, taken, alive, kills };
    // Hashing thousands of records is nothing for a thread that answers others, too.
    let writing = tokio::task::spawn_blocking(move || author.write(locked));
    let failed = |error: tokio::task::JoinError| StoreError::Unavailable(error.into());
    let additions = writing.await.map_err(failed)??;
    write::<T>(db, &keys, ids, &additions).await?;
    transaction.commit().await?;
    Ok(additions)
}

async fn write<T: Tables>(
    db: &mut <T::Engine as sqlx::Database>::Connection,
    keys: &[SourceKey],
    mut ids: Vec<Option<i64>>,
    additions: &Additions,
) -> Result<(), StoreError> {
    T::insert(db, &bundles::pack(&additions.lines)).await?;
    for tile in &additions.tiles {
        let values = values![i64::from(tile.id().level), signed(tile.id().index), tile.to_bytes()];
        db.execute("INSERT INTO audit_tiles (level, tile, hashes) VALUES ($1, $2, $3)", values)
            .await?;
    }
    let statements = T::Engine::STATEMENTS;
    let mut known = Vec::new();
    for ((key, id), row) in keys.iter().zip(&mut ids).zip(&additions.sources) {
        let Some(row) = row else { continue };
        let (slot, next, seen) = (i64::from(row.slot), signed(row.next), signed(row.seen.0));
        match *id {
            Some(id) => known.push((slot, next, seen, row.state.name(), row.unended, id)),
            None => *id = Some(insert_source(db, key, row).await?),
        }
    }
    many::execute(db, statements.update_sources, &known).await?;
    let id = |place: usize| ids.get(place).copied().flatten();
    of_sources::write::<T>(db, &id, additions).await?;
    kills::write::<T::Engine>(db, &id, &additions.kills).await?;
    for place in &additions.forgotten {
        let Some(source) = id(*place) else { continue };
        db.execute("DELETE FROM audit_unended WHERE source = $1", values![source]).await?;
    }
    let ended = additions.ended.iter();
    let ended: Vec<_> = ended.filter_map(|(place, n)| Some((id(*place)?, signed(*n)))).collect();
    many::execute(db, statements.ended, &ended).await?;
    let began = additions.began.iter();
    let began = began.filter_map(|(place, n, agent)| Some((id(*place)?, signed(*n), agent)));
    let began: Vec<_> = began.collect();
    many::execute(db, statements.began, &began).await?;
    if let Some(key) = &additions.key {
        let insert = "INSERT INTO audit_keys (seq, verifier_key) VALUES ($1, $2)";
        db.execute(insert, values![signed(key.seq), &key.verifier_key]).await?;
    }
    if let Some(key) = &additions.announced {
        let insert = "INSERT INTO audit_announced (seq, verifier_key) VALUES ($1, $2)";
        db.execute(insert, values![signed(key.seq), &key.verifier_key]).await?;
    }
    if let Some(it) = &additions.archived {
        let insert =
            "INSERT INTO audit_archives (seq, first, last, sha256) VALUES ($1, $2, $3, $4)";
        let values = values![signed(it.seq), signed(it.first), signed(it.last), &it.sha256];
        db.execute(insert, values).await?;
    }
    if let Some(it) = &additions.checkpoint {
        let insert = "INSERT INTO audit_checkpoints (size, signed_us, note) VALUES ($1, $2, $3)";
        db.execute(insert, values![signed(it.size), signed(it.signed.0), &it.note]).await?;
    }
    let head = &additions.head;
    let update = "UPDATE audit_head SET size = $1, hash = $2, edge = $3, recorded_us = $4,
                  event = $5, event_epoch = $6, event_us = $7, checkpoint_size = $8,
                  checkpoint_us = $9";
    let values = values![
        signed(head.size),
        head.hash.0.to_vec(),
        head.edge.clone(),
        signed(head.recorded.0),
        signed(head.event.sequence),
        signed(head.event.epoch),
        signed(head.event.at.0),
        signed(head.checkpoint.0),
        signed(head.checkpoint.1.0),
    ];
    Ok(db.execute(update, values).await?)
}

async fn insert_source(
    db: &mut impl Sql,
    key: &SourceKey,
    row: &SourceRow,
) -> Result<i64, StoreError> {
    let (slot, next, seen) = (i64::from(row.slot), signed(row.next), signed(row.seen.0));
    let (state, unended) = (row.state.name(), signed(row.unended));
    let insert = "INSERT INTO audit_sources
                  (node_id, instance, slot, next, seen_us, state, unended, first_seq)
                  SELECT $1, $2, $3, $4, $5, $6, $7, size FROM audit_head RETURNING id";
    let values = values![&key.node, instance(key), slot, next, seen, state, unended];
    Ok(db.one(insert, values).await?.int("id")?)
}

/// The workers that are known, by their places among these.
async fn sources<T: Tables>(
    db: &mut <T::Engine as sqlx::Database>::Connection,
    keys: &[SourceKey],
) -> Result<Vec<Option<SourceRow>>, StoreError> {
    let wanted = keys.iter().zip(0u64..);
    let wanted: Vec<_> = wanted.map(|(key, place)| (&key.node, instance(key), place)).collect();
    let mut found: Vec<_> = keys.iter().map(|_| None).collect();
    for row in many::all(db, T::Engine::STATEMENTS.sources, &wanted).await? {
        if let Some(it) = found.get_mut(place(&row)?) {
            *it = Some(source(&row)?);
        }
    }
    Ok(found)
}

/// Whose requests these are, of those that go on.
async fn unended<T: Tables>(
    db: &mut <T::Engine as sqlx::Database>::Connection,
    sources: &[Option<SourceRow>],
    wanted: &[(usize, u64)],
) -> Result<HashMap<(usize, u64), Option<String>>, StoreError> {
    let of = |place: usize| Some(sources.get(place)?.as_ref()?.id);
    let wanted = wanted.iter();
    let wanted = wanted.filter_map(|(place, n)| Some((of(*place)?, signed(*n), *place)));
    let wanted: Vec<_> = wanted.collect();
    let mut found = HashMap::new();
    for row in many::all(db, T::Engine::STATEMENTS.unended, &wanted).await? {
        let agent = row.optional_text("agent_id")?.map(str::to_owned);
        found.insert((place(&row)?, number(&row, "number")?), agent);
    }
    Ok(found)
}

fn place(row: &impl Columns) -> Result<usize, StoreError> {
    usize::try_from(row.int("place")?).map_err(|_| corrupt("place"))
}

/// Of 64 bits, all of which count.
pub(super) fn instance(key: &SourceKey) -> i64 {
    key.instance.cast_signed()
}

pub(super) fn head(row: &impl Columns) -> Result<TrailHead, StoreError> {
    Ok(TrailHead {
        origin: row.text("origin")?.to_owned(),
        size: number(row, "size")?,
        hash: hash(row)?,
        edge: row.bytes("edge")?.to_vec(),
        recorded: micros(row, "recorded_us")?,
        event: EventCursor {
            sequence: number(row, "event")?,
            epoch: number(row, "event_epoch")?,
            at: micros(row, "event_us")?,
        },
        checkpoint: (number(row, "checkpoint_size")?, micros(row, "checkpoint_us")?),
    })
}

pub(super) fn source(row: &impl Columns) -> Result<SourceRow, StoreError> {
    let state = row.text("state")?;
    Ok(SourceRow {
        id: row.int("id")?,
        slot: u32::try_from(row.int("slot")?).map_err(|_| corrupt("slot"))?,
        next: number(row, "next")?,
        seen: micros(row, "seen_us")?,
        state: SourceState::from_name(state).ok_or_else(|| corrupt("state"))?,
        unended: number(row, "unended")?,
        unremembered: number(row, "unremembered")?,
        registration: row.optional_text("registration")?.map(str::to_owned),
        conflict: row.optional_int("conflict_seq")?.map(i64::cast_unsigned),
    })
}

pub(super) fn hash(row: &impl Columns) -> Result<ChainHash, StoreError> {
    row.bytes("hash")?.try_into().map(ChainHash).map_err(|_| corrupt("hash"))
}

pub(super) fn number(row: &impl Columns, column: &str) -> Result<u64, StoreError> {
    u64::try_from(row.int(column)?).map_err(|_| corrupt(column))
}

pub(super) fn micros(row: &impl Columns, column: &str) -> Result<UnixMicros, StoreError> {
    number(row, column).map(UnixMicros)
}

pub(super) fn tile(row: &impl Columns) -> Result<Tile, StoreError> {
    let level = u8::try_from(row.int("level")?).map_err(|_| corrupt("level"))?;
    let id = kya_core::audit::merkle::TileId { level, index: number(row, "tile")? };
    Tile::from_bytes(id, row.bytes("hashes")?).map_err(|_| corrupt("hashes"))
}

pub(super) fn corrupt(column: &str) -> StoreError {
    StoreError::Corrupt(format!("`{column}` of the audit trail"))
}
