//! Reading what is kept beside the records.

use std::collections::HashMap;

use kya_core::audit::merkle::{Tile, TileId};

use super::append::{head, micros, number, tile};
use super::{ArchivedRange, CheckpointRow, KeyRow, SourceKey, TrailHead};
use crate::store::StoreError;
use crate::store::sql::{Columns, Sql, signed, values};
use crate::time::UnixMicros;

const HEAD: &str = "SELECT * FROM audit_head";

pub(super) async fn read_head(db: &mut impl Sql) -> Result<TrailHead, StoreError> {
    head(&db.one(HEAD, values![]).await?)
}

pub(super) async fn tiles(
    db: &mut impl Sql,
    ids: &[TileId],
) -> Result<HashMap<TileId, Tile>, StoreError> {
    let mut tiles = HashMap::new();
    for id in ids {
        let one = "SELECT * FROM audit_tiles WHERE level = $1 AND tile = $2";
        if let Some(row) = db.first(one, values![i64::from(id.level), signed(id.index)]).await? {
            tiles.insert(*id, tile(&row)?);
        }
    }
    Ok(tiles)
}

pub(super) async fn checkpoint(
    db: &mut impl Sql,
    size: Option<u64>,
) -> Result<Option<CheckpointRow>, StoreError> {
    let found = match size {
        Some(size) => {
            let one = "SELECT * FROM audit_checkpoints WHERE size = $1";
            db.first(one, values![signed(size)]).await?
        }
        None => {
            let newest = "SELECT * FROM audit_checkpoints ORDER BY size DESC LIMIT 1";
            db.first(newest, values![]).await?
        }
    };
    found.as_ref().map(a_checkpoint).transpose()
}

pub(super) async fn checkpoint_from(
    db: &mut impl Sql,
    size: u64,
) -> Result<Option<CheckpointRow>, StoreError> {
    let first = "SELECT * FROM audit_checkpoints WHERE size >= $1 ORDER BY size LIMIT 1";
    db.first(first, values![signed(size)]).await?.as_ref().map(a_checkpoint).transpose()
}

fn a_checkpoint(row: &impl Columns) -> Result<CheckpointRow, StoreError> {
    let (size, signed) = (number(row, "size")?, micros(row, "signed_us")?);
    Ok(CheckpointRow { size, signed, note: row.text("note")?.to_owned() })
}

pub(super) async fn keys(db: &mut impl Sql) -> Result<Vec<KeyRow>, StoreError> {
    let rows = db.all("SELECT * FROM audit_keys ORDER BY seq", values![]).await?;
    rows.iter().map(key).collect()
}

pub(super) async fn announced(db: &mut impl Sql) -> Result<Option<KeyRow>, StoreError> {
    let newest = "SELECT * FROM audit_announced
                  WHERE seq > (SELECT coalesce(max(seq), 0) FROM audit_keys)
                  ORDER BY seq DESC LIMIT 1";
    db.first(newest, values![]).await?.as_ref().map(key).transpose()
}

fn key(row: &impl Columns) -> Result<KeyRow, StoreError> {
    Ok(KeyRow { seq: number(row, "seq")?, verifier_key: row.text("verifier_key")?.to_owned() })
}

pub(super) async fn archives(db: &mut impl Sql) -> Result<Vec<ArchivedRange>, StoreError> {
    let rows = db.all("SELECT * FROM audit_archives ORDER BY seq", values![]).await?;
    let range = |row: &_| {
        let sha256 = Columns::text(row, "sha256")?.to_owned();
        let (first, last) = (number(row, "first")?, number(row, "last")?);
        Ok(ArchivedRange { seq: number(row, "seq")?, first, last, sha256 })
    };
    rows.iter().map(range).collect()
}

pub(super) async fn silent(
    db: &mut impl Sql,
    before: UnixMicros,
    limit: u32,
) -> Result<Vec<SourceKey>, StoreError> {
    let silent = "SELECT node_id, instance FROM audit_sources
                  WHERE state = 'alive' AND seen_us < $1 ORDER BY seen_us LIMIT $2";
    let rows = db.all(silent, values![signed(before.0), limit]).await?;
    let key = |row: &_| {
        let node = Columns::text(row, "node_id")?.to_owned();
        Ok(SourceKey { node, instance: Columns::int(row, "instance")?.cast_unsigned() })
    };
    rows.iter().map(key).collect()
}
