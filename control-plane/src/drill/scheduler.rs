//! Begins the drills of schedules when they are due.
//!
//! Every server looks; the claim in the store lets one of them begin. A server that dies
//! meanwhile leaves a drill that nobody goes on with, which is ended as every such drill is:
//! it is on record as interrupted, and not run again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kya_core::DrillId;
use tokio_util::sync::CancellationToken;

use super::request::DrillRequest;
use super::schedule::{Step, plan};
use super::timing::Timing;
use super::{DrillError, Drills};
use crate::store::schedules::{Claim, Due, NewSchedule, RunOutcome, Schedule, ScheduleName, When};
use crate::store::{Cause, StoreError};
use crate::telemetry::Metrics;
use crate::throttle::Throttle;
use crate::time::UnixMicros;

/// How often it is looked what is due.
const LOOK: Duration = Duration::from_secs(1);
static WARNINGS: Throttle = Throttle::new(Duration::from_secs(60));

/// What this server remembers from one look to the next.
struct Scheduler {
    drills: Arc<Drills>,
    metrics: Arc<Metrics>,
    /// Drills that it has begun and whose end it has not seen.
    begun: Vec<(ScheduleName, bool, DrillId)>,
    /// Drills that keep others, which are due, waiting.
    busy: BTreeMap<ScheduleName, DrillId>,
}

