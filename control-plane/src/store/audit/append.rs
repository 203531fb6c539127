//! Appending: the one transaction that adds to the trail.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use kya_core::audit::ChainHash;
use kya_core::audit::merkle::Tile;
use sqlx::Transaction;
use sqlx::pool::PoolConnection;

use super::{
    Additions, Author, EventCursor, Locked, NewLine, SourceKey, SourceRow, SourceState, TrailHead,
};
use super::{kills, sources as of_sources};
use crate::store::StoreError;
use crate::store::sql::{Columns, Engine, Sql, signed, values};
use crate::time::UnixMicros;

/// A database that has the tables of the trail.
#[async_trait]
pub(super) trait Tables: std::fmt::Debug + Send + Sync + 'static {
    type Engine: Engine;
    /// Reads the head, and keeps every other writer out until the transaction ends.
    const LOCK: &'static str;
    /// Inserts rows of `audit_taken` from one JSON text: an array of arrays.
    const TAKEN: &'static str;
    /// Counts and lists the requests in flight of one worker.
    const FLIGHTS: kills::Statements;

    async fn writer(&self) -> Result<Transaction<'static, Self::Engine>, StoreError>;

    async fn reader(&self) -> Result<PoolConnection<Self::Engine>, StoreError>;

    /// Writes many records with few statements.
    async fn insert(
        db: &mut <Self::Engine as sqlx::Database>::Connection,
        lines: &[NewLine],
    ) -> Result<(), StoreError>;

    /// Does it, or gives up where the database does not answer.
    async fn bounded<T: Send>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError>;

    async fn close(&self);
}

const SOURCE: &str = "SELECT * FROM audit_sources WHERE node_id = $1 AND instance = $2";

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
    let mut sources = Vec::with_capacity(keys.len());
    for key in &keys {
        let row = db.first(SOURCE, values![&key.node, instance(key)]).await?;
        sources.push(row.as_ref().map(source).transpose()?);
    }
    let alive = of_sources::alive(db, &keys, &sources).await?;
    let taken = of_sources::taken(db, &author.spans(), &sources).await?;
    let mut unended = HashMap::new();
    for (place, number) in author.unended() {
        let Some(Some(known)) = sources.get(place) else { continue };
        let one = "SELECT agent_id FROM audit_unended WHERE source = $1 AND number = $2";
        if let Some(row) = db.first(one, values![known.id, signed(number)]).await? {
            let agent = row.optional_text("agent_id")?.map(str::to_owned);
            unended.insert((place, number), agent);
        }
    }
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
    T::insert(db, &additions.lines).await?;
    for tile in &additions.tiles {
        let values = values![i64::from(tile.id().level), signed(tile.id().index), tile.to_bytes()];
        db.execute("INSERT INTO audit_tiles (level, tile, hashes) VALUES ($1, $2, $3)", values)
            .await?;
    }
    let places = keys.iter().zip(&mut ids).zip(&additions.sources);
    for ((key, id), row) in places {
        let Some(row) = row else { continue };
        *id = Some(write_source(db, key, *id, row).await?);
    }
    let id = |place: usize| ids.get(place).copied().flatten();
    of_sources::write::<T>(db, &id, additions).await?;
    kills::write(db, &id, &additions.kills).await?;
    for place in &additions.forgotten {
        let Some(source) = id(*place) else { continue };
        db.execute("DELETE FROM audit_unended WHERE source = $1", values![source]).await?;
    }
    for (place, number) in &additions.ended {
        let Some(source) = id(*place) else { continue };
        let ended = "DELETE FROM audit_unended WHERE source = $1 AND number = $2";
        db.execute(ended, values![source, signed(*number)]).await?;
    }
    for (place, number, agent) in &additions.began {
        let Some(source) = id(*place) else { continue };
        let began = "INSERT INTO audit_unended (source, number, agent_id) VALUES ($1, $2, $3)
                     ON CONFLICT DO NOTHING";
        db.execute(began, values![source, signed(*number), agent]).await?;
    }
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

async fn write_source(
    db: &mut impl Sql,
    key: &SourceKey,
    id: Option<i64>,
    row: &SourceRow,
) -> Result<i64, StoreError> {
    let (slot, next, seen) = (i64::from(row.slot), signed(row.next), signed(row.seen.0));
    let (state, unended) = (row.state.name(), signed(row.unended));
    let Some(id) = id else {
        let insert = "INSERT INTO audit_sources
                      (node_id, instance, slot, next, seen_us, state, unended, first_seq)
                      SELECT $1, $2, $3, $4, $5, $6, $7, size FROM audit_head RETURNING id";
        let values = values![&key.node, instance(key), slot, next, seen, state, unended];
        return Ok(db.one(insert, values).await?.int("id")?);
    };
    let update = "UPDATE audit_sources
                  SET slot = $1, next = $2, seen_us = $3, state = $4, unended = $5
                  WHERE id = $6";
    db.execute(update, values![slot, next, seen, state, unended, id]).await?;
    Ok(id)
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
