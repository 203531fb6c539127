//! Reading the trail: below the first bundle each record that is there is a row, from there
//! on they are in bundles. A page is read in a transaction that sees one state, so that
//! nothing is missed between the two while what is archived goes.

use kya_core::audit::ChainHash;

use super::append::{hash, number};
use super::bundles::StoredBundle;
use super::filter::{LED_TO_A_PAGE, Lines, Order, RecordFilter, SCANNED_A_PAGE};
use super::many::{self, Many};
use super::searched::Asked;
use super::{StoredLine, read, rows};
use crate::store::StoreError;
use crate::store::sql::{Columns, Sql, signed, values};

/// Bundles that are looked up at once, and bytes of them that are read at once, about.
const PLANNED: u32 = 64;
const READ: u64 = 1 << 20;

/// What one part of the trail has for a page.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) lines: Vec<StoredLine>,
    /// Where the next page begins, if enough was looked at for one.
    pub(super) next: Option<u64>,
}

/// Where a bundle is, and how much it is.
#[derive(Debug, Clone, Copy)]
struct Place {
    first: u64,
    last: u64,
    bytes: u64,
}

/// The bundles of a range that may have what is asked for: the first of `$1` to `$2` or the one
/// that it is in, but for those that happened before `$3` or not before `$4`.
macro_rules! plan {
    ($from:literal, $order:literal) => {
        concat!(
            "SELECT it.first, it.last, it.bytes FROM ",
            $from,
            " it.first BETWEEN
               coalesce((SELECT max(first) FROM audit_bundles WHERE first <= $1), $1) AND $2
               AND ($3 IS NULL OR it.until_us >= $3) AND ($4 IS NULL OR it.from_us < $4)
             ORDER BY it.first ",
            $order,
            " LIMIT $5"
        )
    };
}

macro_rules! plan_led {
    ($order:literal) => {
        concat!(
            "SELECT it.first, it.last, it.bytes
             FROM audit_found AS found CROSS JOIN audit_bundles AS it
             WHERE found.what = $6 AND found.value = $7 AND it.first = found.first
               AND found.first BETWEEN
               coalesce((SELECT max(first) FROM audit_bundles WHERE first <= $1), $1) AND $2
               AND ($3 IS NULL OR it.until_us >= $3) AND ($4 IS NULL OR it.from_us < $4)
             ORDER BY found.first ",
            $order,
            " LIMIT $5"
        )
    };
}

pub(super) async fn page<E: Many>(
    db: &mut E::Connection,
    filter: &RecordFilter,
    limit: u32,
) -> Result<Lines, StoreError> {
    let size = read::read_head(db).await?.size;
    let (first, last) = (filter.first.max(1), filter.last.min(size));
    if first > last || limit == 0 {
        return Ok(Lines::default());
    }
    let newest_first = filter.order == Order::NewestFirst;
    // What is looked at for this page.
    let (from, to) = match newest_first {
        _ if filter.is_all() || filter.leads() => (first, last),
        false => (first, last.min(first.saturating_add(SCANNED_A_PAGE - 1))),
        true => (first.max(last.saturating_sub(SCANNED_A_PAGE - 1)), last),
    };
    let begin = "SELECT min(first) AS first FROM audit_bundles";
    let begin = db.one(begin, values![]).await?.optional_int("first")?;
    let begin = begin.map_or(u64::MAX, i64::cast_unsigned);
    let of_rows = (from, to.min(begin.saturating_sub(1)));
    let of_bundles = (from.max(begin), to);
    let mut parts = [(false, of_rows), (true, of_bundles)];
    if newest_first {
        parts.reverse();
    }
    let wanted = limit.saturating_add(1);
    let mut page = Part::default();
    for (in_bundles, part) in parts {
        let count = u32::try_from(page.lines.len()).unwrap_or(u32::MAX);
        let rest = wanted.saturating_sub(count);
        if part.0 > part.1 || rest == 0 || page.next.is_some() {
            continue;
        }
        let found = match in_bundles {
            false => rows::read(db, filter, part, rest).await?,
            true => bundled::<E>(db, filter, part, rest).await?,
        };
        page.lines.extend(found.lines);
        // At the end of a part the other follows.
        page.next = found.next;
    }
    let Part { mut lines, next } = page;
    let more = lines.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    let next = match newest_first {
        _ if more => lines.pop().map(|line| line.seq),
        _ if next.is_some() => next,
        true => (from > first).then(|| from.saturating_sub(1)),
        false => (to < last).then(|| to.saturating_add(1)),
    };
    Ok(Lines { lines, next })
}

