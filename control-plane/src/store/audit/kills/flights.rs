//! The requests of one worker that were in flight at a kill: counted by the database, and
//! the first of them listed.
//!
//! A request is there once, though its worker was lost after it had reported it.

use kya_core::audit::Disposition;
use serde_json::json;

use super::disposition_name;
use super::model::{Concern, Flights, KillAsked, KillRow};
use crate::store::StoreError;
use crate::store::audit::append::{Tables, corrupt, number};
use crate::store::sql::{Columns, Sql, signed, values};

/// Most requests of one worker that one state concerns: four times as many as a worker
/// looks at when it applies one.
const MAX_CONCERNED: u64 = 4096;
/// Most requests of one worker that were lost with it: as many as are remembered of it.
const MAX_LOST: u64 = 65_536;
/// Most requests of one worker that are listed.
const LISTED: u32 = 1000;

/// Those of the state that a worker has applied, and those that were lost with it. `$list`
/// selects the elements of the JSON text `$5`.
macro_rules! of_worker {
    ($part:literal, $list:literal) => {
        concat!(
            "SELECT said.*, CAST(CASE WHEN $5 IS NULL OR agent_id IS NULL OR agent_id IN (",
            $list,
            ") THEN 1 ELSE 0 END AS BIGINT) AS mine FROM audit_concerned AS said WHERE source = $1 AND ",
            $part
        )
    };
}
macro_rules! concerned {
    ($list:literal) => {
        of_worker!("epoch = $2 AND revision = $3", $list)
    };
}
macro_rules! lost {
    ($list:literal) => {
        of_worker!(
            "ending = 'lost' AND seq > $4 AND NOT EXISTS (
                SELECT 1 FROM audit_concerned AS twin WHERE twin.source = $1
                AND twin.epoch = $2 AND twin.revision = $3 AND twin.number = said.number)",
            $list
        )
    };
}
/// So many of each, by what became of them.
macro_rules! counted {
    ($list:literal) => {
        concat!(
            "SELECT ending, disposition, mine, count(*) AS requests FROM (
               SELECT * FROM (",
            concerned!($list),
            " LIMIT $6) AS concerned UNION ALL SELECT * FROM (",
            lost!($list),
            " LIMIT $7) AS lost) AS said GROUP BY ending, disposition, mine"
        )
    };
}
/// The first of them that are meant.
macro_rules! listed {
    ($list:literal) => {
        concat!(
            "SELECT * FROM (",
            concerned!($list),
            " UNION ALL ",
            lost!($list),
            ") AS said WHERE mine = 1 ORDER BY number LIMIT $6"
        )
    };
}

/// The statements of one kind of database.
#[derive(Debug, Clone, Copy)]
pub(in crate::store::audit) struct Statements {
    counted: &'static str,
    listed: &'static str,
}

pub(in crate::store::audit) const SQLITE: Statements = Statements {
    counted: counted!("SELECT value FROM json_each($5)"),
    listed: listed!("SELECT value FROM json_each($5)"),
};
pub(in crate::store::audit) const POSTGRES: Statements = Statements {
    counted: counted!("SELECT json_array_elements_text($5::json)"),
    listed: listed!("SELECT json_array_elements_text($5::json)"),
};

/// Counts those of a worker, and lists up to `most` of them.
pub(super) async fn of<T: Tables>(
    db: &mut <T::Engine as sqlx::Database>::Connection,
    worker: &impl Columns,
    kill: &KillRow,
    asked: &KillAsked,
    most: u32,
) -> Result<(Flights, Vec<Concern>), StoreError> {
    let agents = asked.agents.as_ref().map(|agents| json!(agents).to_string());
    let id = worker.int("id")?;
    let epoch = worker.optional_int("epoch")?.unwrap_or(-1);
    let revision = worker.optional_int("revision")?.unwrap_or(-1);
    let after = signed(kill.activated);
    let (concerned, lost) = (signed(MAX_CONCERNED + 1), signed(MAX_LOST + 1));
    let values = values![id, epoch, revision, after, &agents, concerned, lost];
    let flights = count(&db.all(T::FLIGHTS.counted, values).await?)?;
    if most == 0 {
        return Ok((flights, Vec::new()));
    }
    let values = values![id, epoch, revision, after, &agents, most.min(LISTED)];
    let listed = db.all(T::FLIGHTS.listed, values).await?;
    let listed = listed.iter().map(concern).collect::<Result<_, _>>()?;
    Ok((flights, listed))
}

fn count(rows: &[impl Columns]) -> Result<Flights, StoreError> {
    let (mut flights, mut lost) = (Flights::default(), 0);
    for row in rows {
        let (requests, ending) = (number(row, "requests")?, row.text("ending")?);
        *(if ending == "lost" { &mut lost } else { &mut flights.reported }) += requests;
        if row.int("mine")? == 0 {
            continue;
        }
        let disposition = row.optional_text("disposition")?.map(disposition_from).transpose()?;
        *match disposition {
            Some(Disposition::Committed) => &mut flights.committed,
            Some(Disposition::RolledBack) => &mut flights.rolled_back,
            Some(Disposition::Escalated) => &mut flights.escalated,
            None if ending == "drain" => &mut flights.draining,
            None => &mut flights.to_be_cut,
        } += requests;
    }
    flights.cut_off = flights.reported > MAX_CONCERNED || lost > MAX_LOST;
    Ok(flights)
}

fn concern(row: &impl Columns) -> Result<Concern, StoreError> {
    let disposition = row.optional_text("disposition")?;
    Ok(Concern {
        decision: number(row, "number")?,
        agent_id: row.optional_text("agent_id")?.map(str::to_owned),
        ending: row.text("ending")?.to_owned(),
        seq: number(row, "seq")?,
        disposition: disposition.map(disposition_from).transpose()?,
        ended: row.optional_int("ended_seq")?.map(i64::cast_unsigned),
    })
}

fn disposition_from(name: &str) -> Result<Disposition, StoreError> {
    [Disposition::Committed, Disposition::RolledBack, Disposition::Escalated]
        .into_iter()
        .find(|it| disposition_name(*it) == name)
        .ok_or_else(|| corrupt("disposition"))
}
