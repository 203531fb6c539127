//! Schedules of drills: making, following, pausing and removing them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kya_core::DrillId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Api;
use super::describe::Created;
use super::extract::{Body, Params, Segment};
use super::problem::{Code, Problem};
use super::requests::{Limit, Restore};
use super::routes::By;
use crate::drill::{self, ScheduleRequest};
use crate::registry::Why;
use crate::store::schedules::{self, ScheduleName, When};
use crate::time::UnixMicros;

type Shared = State<Arc<Api>>;

/// How many of the times at which one is due are shown.
const UPCOMING: usize = 3;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowSchedule {
    /// So many of the last times at which one was due.
    #[serde(default)]
    limit: Limit,
}

/// A schedule of drills.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "DrillSchedule")]
pub(super) struct Schedule {
    name: ScheduleName,
    /// `active` or `paused`.
    state: &'static str,
    /// Either this or `every_s` is there.
    cron: Option<String>,
    time_zone: Option<String>,
    every_s: Option<u64>,
    /// How many seconds after it is due a drill may begin.
    window_s: u64,
    /// What is asked of each drill.
    drill: Value,
    created_at: String,
    created_by: String,
    paused_at: Option<String>,
    paused_by: Option<String>,
    /// The next times at which one is due.
    next: Vec<String>,
    /// When the last one ended that passed.
    last_passed_at: Option<String>,
    /// Since when one that passes is overdue; `None` if it is not.
    overdue_since: Option<String>,
    /// What became of the last one that was due.
    last_run: Option<Run>,
}

/// What became of a time at which a drill was due.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ScheduledRun")]
struct Run {
    due_at: String,
    /// When this became of it.
    at: String,
    /// `running`, `stopping`, `passed`, `failed` or `interrupted`, as its drill is; `missed`,
    /// `skipped` or `refused` if there is none.
    outcome: &'static str,
    drill_id: Option<DrillId>,
    /// Why there is none.
    why: Option<String>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "DrillSchedules")]
pub(super) struct Schedules {
    schedules: Vec<Schedule>,
}

/// A schedule, and what became of its last times, the newest first.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "DrillScheduleAndRuns")]
pub(super) struct ScheduleAndRuns {
    #[serde(flatten)]
    schedule: Schedule,
    runs: Vec<Run>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "DrillScheduleChange")]
pub(super) struct ScheduleChange {
    schedule: Schedule,
    changed: bool,
}

impl Schedule {
    fn new(schedule: schedules::Schedule, now: UnixMicros) -> Self {
        let overdue_since = drill::overdue_since(&schedule, now);
        let next = drill::upcoming(&schedule, UPCOMING);
        let (cron, time_zone, every_s) = match schedule.when {
            When::Cron { expression, time_zone } => (Some(expression), Some(time_zone), None),
            When::Every { seconds } => (None, None, Some(seconds)),
        };
        let (paused_at, paused_by) = schedule.paused.unzip();
        Self {
            name: schedule.name,
            state: if paused_at.is_some() { "paused" } else { "active" },
            cron,
            time_zone,
            every_s,
            window_s: schedule.window_s,
            drill: schedule.request,
            created_at: schedule.created_at.to_rfc3339(),
            created_by: schedule.cause.actor,
            paused_at: paused_at.map(UnixMicros::to_rfc3339),
            paused_by,
            next: next.into_iter().map(UnixMicros::to_rfc3339).collect(),
            last_passed_at: schedule.passed_at.map(UnixMicros::to_rfc3339),
            overdue_since: overdue_since.map(UnixMicros::to_rfc3339),
            last_run: schedule.last.map(Run::from),
        }
    }
}

impl From<schedules::ScheduledRun> for Run {
    fn from(run: schedules::ScheduledRun) -> Self {
        Self {
            due_at: run.due.to_rfc3339(),
            at: run.at.to_rfc3339(),
            outcome: run.drill.map_or(run.outcome.name(), |(_, state)| state.name()),
            drill_id: run.drill.map(|(id, _)| id),
            why: run.why,
        }
    }
}

pub(super) async fn add(
    State(api): Shared,
    By(operator): By,
    Body(request): Body<ScheduleRequest>,
) -> Result<Created<Schedule>, Problem> {
    let made = api.drills.add_schedule(request, operator.because(Why::default())).await?;
    let place = format!("/v1/drill-schedules/{}", made.name);
    Ok(Created(Some(place), Schedule::new(made, api.clock.now())))
}

pub(super) async fn list(State(api): Shared) -> Result<Json<Schedules>, Problem> {
    let (found, now) = (api.store.schedules().await?, api.clock.now());
    let schedules = found.into_iter().map(|schedule| Schedule::new(schedule, now)).collect();
    Ok(Json(Schedules { schedules }))
}

pub(super) async fn show(
    State(api): Shared,
    Segment(name): Segment<ScheduleName>,
    Params(wanted): Params<ShowSchedule>,
) -> Result<Json<ScheduleAndRuns>, Problem> {
    let schedule = found(&name, api.store.schedule(name.clone()).await?)?;
    let runs = api.store.schedule_runs(name, None, wanted.limit.0).await?;
    let runs = runs.into_iter().map(Run::from).collect();
    let schedule = Schedule::new(schedule, api.clock.now());
    Ok(Json(ScheduleAndRuns { schedule, runs }))
}

pub(super) async fn pause(
    State(api): Shared,
    By(operator): By,
    Segment(name): Segment<ScheduleName>,
    Body(why): Body<Restore>,
) -> Result<Json<ScheduleChange>, Problem> {
    let paused = api.store.pause_schedule(name.clone(), operator.because(why.into())).await?;
    change(&api, found(&name, paused)?)
}

pub(super) async fn resume(
    State(api): Shared,
    By(operator): By,
    Segment(name): Segment<ScheduleName>,
    Body(why): Body<Restore>,
) -> Result<Json<ScheduleChange>, Problem> {
    let cause = operator.because(why.into());
    let resumed = api.drills.resume_schedule(name.clone(), cause).await?;
    change(&api, found(&name, resumed)?)
}

pub(super) async fn remove(
    State(api): Shared,
    By(operator): By,
    Segment(name): Segment<ScheduleName>,
    Body(why): Body<Restore>,
) -> Result<Json<ScheduleChange>, Problem> {
    let removed = api.store.remove_schedule(name.clone(), operator.because(why.into())).await?;
    change(&api, (found(&name, removed)?, true))
}

fn change(
    api: &Api,
    (schedule, changed): (schedules::Schedule, bool),
) -> Result<Json<ScheduleChange>, Problem> {
    let schedule = Schedule::new(schedule, api.clock.now());
    Ok(Json(ScheduleChange { schedule, changed }))
}

fn found<T>(name: &ScheduleName, found: Option<T>) -> Result<T, Problem> {
    found.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no schedule {name}")))
}
