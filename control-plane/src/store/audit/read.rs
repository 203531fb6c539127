//! Reading the trail. The statements are one for each index and each order, so that the
//! database need not guess.

use std::collections::HashMap;

use kya_core::audit::merkle::{Tile, TileId};

use super::append::{hash, head, micros, number, tile};
use super::filter::{LED_TO_A_PAGE, Lines, Order, RecordFilter, SCANNED_A_PAGE};
use super::{ArchivedRange, CheckpointRow, KeyRow, SourceKey, StoredLine, TrailHead};
use crate::store::StoreError;
use crate::store::sql::{Columns, Sql, Value, signed, values};
use crate::time::UnixMicros;

/// Everything but what leads.
macro_rules! select {
    ($lead:literal, $order:literal) => {
        concat!(
            "SELECT seq, record, hash FROM audit_records WHERE seq BETWEEN $1 AND $2 AND (",
            $lead,
            " AND ($3 IS NULL OR agent_id = $3) AND ($4 IS NULL OR action = $4)
              AND ($5 IS NULL OR decision = $5) AND ($6 IS NULL OR type = $6)
              AND ($7 IS NULL OR act = $7) AND ($8 IS NULL OR kill_id = $8)
              AND ($9 IS NULL OR time_us >= $9) AND ($10 IS NULL OR time_us < $10))
              ORDER BY seq ",
            $order,
            " LIMIT $11"
        )
    };
}

/// The last record of so many that an index leads to.
macro_rules! end {
    ($lead:literal, $order:literal) => {
        concat!(
            "SELECT seq FROM audit_records WHERE ",
            $lead,
            " = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq ",
            $order,
            " LIMIT 1 OFFSET $4"
        )
    };
}

/// The same with what must be shown in any case, and the second rows of kills, which may list
/// an agent among others: whoever asks looks at those.
const WITH_SEAMS: &str =
    "SELECT seq, record, hash FROM audit_records WHERE seq BETWEEN $1 AND $2 AND (
       type IN ('key', 'archived') OR
       ($3 IS NULL OR agent_id = $3 OR type = 'kill_scope') AND ($4 IS NULL OR action = $4)
       AND ($5 IS NULL OR decision = $5) AND ($6 IS NULL OR type = $6)
       AND ($7 IS NULL OR act = $7) AND ($8 IS NULL OR kill_id = $8)
       AND ($9 IS NULL OR time_us >= $9) AND ($10 IS NULL OR time_us < $10))
     ORDER BY seq LIMIT $11";

const HEAD: &str = "SELECT * FROM audit_head";

pub(super) async fn read_head(db: &mut impl Sql) -> Result<TrailHead, StoreError> {
    head(&db.one(HEAD, values![]).await?)
}

pub(super) async fn lines(
    db: &mut impl Sql,
    filter: &RecordFilter,
    limit: u32,
) -> Result<Lines, StoreError> {
    let size = read_head(db).await?.size;
    let (first, last) = (filter.first.max(1), filter.last.min(size));
    if first > last || limit == 0 {
        return Ok(Lines::default());
    }
    let newest_first = filter.order == Order::NewestFirst;
    let is_found_by_index = !filter.with_seams
        && (filter.agent_id.is_some() || filter.kill_id.is_some() || filter.act.is_some());
    // What is looked at for this page.
    let (from, to) = match (filter.is_all(), newest_first) {
        (true, _) => (first, last),
        (false, _) if is_found_by_index => led_to(db, filter, (first, last), newest_first).await?,
        (false, false) => (first, last.min(first.saturating_add(SCANNED_A_PAGE - 1))),
        (false, true) => (first.max(last.saturating_sub(SCANNED_A_PAGE - 1)), last),
    };
    let statement = statement(filter, newest_first);
    let values = asked(filter, (from, to), limit.saturating_add(1));
    let found = db.all(statement, values).await?;
    let mut lines = found.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let more = lines.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    let next = if more {
        lines.pop().map(|line| line.seq)
    } else if newest_first {
        (from > first).then(|| from.saturating_sub(1))
    } else {
        (to < last).then(|| to.saturating_add(1))
    };
    Ok(Lines { lines, next })
}

/// The part of the range in which an index leads to so many records at most.
async fn led_to(
    db: &mut impl Sql,
    filter: &RecordFilter,
    (first, last): (u64, u64),
    newest_first: bool,
) -> Result<(u64, u64), StoreError> {
    let RecordFilter { agent_id, kill_id, act, .. } = filter;
    let (statement, lead) = match (kill_id, act, newest_first) {
        (Some(kill_id), _, false) => (end!("kill_id", "ASC"), kill_id),
        (Some(kill_id), _, true) => (end!("kill_id", "DESC"), kill_id),
        (None, Some(act), false) => (end!("act", "ASC"), act),
        (None, Some(act), true) => (end!("act", "DESC"), act),
        (None, None, order) => {
            let Some(agent_id) = agent_id else { return Ok((first, last)) };
            (if order { end!("agent_id", "DESC") } else { end!("agent_id", "ASC") }, agent_id)
        }
    };
    let values = values![lead, signed(first), signed(last), LED_TO_A_PAGE - 1];
    let end = db.first(statement, values).await?;
    let end = end.map(|row| number(&row, "seq")).transpose()?;
    Ok(match (end, newest_first) {
        (None, _) => (first, last),
        (Some(end), false) => (first, end),
        (Some(end), true) => (end, last),
    })
}

fn statement(filter: &RecordFilter, newest_first: bool) -> &'static str {
    if filter.with_seams {
        return WITH_SEAMS;
    }
    let RecordFilter { agent_id, kill_id, act, .. } = filter;
    match (kill_id.is_some(), act.is_some(), agent_id.is_some(), newest_first) {
        (true, _, _, false) => select!("kill_id = $8", "ASC"),
        (true, _, _, true) => select!("kill_id = $8", "DESC"),
        (_, true, _, false) => select!("act = $7", "ASC"),
        (_, true, _, true) => select!("act = $7", "DESC"),
        (_, _, true, false) => select!("agent_id = $3", "ASC"),
        (_, _, true, true) => select!("agent_id = $3", "DESC"),
        (_, _, _, false) => select!("1 = 1", "ASC"),
        (_, _, _, true) => select!("1 = 1", "DESC"),
    }
}

fn asked(filter: &RecordFilter, (from, to): (u64, u64), limit: u32) -> Vec<Value> {
    let micros = |it: Option<UnixMicros>| it.map(|it| signed(it.0));
    values![
        signed(from),
        signed(to),
        &filter.agent_id,
        &filter.action,
        &filter.decision,
        &filter.kind,
        &filter.act,
        &filter.kill_id,
        micros(filter.since),
        micros(filter.until),
        limit,
    ]
}

fn line(row: &impl Columns) -> Result<StoredLine, StoreError> {
    let (seq, record) = (number(row, "seq")?, row.text("record")?.to_owned());
    Ok(StoredLine { seq, record, hash: hash(row)? })
}

pub(super) async fn one_line(
    db: &mut impl Sql,
    seq: u64,
) -> Result<Option<StoredLine>, StoreError> {
    let one = "SELECT seq, record, hash FROM audit_records WHERE seq = $1";
    db.first(one, values![signed(seq)]).await?.as_ref().map(line).transpose()
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
