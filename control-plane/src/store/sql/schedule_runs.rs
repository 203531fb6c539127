//! What became of the times at which drills of schedules were due.

use kya_core::DrillId;
use serde_json::json;

use super::rows::{self, corrupt, signed};
use super::write::Write;
use super::{Columns, Engine, Sql, drills, values};
use crate::store::schedules::{
    Claim, Due, PROBES_KEPT, RUNS_KEPT, RunOutcome, ScheduleName, ScheduledRun,
};
use crate::store::{Cause, DrillState, NewDrill, StoreError};
use crate::time::UnixMicros;

pub(super) async fn begin(
    mut write: Write<impl Engine>,
    due: Due,
    new: NewDrill,
    cause: Cause,
) -> Result<Claim, StoreError> {
    if !is_due(write.db(), &due).await? {
        write.roll_back().await?;
        return Ok(Claim::Lost);
    }
    if has_record(write.db(), &due).await? {
        advance(&mut write, &due).await?;
        write.commit_quietly().await?;
        return Ok(Claim::Lost);
    }
    if let Some(open) = drills::open(write.db()).await? {
        let query = "SELECT schedule FROM drill_schedule_runs WHERE drill = $1";
        let of = write.db().first(query, values![open.id.to_bytes().to_vec()]).await?;
        let own = match of {
            Some(row) => row.text("schedule")? == due.name.as_str(),
            None => false,
        };
        if !own {
            write.roll_back().await?;
            return Ok(Claim::Busy(open.id));
        }
        let why = format!("{}, of the time before, was still going on", open.id);
        pass_over(write, due, (RunOutcome::Skipped, why), cause).await?;
        return Ok(Claim::Skipped);
    }
    let begun = drills::insert(&mut write, &new, &cause).await?;
    record(&mut write, &due, RunOutcome::Started, Some(new.id), None).await?;
    forget(&mut write, &due).await?;
    write.shows(None, Some(json!({ "state": begun.state.name(), "request": new.request })));
    write.commit_aside("drill.started", new.id.to_string(), cause).await?;
    Ok(Claim::Begun(Box::new(begun)))
}

pub(super) async fn pass_over(
    mut write: Write<impl Engine>,
    due: Due,
    (outcome, why): (RunOutcome, String),
    cause: Cause,
) -> Result<bool, StoreError> {
    if !is_due(write.db(), &due).await? {
        write.roll_back().await?;
        return Ok(false);
    }
    if has_record(write.db(), &due).await? {
        advance(&mut write, &due).await?;
        write.commit_quietly().await?;
        return Ok(false);
    }
    record(&mut write, &due, outcome, None, Some(&why)).await?;
    forget(&mut write, &due).await?;
    let Some(event) = outcome.event() else {
        return Err(StoreError::Corrupt("a drill that is started is not passed over".to_owned()));
    };
    write.shows(None, Some(json!({ "due": due.at.to_rfc3339(), "why": why })));
    write.commit_aside(event, due.name.to_string(), cause).await?;
    Ok(true)
}

pub(super) async fn move_due(mut write: Write<impl Engine>, due: Due) -> Result<(), StoreError> {
    if is_due(write.db(), &due).await? {
        advance(&mut write, &due).await?;
    }
    write.commit_quietly().await
}

/// Whether the schedule still says that it is due then.
async fn is_due(db: &mut impl Sql, due: &Due) -> Result<bool, StoreError> {
    let query = "SELECT name FROM drill_schedules
                 WHERE name = $1 AND next_us = $2 AND paused_us IS NULL";
    Ok(db.first(query, values![due.name.as_str(), signed(due.at.0)]).await?.is_some())
}

async fn has_record(db: &mut impl Sql, due: &Due) -> Result<bool, StoreError> {
    let query = "SELECT due_us FROM drill_schedule_runs WHERE schedule = $1 AND due_us = $2";
    Ok(db.first(query, values![due.name.as_str(), signed(due.at.0)]).await?.is_some())
}

async fn advance(write: &mut Write<impl Engine>, due: &Due) -> Result<(), StoreError> {
    let update = "UPDATE drill_schedules SET next_us = $1 WHERE name = $2";
    Ok(write.db().execute(update, values![signed(due.next.0), due.name.as_str()]).await?)
}

