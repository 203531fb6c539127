//! Records that are rows of their own: those that were appended before there were bundles,
//! and those that stay of bundles that are archived. The statements are one for each index
//! and each order, so that the database need not guess.

use super::StoredLine;
use super::append::{hash, number};
use super::filter::{LED_TO_A_PAGE, Order, RecordFilter};
use super::lines::Part;
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

/// Up to `wanted` of them that fit, in a part of the trail that has no bundles.
pub(super) async fn read(
    db: &mut impl Sql,
    filter: &RecordFilter,
    (first, last): (u64, u64),
    wanted: u32,
) -> Result<Part, StoreError> {
    let newest_first = filter.order == Order::NewestFirst;
    let (from, to) = match filter.leads() {
        true => led_to(db, filter, (first, last), newest_first).await?,
        false => (first, last),
    };
    let values = asked(filter, (from, to), wanted);
    let found = db.all(statement(filter, newest_first), values).await?;
    let lines = found.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let next = match newest_first {
        true => (from > first).then(|| from.saturating_sub(1)),
        false => (to < last).then(|| to.saturating_add(1)),
    };
    Ok(Part { lines, next })
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

pub(super) async fn one(db: &mut impl Sql, seq: u64) -> Result<Option<StoredLine>, StoreError> {
    let one = "SELECT seq, record, hash FROM audit_records WHERE seq = $1";
    db.first(one, values![signed(seq)]).await?.as_ref().map(line).transpose()
}
