//! What keeps one proxy from what another reports: how many workers a node has, by which
//! registration each of them reports, and what its numbers were taken with.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::append::{Tables, corrupt, number};
use super::{Additions, SourceKey, SourceRow, SourceState, Taken};
use crate::store::StoreError;
use crate::store::sql::{Columns, Sql, signed, values};

/// Bytes of the SHA-256 of an event that are kept.
pub const DIGEST_BYTES: usize = 16;

/// How many workers are taken to be there, of each node of which one may become one more.
pub(super) async fn alive(
    db: &mut impl Sql,
    keys: &[SourceKey],
    sources: &[Option<SourceRow>],
) -> Result<HashMap<String, u64>, StoreError> {
    let mut alive = HashMap::new();
    for (key, row) in keys.iter().zip(sources) {
        let is_there = row.as_ref().is_some_and(|row| row.state == SourceState::Alive);
        if is_there || alive.contains_key(&key.node) {
            continue;
        }
        let count = "SELECT count(*) AS workers FROM audit_sources
                     WHERE node_id = $1 AND state = 'alive'";
        let found = db.one(count, values![&key.node]).await?;
        alive.insert(key.node.clone(), number(&found, "workers")?);
    }
    Ok(alive)
}

/// What the numbers were taken with that come again. A span is the place of a worker, and
/// the first and the last number of a batch.
pub(super) async fn taken(
    db: &mut impl Sql,
    spans: &[(usize, u64, u64)],
    sources: &[Option<SourceRow>],
) -> Result<BTreeMap<(usize, u64), Taken>, StoreError> {
    let mut taken = BTreeMap::new();
    for (place, first, last) in spans.iter().copied() {
        let Some(Some(known)) = sources.get(place) else { continue };
        if first >= known.next {
            continue;
        }
        // The rows of a worker do not overlap: of a batch there are no more than its events.
        let rows = "SELECT first, last, hashes FROM audit_taken
                    WHERE source = $1 AND first <= $2 AND first >= coalesce(
                      (SELECT max(first) FROM audit_taken WHERE source = $1 AND first <= $3), $3)
                    ORDER BY first";
        let values = values![known.id, signed(last), signed(first)];
        for row in &db.all(rows, values).await? {
            let (hashes, []) = row.bytes("hashes")?.as_chunks::<DIGEST_BYTES>() else {
                return Err(corrupt("hashes"));
            };
            let (first, last) = (number(row, "first")?, number(row, "last")?);
            let row = Taken { place, first, last, seq: 0, hashes: hashes.to_vec() };
            taken.insert((place, first), row);
        }
    }
    Ok(taken)
}

/// Writes what has changed of these, after the rows of the workers.
pub(super) async fn write<T: Tables>(
    db: &mut <T::Engine as sqlx::Database>::Connection,
    id: &(impl Fn(usize) -> Option<i64> + Sync),
    additions: &Additions,
) -> Result<(), StoreError> {
    for place in &additions.marked {
        let row = additions.sources.get(*place).and_then(Option::as_ref);
        let (Some(row), Some(source)) = (row, id(*place)) else { continue };
        let mark = "UPDATE audit_sources
                    SET registration = $1, conflict_seq = $2, unremembered = $3 WHERE id = $4";
        let conflict = row.conflict.map(signed);
        let values = values![&row.registration, conflict, signed(row.unremembered), source];
        db.execute(mark, values).await?;
    }
    let rows = additions.taken.iter().filter_map(|it| {
        let hashes: String = it.hashes.as_flattened().iter().map(|b| format!("{b:02x}")).collect();
        Some(json!([id(it.place)?, it.first, it.last, it.seq, hashes]))
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        db.execute(T::TAKEN, values![json!(rows).to_string()]).await?;
    }
    Ok(())
}