/// Writes what became of it, and goes on to the next.
async fn record(
    write: &mut Write<impl Engine>,
    due: &Due,
    outcome: RunOutcome,
    drill: Option<DrillId>,
    why: Option<&str>,
) -> Result<(), StoreError> {
    let (_, now) = write.time();
    let insert = "INSERT INTO drill_schedule_runs
         (schedule, due_us, at_us, outcome, drill, why, server)
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = values![
        due.name.as_str(),
        signed(due.at.0),
        signed(now.0),
        outcome.name(),
        &drill.map(|id| id.to_bytes().to_vec()),
        why,
        &due.server,
    ];
    write.db().execute(insert, values).await?;
    advance(write, due).await
}

/// Removes records that are more than are kept, with their drills, and the probes of drills
/// before that. What was found is in the audit trail.
async fn forget(write: &mut Write<impl Engine>, due: &Due) -> Result<(), StoreError> {
    let bound = "SELECT due_us FROM drill_schedule_runs WHERE schedule = $1
                 ORDER BY due_us DESC LIMIT 1 OFFSET $2";
    let name = due.name.as_str();
    let probes = write.db().first(bound, values![name, PROBES_KEPT]).await?;
    if let Some(row) = probes {
        let update = "UPDATE drills SET samples = NULL WHERE samples IS NOT NULL AND id IN
            (SELECT drill FROM drill_schedule_runs WHERE schedule = $1 AND due_us = $2)";
        write.db().execute(update, values![name, row.int("due_us")?]).await?;
    }
    let Some(row) = write.db().first(bound, values![name, RUNS_KEPT]).await? else { return Ok(()) };
    let before = row.int("due_us")?;
    let query = "SELECT drill FROM drill_schedule_runs
                 WHERE schedule = $1 AND due_us <= $2 AND drill IS NOT NULL";
    let old = write.db().all(query, values![name, before]).await?;
    let delete = "DELETE FROM drill_schedule_runs WHERE schedule = $1 AND due_us <= $2";
    write.db().execute(delete, values![name, before]).await?;
    for row in old {
        let delete = "DELETE FROM drills WHERE id = $1 AND ended_us IS NOT NULL";
        write.db().execute(delete, values![row.bytes("drill")?.to_vec()]).await?;
    }
    Ok(())
}

/// A drill has passed: if it was due, the next one is owed from then on.
pub(super) async fn passed(write: &mut Write<impl Engine>, id: DrillId) -> Result<(), StoreError> {
    let (_, now) = write.time();
    let query = "SELECT schedule, due_us FROM drill_schedule_runs WHERE drill = $1";
    let run = write.db().first(query, values![id.to_bytes().to_vec()]).await?;
    let Some(run) = run else { return Ok(()) };
    let update = "UPDATE drill_schedules SET passed_us = $1,
                  owed_us = CASE WHEN owed_us < $2 THEN $2 ELSE owed_us END WHERE name = $3";
    let values = values![signed(now.0), run.int("due_us")?, run.text("schedule")?];
    Ok(write.db().execute(update, values).await?)
}

pub(super) async fn runs(
    db: &mut impl Sql,
    name: &ScheduleName,
    before: Option<UnixMicros>,
    limit: u32,
) -> Result<Vec<ScheduledRun>, StoreError> {
    let before = before.map_or(i64::MAX, |before| signed(before.0));
    let query = "SELECT runs.due_us, runs.at_us, runs.outcome, runs.drill, runs.why, runs.server,
                        drills.state
                 FROM drill_schedule_runs AS runs LEFT JOIN drills ON drills.id = runs.drill
                 WHERE runs.schedule = $1 AND runs.due_us < $2
                 ORDER BY runs.due_us DESC LIMIT $3";
    db.all(query, values![name.as_str(), before, limit]).await?.iter().map(run).collect()
}

fn run(row: &impl Columns) -> Result<ScheduledRun, StoreError> {
    let outcome = row.text("outcome")?;
    let drill = row.optional_bytes("drill")?.map(DrillId::from_slice).transpose();
    let drill = drill.map_err(|error| corrupt("drill", error))?;
    let state = row.optional_text("state")?;
    let state = state.map(|it| DrillState::from_name(it).ok_or_else(|| corrupt("state", it)));
    Ok(ScheduledRun {
        due: rows::micros(row, "due_us")?,
        at: rows::micros(row, "at_us")?,
        outcome: RunOutcome::from_name(outcome).ok_or_else(|| corrupt("outcome", outcome))?,
        drill: drill.zip(state.transpose()?),
        why: rows::owned(row.optional_text("why")?),
        server: row.text("server")?.to_owned(),
    })
}