impl Drills {
    /// Looks what is due, from now on and until `stop`.
    pub(crate) fn follow_schedules(
        self: &Arc<Self>,
        metrics: Arc<Metrics>,
        stop: &CancellationToken,
    ) {
        let (drills, begun, busy) = (Arc::clone(self), Vec::new(), BTreeMap::new());
        let mut scheduler = Scheduler { drills, metrics, begun, busy };
        let looking = async move {
            loop {
                if let Err(error) = scheduler.look().await
                    && WARNINGS.passes()
                {
                    tracing::warn!(%error, "it is not known which drills are due");
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(looking));
    }

    /// Makes a schedule.
    pub(crate) async fn add_schedule(
        &self,
        request: super::ScheduleRequest,
        cause: Cause,
    ) -> Result<Schedule, DrillError> {
        let now = self.clock.now();
        let (when, window_s, next) = request.check(now).map_err(DrillError::Refused)?;
        self.vet(&request.drill).await.map_err(|error| match error {
            DrillError::Refused(why) if why.starts_with('`') => {
                DrillError::Refused(why.replacen('`', "`drill.", 1))
            }
            error => error,
        })?;
        let asked = serde_json::to_value(&request.drill)
            .map_err(|error| DrillError::Refused(error.to_string()))?;
        let name = request.name;
        let new = NewSchedule { name, when, window_s, request: asked, created_at: now, next };
        Ok(self.store.add_schedule(new, cause).await?)
    }

    /// Ends a pause.
    pub(crate) async fn resume_schedule(
        &self,
        name: ScheduleName,
        cause: Cause,
    ) -> Result<Option<(Schedule, bool)>, DrillError> {
        let Some(known) = self.store.schedule(name.clone()).await? else { return Ok(None) };
        let timing = Timing::read(&known.when, known.created_at).map_err(DrillError::Refused)?;
        let next = timing.next(self.clock.now());
        let next = next.ok_or_else(|| DrillError::Refused("it is never due again".to_owned()))?;
        Ok(self.store.resume_schedule(name, next, cause).await?)
    }
}

impl Scheduler {
    async fn look(&mut self) -> Result<(), StoreError> {
        self.settle().await?;
        let now = self.drills.clock.now();
        let schedules = self.drills.store.schedules().await?;
        self.metrics.schedules.shows(&schedules, now);
        self.busy.retain(|name, _| schedules.iter().any(|it| it.name == *name));
        for schedule in &schedules {
            if self.drills.draining.is_cancelled() {
                return Ok(());
            }
            self.attend(schedule, now).await?;
        }
        Ok(())
    }

    async fn attend(&mut self, schedule: &Schedule, now: UnixMicros) -> Result<(), StoreError> {
        let timing = match Timing::read(&schedule.when, schedule.created_at) {
            Ok(timing) => timing,
            Err(why) => {
                if WARNINGS.passes() {
                    tracing::warn!(schedule = %schedule.name, why, "a schedule is not followed");
                }
                return Ok(());
            }
        };
        let due = |next| Due {
            name: schedule.name.clone(),
            at: schedule.next,
            next,
            server: self.drills.server.clone(),
        };
        match plan(schedule, &timing, now) {
            Step::Wait => Ok(()),
            Step::Move(next) => self.drills.store.move_due(due(next)).await,
            Step::PassOver { next, until } => {
                let due = due(next);
                let mut why = match self.busy.remove(&schedule.name) {
                    Some(busy) => format!("another drill, {busy}, went on for its whole window"),
                    None => "no server began it within its window".to_owned(),
                };
                if let Some(until) = until {
                    why.push_str(&format!("; nor those due until {}", until.to_rfc3339()));
                }
                self.pass_over(schedule, due, RunOutcome::Missed, why).await
            }
            Step::Begin { next } => {
                let due = due(next);
                self.begin(schedule, due).await
            }
        }
    }

    async fn begin(&mut self, schedule: &Schedule, due: Due) -> Result<(), StoreError> {
        let name = &schedule.name;
        let request = serde_json::from_value::<DrillRequest>(schedule.request.clone());
        let claimed = match request {
            Ok(request) => self.drills.begin_due(due.clone(), request, cause_of(schedule)).await,
            Err(error) => Err(DrillError::Refused(error.to_string())),
        };
        match claimed {
            Ok(Claim::Lost) => Ok(()),
            Ok(Claim::Begun(drill)) => {
                tracing::info!(schedule = %name, drill = %drill.id, "a drill that is due");
                self.busy.remove(name);
                let canary = matches!(schedule.when, When::Every { .. });
                self.begun.push((name.clone(), canary, drill.id));
                Ok(())
            }
            Ok(Claim::Skipped) => {
                self.metrics.schedules.ran(name, RunOutcome::Skipped.name());
                Ok(())
            }
            Ok(Claim::Busy(other)) => {
                self.busy.insert(name.clone(), other);
                Ok(())
            }
            // Another server may begin it, or this one when it is there again.
            Err(_) if self.drills.draining.is_cancelled() => Ok(()),
            Err(DrillError::Refused(why) | DrillError::NotNow(why)) => {
                self.pass_over(schedule, due, RunOutcome::Refused, why).await
            }
            Err(DrillError::Store(error @ StoreError::NoSuchAgent(_))) => {
                self.pass_over(schedule, due, RunOutcome::Refused, error.to_string()).await
            }
            Err(DrillError::Store(error)) => Err(error),
            Err(DrillError::Registry(error)) => Err(StoreError::Unavailable(error.into())),
        }
    }

    async fn pass_over(
        &self,
        schedule: &Schedule,
        due: Due,
        outcome: RunOutcome,
        why: String,
    ) -> Result<(), StoreError> {
        let (name, at) = (&schedule.name, due.at.to_rfc3339());
        let store = &self.drills.store;
        if store.pass_over(due, outcome, why.clone(), cause_of(schedule)).await? {
            let outcome = outcome.name();
            tracing::warn!(schedule = %name, due = at, outcome, why, "a drill was due");
            self.metrics.schedules.ran(name, outcome);
        }
        Ok(())
    }

    /// Counts what came of the drills that this server has begun.
    async fn settle(&mut self) -> Result<(), StoreError> {
        let mut open = Vec::new();
        for (name, canary, id) in std::mem::take(&mut self.begun) {
            match self.drills.store.drill(id).await {
                Ok(Some(drill)) if drill.state.is_open() => open.push((name, canary, id)),
                Ok(Some(drill)) => self.metrics.schedules.ended(&name, canary, &drill),
                Ok(None) => {}
                Err(error) => {
                    self.begun = open;
                    self.begun.push((name, canary, id));
                    return Err(error);
                }
            }
        }
        self.begun = open;
        Ok(())
    }
}

/// Who does what such a drill does. No operator has such a name.
fn cause_of(schedule: &Schedule) -> Cause {
    let Cause { actor, role, .. } = &schedule.cause;
    Cause {
        actor: format!("schedule:{}", schedule.name),
        reason: Some(format!("schedule {}, made by {actor}", schedule.name)),
        role: role.clone(),
        ..Cause::default()
    }
}
