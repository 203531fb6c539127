//! Statements about many rows, each of which is one however many there are: the rows are a
//! JSON array of arrays, which both databases take apart. A group may end thousands of
//! requests, and a way to the database and back for each would take seconds.

use serde::Serialize;
use sqlx::{Postgres, Sqlite};

use crate::store::StoreError;
use crate::store::sql::{Engine, Sql, Value};

/// The statements of a database.
pub(super) trait Many: Engine {
    const STATEMENTS: Statements;
}

/// What each row of the array says, by place, is beside each.
pub(super) struct Statements {
    /// Node, instance, place: the workers that are known.
    pub(super) sources: &'static str,
    /// Slot, next, seen, state, unended, worker: how far it is.
    pub(super) update_sources: &'static str,
    /// Worker, number, place: whose requests these are, of those that go on.
    pub(super) unended: &'static str,
    /// Worker, number: it goes on no more.
    pub(super) ended: &'static str,
    /// Worker, number, agent: it goes on.
    pub(super) began: &'static str,
    /// The columns of `audit_applied`.
    pub(super) applied: &'static str,
    /// The columns of `audit_concerned`.
    pub(super) concerned: &'static str,
    /// Disposition, record, worker, number: how a request ended that was concerned.
    pub(super) concerned_ended: &'static str,
    /// First number: the bundles that begin with these.
    pub(super) bundles: &'static str,
    /// What, value, first number: nothing is found there any more.
    pub(super) unfound: &'static str,
}

macro_rules! statements {
    ($rows:literal) => {
        Statements {
            sources: concat!(
                "SELECT it.*, CAST(value ->> 2 AS bigint) AS place
                 FROM ", $rows, " CROSS JOIN audit_sources AS it
                 WHERE it.node_id = value ->> 0 AND it.instance = CAST(value ->> 1 AS bigint)"
            ),
            update_sources: concat!(
                "UPDATE audit_sources
                 SET slot = new.slot, next = new.next, seen_us = new.seen_us, state = new.state,
                     unended = new.unended
                 FROM (SELECT CAST(value ->> 0 AS bigint) AS slot,
                              CAST(value ->> 1 AS bigint) AS next,
                              CAST(value ->> 2 AS bigint) AS seen_us,
                              value ->> 3 AS state,
                              CAST(value ->> 4 AS bigint) AS unended,
                              CAST(value ->> 5 AS bigint) AS id
                       FROM ", $rows, ") AS new
                 WHERE audit_sources.id = new.id"
            ),
            unended: concat!(
                "SELECT CAST(value ->> 2 AS bigint) AS place, it.number, it.agent_id
                 FROM ", $rows, " CROSS JOIN audit_unended AS it
                 WHERE it.source = CAST(value ->> 0 AS bigint)
                   AND it.number = CAST(value ->> 1 AS bigint)"
            ),
            ended: concat!(
                "DELETE FROM audit_unended WHERE (source, number) IN
                 (SELECT CAST(value ->> 0 AS bigint), CAST(value ->> 1 AS bigint)
                  FROM ", $rows, ")"
            ),
            began: concat!(
                "INSERT INTO audit_unended (source, number, agent_id)
                 SELECT CAST(value ->> 0 AS bigint), CAST(value ->> 1 AS bigint), value ->> 2
                 FROM ", $rows, " WHERE true ON CONFLICT DO NOTHING"
            ),
            applied: concat!(
                "INSERT INTO audit_applied
                 (source, number, seq, epoch, revision, at_us, recorded_us, in_flight, untracked)
                 SELECT CAST(value ->> 0 AS bigint), CAST(value ->> 1 AS bigint),
                        CAST(value ->> 2 AS bigint), CAST(value ->> 3 AS bigint),
                        CAST(value ->> 4 AS bigint), CAST(value ->> 5 AS bigint),
                        CAST(value ->> 6 AS bigint), CAST(value ->> 7 AS bigint),
                        CAST(value ->> 8 AS bigint)
                 FROM ", $rows
            ),
            concerned: concat!(
                "INSERT INTO audit_concerned
                 (source, number, epoch, revision, ending, agent_id, seq, disposition, ended_seq)
                 SELECT CAST(value ->> 0 AS bigint), CAST(value ->> 1 AS bigint),
                        CAST(value ->> 2 AS bigint), CAST(value ->> 3 AS bigint),
                        value ->> 4, value ->> 5, CAST(value ->> 6 AS bigint), value ->> 7,
                        CAST(value ->> 8 AS bigint)
                 FROM ", $rows, " WHERE true ON CONFLICT DO NOTHING"
            ),
            concerned_ended: concat!(
                "UPDATE audit_concerned SET disposition = new.disposition, ended_seq = new.seq
                 FROM (SELECT value ->> 0 AS disposition, CAST(value ->> 1 AS bigint) AS seq,
                              CAST(value ->> 2 AS bigint) AS source,
                              CAST(value ->> 3 AS bigint) AS number
                       FROM ", $rows, ") AS new
                 WHERE audit_concerned.source = new.source
                   AND audit_concerned.number = new.number
                   AND audit_concerned.disposition IS NULL"
            ),
            bundles: concat!(
                "SELECT it.first, it.hashes, it.records
                 FROM ", $rows, " CROSS JOIN audit_bundles AS it
                 WHERE it.first = CAST(value ->> 0 AS bigint)"
            ),
            unfound: concat!(
                "DELETE FROM audit_found WHERE (what, value, first) IN
                 (SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS bigint)
                  FROM ", $rows, ")"
            ),
        }
    };
}

impl Many for Sqlite {
    const STATEMENTS: Statements = statements!("json_each($1)");
}

impl Many for Postgres {
    const STATEMENTS: Statements = statements!("json_array_elements($1::json)");
}

/// Rows as they are bound.
fn bound<R: Serialize>(rows: &[R]) -> Result<Vec<Value>, StoreError> {
    let text = serde_json::to_string(rows);
    let text = text.map_err(|error| StoreError::Unavailable(error.into()))?;
    Ok(vec![Value::from(text)])
}

/// Runs a statement, unless there is no row.
pub(super) async fn execute<R: Serialize>(
    db: &mut impl Sql,
    sql: &'static str,
    rows: &[R],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    Ok(db.execute(sql, bound(rows)?).await?)
}

/// What a statement finds; nothing by no row.
pub(super) async fn all<S: Sql, R: Serialize>(
    db: &mut S,
    sql: &'static str,
    rows: &[R],
) -> Result<Vec<S::Row>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    Ok(db.all(sql, bound(rows)?).await?)
}