/// Up to `wanted` records of bundles that fit.
async fn bundled<E: Many>(
    db: &mut E::Connection,
    filter: &RecordFilter,
    (first, last): (u64, u64),
    wanted: u32,
) -> Result<Part, StoreError> {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let newest_first = filter.order == Order::NewestFirst;
    let asked = Asked::of(filter);
    let mut part = Part::default();
    let (mut from, mut to, mut led, mut looked) = (first, last, 0, 0);
    // Ends, because each plan is of bundles behind those of the one before.
    while from <= to {
        let plan = plan(db, &asked, filter, (from, to)).await?;
        let is_last = plan.len() < PLANNED as usize;
        let mut rest = plan.as_slice();
        while !rest.is_empty() {
            let needed = if filter.is_all() { wanted - part.lines.len() } else { usize::MAX };
            let (now, later) = rest.split_at(at_once(rest, (from, to), needed));
            rest = later;
            for bundle in fetch::<E>(db, now, newest_first).await? {
                let mut lines = bundle.lines()?;
                looked += lines.len() as u64;
                if newest_first {
                    lines.reverse();
                }
                for line in lines {
                    if line.seq < from || line.seq > to {
                        continue;
                    }
                    let meant = asked.meant(line.record)?;
                    led += u32::from(meant.led);
                    if meant.fits {
                        part.lines.push(line.to_line());
                    }
                    if part.lines.len() >= wanted || led >= LED_TO_A_PAGE {
                        part.next = after(line.seq, (first, last), newest_first);
                        return Ok(part);
                    }
                }
                if filter.leads() && looked >= SCANNED_A_PAGE {
                    let end = if newest_first { bundle.first() } else { bundle.last() };
                    part.next = after(end, (first, last), newest_first);
                    return Ok(part);
                }
            }
        }
        match plan.last() {
            Some(end) if !is_last && newest_first => to = end.first.saturating_sub(1),
            Some(end) if !is_last => from = end.last.saturating_add(1),
            _ => break,
        }
    }
    Ok(part)
}

/// Where it goes on after this record, unless that is the end of the range.
fn after(seq: u64, (first, last): (u64, u64), newest_first: bool) -> Option<u64> {
    match newest_first {
        true => (seq > first).then(|| seq - 1),
        false => (seq < last).then(|| seq + 1),
    }
}

async fn plan<C: Sql>(
    db: &mut C,
    asked: &Asked<'_>,
    filter: &RecordFilter,
    (from, to): (u64, u64),
) -> Result<Vec<Place>, StoreError> {
    let (since, until) = match filter.with_seams {
        // What must be shown in any case is at any time.
        true => (None, None),
        false => (filter.since.map(|at| signed(at.0)), filter.until.map(|at| signed(at.0))),
    };
    let mut values = values![signed(from), signed(to), since, until, PLANNED];
    let newest_first = filter.order == Order::NewestFirst;
    let statement = match (asked.lead(), newest_first) {
        (None, false) => plan!("audit_bundles AS it WHERE", "ASC"),
        (None, true) => plan!("audit_bundles AS it WHERE", "DESC"),
        (Some((what, value)), newest_first) => {
            values.extend(values![what.name(), value]);
            if newest_first { plan_led!("DESC") } else { plan_led!("ASC") }
        }
    };
    let place = |row: &C::Row| {
        let (first, last) = (number(row, "first")?, number(row, "last")?);
        Ok(Place { first, last, bytes: number(row, "bytes")? })
    };
    db.all(statement, values).await?.iter().map(place).collect()
}

/// How many of these bundles are read at once: as long as they are not too many bytes, nor
/// more than so many records.
fn at_once(plan: &[Place], (from, to): (u64, u64), needed: usize) -> usize {
    let (mut bytes, mut records, mut count) = (0u64, 0u64, 0);
    for it in plan {
        bytes = bytes.saturating_add(it.bytes);
        if count > 0 && (bytes > READ || records >= needed as u64) {
            break;
        }
        let (first, last) = (it.first.max(from), it.last.min(to));
        records = records.saturating_add((last + 1).saturating_sub(first));
        count += 1;
    }
    count
}

async fn fetch<E: Many>(
    db: &mut E::Connection,
    plan: &[Place],
    newest_first: bool,
) -> Result<Vec<StoredBundle>, StoreError> {
    let wanted: Vec<_> = plan.iter().map(|it| (signed(it.first),)).collect();
    let found = many::all(db, E::STATEMENTS.bundles, &wanted).await?;
    let mut bundles = found.iter().map(StoredBundle::read).collect::<Result<Vec<_>, _>>()?;
    bundles.sort_unstable_by_key(StoredBundle::first);
    if newest_first {
        bundles.reverse();
    }
    Ok(bundles)
}

/// The bundle that a record is in.
macro_rules! bundle_of {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM audit_bundles
             WHERE first = (SELECT max(first) FROM audit_bundles WHERE first <= $1) AND last >= $1"
        )
    };
}

/// A record, of its bundle or its row: it has the row before the bundle goes.
pub(super) async fn one(db: &mut impl Sql, seq: u64) -> Result<Option<StoredLine>, StoreError> {
    let bundle = bundle_of!("first, hashes, records");
    let Some(row) = db.first(bundle, values![signed(seq)]).await? else {
        return rows::one(db, seq).await;
    };
    let bundle = StoredBundle::read(&row)?;
    Ok(bundle.lines()?.iter().find(|line| line.seq == seq).map(|line| line.to_line()))
}

/// Its hash, without reading the whole bundle.
pub(super) async fn one_hash(db: &mut impl Sql, seq: u64) -> Result<Option<ChainHash>, StoreError> {
    let of_bundle =
        bundle_of!("substr(hashes, CAST(32 * ($1 - first) + 1 AS integer), 32) AS hash");
    let of_row = "SELECT hash FROM audit_records WHERE seq = $1";
    let found = match db.first(of_bundle, values![signed(seq)]).await? {
        Some(row) => Some(row),
        None => db.first(of_row, values![signed(seq)]).await?,
    };
    found.as_ref().map(hash).transpose()
}
