//! Removing what is archived. A bundle goes as a whole; those of its records that are kept,
//! or not archived yet, get rows of their own before it does. The database holds both to it.

use std::collections::HashSet;

use super::append::number;
use super::bundles::{Packed, StoredBundle, What};
use super::many::{self, Many};
use super::searched::Searched;
use crate::store::StoreError;
use crate::store::sql::{Columns, Sql, signed, values};

/// Bundles of one transaction, and bytes of them, at most about.
const BUNDLES: u32 = 256;
const BYTES: u64 = 4 << 20;

pub(super) async fn archived<E: Many>(
    db: &mut E::Connection,
    limit: u32,
) -> Result<u64, StoreError> {
    match rows(db, limit).await? {
        0 => bundles::<E>(db, limit).await,
        removed => Ok(removed),
    }
}

/// Of those that are rows of their own.
async fn rows(db: &mut impl Sql, limit: u32) -> Result<u64, StoreError> {
    let upper = "SELECT max(seq) AS upper, count(*) AS records FROM (
                   SELECT seq FROM audit_records
                   WHERE seq <= (SELECT coalesce(max(last), 0) FROM audit_archives)
                     AND seq NOT IN (SELECT seq FROM audit_kept)
                   ORDER BY seq LIMIT $1) AS archived";
    let found = db.one(upper, values![limit]).await?;
    let Some(upper) = found.optional_int("upper")? else { return Ok(0) };
    let records = found.int("records")?.unsigned_abs();
    let remove = "DELETE FROM audit_records
                  WHERE seq <= $1 AND seq NOT IN (SELECT seq FROM audit_kept)";
    db.execute(remove, values![upper]).await?;
    forget(db, upper).await?;
    Ok(records)
}

/// Of those that are in bundles.
async fn bundles<E: Many>(db: &mut E::Connection, limit: u32) -> Result<u64, StoreError> {
    let archived = "SELECT coalesce(max(last), 0) AS last FROM audit_archives";
    let archived = number(&db.one(archived, values![]).await?, "last")?;
    let plan = "SELECT first, last, bytes FROM audit_bundles WHERE first <= $1
                ORDER BY first LIMIT $2";
    let (mut wanted, mut upper, mut records, mut bytes) = (Vec::new(), 0, 0, 0);
    for row in &db.all(plan, values![signed(archived), BUNDLES]).await? {
        let (first, last) = (number(row, "first")?, number(row, "last")?);
        bytes += number(row, "bytes")?;
        if !wanted.is_empty() && (records >= u64::from(limit) || bytes > BYTES) {
            break;
        }
        wanted.push((signed(first),));
        upper = last;
        records += (last + 1).saturating_sub(first);
    }
    let Some((first,)) = wanted.first().copied() else { return Ok(0) };
    let kept = "SELECT seq FROM audit_kept WHERE seq BETWEEN $1 AND $2";
    let kept = db.all(kept, values![first, signed(upper)]).await?;
    let kept = kept.iter().map(|row| number(row, "seq")).collect::<Result<HashSet<_>, _>>()?;
    let mut removed = 0;
    for row in many::all(db, E::STATEMENTS.bundles, &wanted).await? {
        let bundle = StoredBundle::read(&row)?;
        removed += remove::<E>(db, &bundle, |seq| seq > archived || kept.contains(&seq)).await?;
    }
    forget(db, signed(upper.min(archived))).await?;
    Ok(removed)
}

/// Removes a bundle, and says how many of its records.
async fn remove<E: Many>(
    db: &mut E::Connection,
    bundle: &StoredBundle,
    stays: impl Fn(u64) -> bool,
) -> Result<u64, StoreError> {
    let (mut found, mut removed) = (HashSet::new(), 0);
    let lines = bundle.lines()?;
    for line in &lines {
        let searched = Searched::of(line.record)?;
        for what in [What::Agent, What::Kill, What::Act] {
            let value = searched.value(what).map(str::to_owned);
            found.extend(value.map(|value| (what.name(), value, signed(bundle.first()))));
        }
        match stays(line.seq) {
            true => keep(db, *line, &searched).await?,
            false => removed += 1,
        }
    }
    let remove = "DELETE FROM audit_bundles WHERE first = $1";
    db.execute(remove, values![signed(bundle.first())]).await?;
    let found: Vec<_> = found.into_iter().collect();
    many::execute(db, E::STATEMENTS.unfound, &found).await?;
    Ok(removed)
}

/// Gives a record a row of its own, unless it has one.
async fn keep(db: &mut impl Sql, line: Packed<'_>, it: &Searched<'_>) -> Result<(), StoreError> {
    let keep = "INSERT INTO audit_records
                SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
                WHERE NOT EXISTS (SELECT 1 FROM audit_records WHERE seq = $1)";
    let values = values![
        signed(line.seq),
        &*it.kind,
        signed(it.time.0),
        signed(it.recorded.0),
        it.agent_id(),
        it.action(),
        it.decision(),
        it.act(),
        it.kill_id(),
        line.record,
        line.hash.0.to_vec(),
    ];
    Ok(db.execute(keep, values).await?)
}

/// Nothing that comes again is compared with what is archived.
async fn forget(db: &mut impl Sql, upper: i64) -> Result<(), StoreError> {
    Ok(db.execute("DELETE FROM audit_taken WHERE seq <= $1", values![upper]).await?)
}
