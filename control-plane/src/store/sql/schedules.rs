//! Schedules of drills. They are kept beside the authority, and take no revision.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::backend::{read, write};
use super::rows::{self, corrupt, signed};
use super::schedule_runs::{begin, move_due, pass_over, runs};
use super::write::Write;
use super::{Backend, Columns, Engine, Sql, values};
use crate::store::schedules::{
    Claim, Due, MAX_SCHEDULES, NewSchedule, RunOutcome, Schedule, ScheduleError, ScheduleName,
    ScheduleStore, ScheduledRun, When,
};
use crate::store::{Cause, NewDrill, StoreError};
use crate::time::UnixMicros;

#[async_trait]
impl<B: Backend> ScheduleStore for B {
    async fn add_schedule(&self, new: NewSchedule, cause: Cause) -> Result<Schedule, StoreError> {
        write!(self, |write| add(write, new, cause))
    }

    async fn schedule(&self, name: ScheduleName) -> Result<Option<Schedule>, StoreError> {
        read!(self, |db| by_name(db, &name))
    }

    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        read!(self, |db| list(db))
    }

    async fn schedule_runs(
        &self,
        name: ScheduleName,
        before: Option<UnixMicros>,
        limit: u32,
    ) -> Result<Vec<ScheduledRun>, StoreError> {
        read!(self, |db| runs(db, &name, before, limit))
    }

    async fn pause_schedule(
        &self,
        name: ScheduleName,
        cause: Cause,
    ) -> Result<Option<(Schedule, bool)>, StoreError> {
        write!(self, |write| pause(write, name, cause))
    }

    async fn resume_schedule(
        &self,
        name: ScheduleName,
        next: UnixMicros,
        cause: Cause,
    ) -> Result<Option<(Schedule, bool)>, StoreError> {
        write!(self, |write| resume(write, name, next, cause))
    }

    async fn remove_schedule(
        &self,
        name: ScheduleName,
        cause: Cause,
    ) -> Result<Option<Schedule>, StoreError> {
        write!(self, |write| remove(write, name, cause))
    }

    async fn begin_due(&self, due: Due, new: NewDrill, cause: Cause) -> Result<Claim, StoreError> {
        write!(self, |write| begin(write, due, new, cause))
    }

    async fn pass_over(
        &self,
        due: Due,
        outcome: RunOutcome,
        why: String,
        cause: Cause,
    ) -> Result<bool, StoreError> {
        write!(self, |write| pass_over(write, due, (outcome, why), cause))
    }

    async fn move_due(&self, due: Due) -> Result<(), StoreError> {
        write!(self, |write| move_due(write, due))
    }
}

async fn add(
    mut write: Write<impl Engine>,
    new: NewSchedule,
    cause: Cause,
) -> Result<Schedule, StoreError> {
    let known = list(write.db()).await?;
    if known.iter().any(|known| known.name == new.name) {
        return Err(ScheduleError::Taken(new.name).into());
    }
    if known.len() >= MAX_SCHEDULES {
        return Err(ScheduleError::TooMany.into());
    }
    let (cron, time_zone, every) = match &new.when {
        When::Cron { expression, time_zone } => (Some(&**expression), Some(&**time_zone), None),
        When::Every { seconds } => (None, None, Some(signed(*seconds))),
    };
    let insert = "INSERT INTO drill_schedules
         (name, created_us, actor, role, address, cron, time_zone, every_s, window_s, request,
          next_us, owed_us)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $2)";
    let values = values![
        new.name.as_str(),
        signed(new.created_at.0),
        &cause.actor,
        &cause.role,
        &cause.address,
        cron,
        time_zone,
        every,
        signed(new.window_s),
        new.request.to_string(),
        signed(new.next.0),
    ];
    write.db().execute(insert, values).await?;
    let made = found(by_name(write.db(), &new.name).await?)?;
    write.shows(None, Some(shown(&made)));
    write.commit_aside("drill_schedule.added", new.name.to_string(), cause).await?;
    Ok(made)
}

async fn pause(
    write: Write<impl Engine>,
    name: ScheduleName,
    cause: Cause,
) -> Result<Option<(Schedule, bool)>, StoreError> {
    let (_, now) = write.time();
    let update = "UPDATE drill_schedules SET paused_us = $1, paused_by = $2 WHERE name = $3";
    let values = values![signed(now.0), &cause.actor, name.as_str()];
    change(write, (name, "drill_schedule.paused"), true, (update, values), cause).await
}

async fn resume(
    write: Write<impl Engine>,
    name: ScheduleName,
    next: UnixMicros,
    cause: Cause,
) -> Result<Option<(Schedule, bool)>, StoreError> {
    let (_, now) = write.time();
    let update = "UPDATE drill_schedules
                  SET paused_us = NULL, paused_by = NULL, next_us = $1, owed_us = $2
                  WHERE name = $3";
    let values = values![signed(next.0), signed(now.0), name.as_str()];
    change(write, (name, "drill_schedule.resumed"), false, (update, values), cause).await
}

/// Has a schedule be paused or not.
async fn change(
    mut write: Write<impl Engine>,
    (name, action): (ScheduleName, &str),
    paused: bool,
    (update, values): (&'static str, Vec<super::Value>),
    cause: Cause,
) -> Result<Option<(Schedule, bool)>, StoreError> {
    let Some(before) = by_name(write.db(), &name).await? else { return Ok(None) };
    if before.paused.is_some() == paused {
        write.roll_back().await?;
        return Ok(Some((before, false)));
    }
    write.db().execute(update, values).await?;
    let after = found(by_name(write.db(), &name).await?)?;
    write.shows(Some(shown(&before)), Some(shown(&after)));
    write.commit_aside(action, name.to_string(), cause).await?;
    Ok(Some((after, true)))
}

async fn remove(
    mut write: Write<impl Engine>,
    name: ScheduleName,
    cause: Cause,
) -> Result<Option<Schedule>, StoreError> {
    let Some(before) = by_name(write.db(), &name).await? else { return Ok(None) };
    for delete in [
        "DELETE FROM drill_schedule_runs WHERE schedule = $1",
        "DELETE FROM drill_schedules WHERE name = $1",
    ] {
        write.db().execute(delete, values![name.as_str()]).await?;
    }
    write.shows(Some(shown(&before)), None);
    write.commit_aside("drill_schedule.removed", name.to_string(), cause).await?;
    Ok(Some(before))
}

async fn by_name(db: &mut impl Sql, name: &ScheduleName) -> Result<Option<Schedule>, StoreError> {
    let query = "SELECT * FROM drill_schedules WHERE name = $1";
    let Some(row) = db.first(query, values![name.as_str()]).await? else { return Ok(None) };
    let last = runs(db, name, None, 1).await?.pop();
    schedule(&row, last).map(Some)
}

async fn list(db: &mut impl Sql) -> Result<Vec<Schedule>, StoreError> {
    let mut found = Vec::new();
    for row in db.all("SELECT * FROM drill_schedules", values![]).await? {
        let last = runs(db, &name(&row)?, None, 1).await?.pop();
        found.push(schedule(&row, last)?);
    }
    // In the order of bytes, whatever that of the database is.
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn found(schedule: Option<Schedule>) -> Result<Schedule, StoreError> {
    schedule.ok_or_else(|| StoreError::Corrupt("a schedule that was written is not there".into()))
}

fn name(row: &impl Columns) -> Result<ScheduleName, StoreError> {
    row.text("name")?.parse().map_err(|error| corrupt("name", error))
}

fn schedule(row: &impl Columns, last: Option<ScheduledRun>) -> Result<Schedule, StoreError> {
    let when = match (row.optional_text("cron")?, row.optional_text("time_zone")?) {
        (Some(expression), Some(time_zone)) => {
            When::Cron { expression: expression.to_owned(), time_zone: time_zone.to_owned() }
        }
        _ => When::Every { seconds: rows::optional(row, "every_s")?.unwrap_or_default() },
    };
    let paused_by = rows::owned(row.optional_text("paused_by")?);
    let request: Value =
        serde_json::from_str(row.text("request")?).map_err(|error| corrupt("request", error))?;
    Ok(Schedule {
        name: name(row)?,
        created_at: rows::micros(row, "created_us")?,
        cause: Cause {
            actor: row.text("actor")?.to_owned(),
            role: rows::owned(row.optional_text("role")?),
            address: rows::owned(row.optional_text("address")?),
            ..Cause::default()
        },
        when,
        window_s: rows::optional(row, "window_s")?.unwrap_or_default(),
        request,
        paused: rows::optional_micros(row, "paused_us")?.zip(paused_by),
        next: rows::micros(row, "next_us")?,
        owed_since: rows::micros(row, "owed_us")?,
        passed_at: rows::optional_micros(row, "passed_us")?,
        last,
    })
}

/// A schedule as events say it.
fn shown(schedule: &Schedule) -> Value {
    let (cron, time_zone, every) = match &schedule.when {
        When::Cron { expression, time_zone } => (Some(expression), Some(time_zone), None),
        When::Every { seconds } => (None, None, Some(seconds)),
    };
    json!({
        "cron": cron,
        "time_zone": time_zone,
        "every_s": every,
        "window_s": schedule.window_s,
        "drill": schedule.request,
        "paused_at": schedule.paused.as_ref().map(|(at, _)| at.to_rfc3339()),
        "next": schedule.next.to_rfc3339(),
    })
}
