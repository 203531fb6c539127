//! What a schedule is asked to be, what is to be done about it, and whether it is overdue.
//! Pure: the time comes in.

use schemars::JsonSchema;
use serde::Deserialize;

use super::request::{Act, DrillRequest};
use super::timing::Timing;
use crate::store::schedules::{Schedule, ScheduleName, When};
use crate::time::UnixMicros;

const MIN_SECONDS: u64 = 60;
const MAX_SECONDS: u64 = 24 * 60 * 60;
/// The window of what is due by a cron expression, if it is not said.
const WINDOW_SECONDS: u64 = 60 * 60;

/// A schedule to be made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// What it is to be called.
    pub name: ScheduleName,
    /// When its drills are due: a cron expression of five fields. Either this is said or
    /// `every_s`.
    #[serde(default)]
    pub cron: Option<String>,
    /// The time zone of the cron expression, by its name in the IANA database; `UTC` if not
    /// said.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// A continuous canary: one stop and one restoration each so many seconds, 60 to 86400.
    #[serde(default)]
    pub every_s: Option<u64>,
    /// How many seconds after it is due a drill may begin, 60 to 86400: one that has not
    /// begun by then, or when the next one is due, is missed and not begun later. 3600 if
    /// not said, and of a canary `every_s`.
    #[serde(default)]
    pub window_s: Option<u64>,
    /// What is asked of each drill. That of a canary has one sample, and suspends.
    pub drill: DrillRequest,
}

/// What is to be done about a schedule.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Wait,
    /// The clock is behind what it was: the next one is due then.
    Move(UnixMicros),
    /// The one that is due was not begun in time, nor those that were due until then. The
    /// next one is due at `next`.
    PassOver { next: UnixMicros, until: Option<UnixMicros> },
    /// One is due, and the next at `next`.
    Begin { next: UnixMicros },
}

impl ScheduleRequest {
    /// When its drills are due, how many seconds they may begin late, and when the first one
    /// is due if it is made now.
    ///
    /// # Errors
    /// What is wrong, with the member that it is about.
    pub(crate) fn check(&self, now: UnixMicros) -> Result<(When, u64, UnixMicros), String> {
        let within =
            |member: &str, seconds: u64| match (MIN_SECONDS..=MAX_SECONDS).contains(&seconds) {
                true => Ok(()),
                false => Err(format!(
                    "`{member}`: must be between {MIN_SECONDS} and {MAX_SECONDS}, not {seconds}"
                )),
            };
        let (when, window) = match (&self.cron, self.every_s) {
            (Some(expression), None) => {
                let time_zone = self.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
                (When::Cron { expression: expression.clone(), time_zone }, WINDOW_SECONDS)
            }
            (None, Some(seconds)) => {
                within("every_s", seconds)?;
                if self.time_zone.is_some() {
                    return Err("`time_zone`: belongs to `cron`".to_owned());
                }
                if self.drill.samples != 1 {
                    let samples = self.drill.samples;
                    return Err(format!("`drill.samples`: a canary has 1, not {samples}"));
                }
                if self.drill.act != Act::Suspend {
                    return Err("`drill.act`: a canary is suspended and restored; one that is revoked each time would leave an agent each time".to_owned());
                }
                (When::Every { seconds }, seconds)
            }
            _ => return Err("`cron`: say when: either `cron` or `every_s`".to_owned()),
        };
        let window = self.window_s.unwrap_or(window);
        within("window_s", window)?;
        let next = Timing::read(&when, now)?.next(now);
        let next = next.ok_or_else(|| "`cron`: there is no such day".to_owned())?;
        Ok((when, window, next))
    }
}

/// What is to be done about it now.
pub(super) fn plan(schedule: &Schedule, timing: &Timing, now: UnixMicros) -> Step {
    let Some(upcoming) = timing.next(now) else { return Step::Wait };
    match (&schedule.paused, schedule.next) {
        (Some(_), _) => Step::Wait,
        (None, next) if next > upcoming => Step::Move(upcoming),
        (None, next) if next > now => Step::Wait,
        (None, due) => {
            let last = timing.last(now).unwrap_or(due);
            match last > due {
                // The newest of them may be begun; those before it are too late.
                true => {
                    let before = timing.last(UnixMicros(last.0.saturating_sub(1)));
                    Step::PassOver { next: last, until: before.filter(|before| *before > due) }
                }
                false if now > end_of_window(schedule, due) => {
                    Step::PassOver { next: upcoming, until: None }
                }
                false => Step::Begin { next: upcoming },
            }
        }
    }
}

fn end_of_window(schedule: &Schedule, due: UnixMicros) -> UnixMicros {
    UnixMicros(due.0.saturating_add(schedule.window_s.saturating_mul(1_000_000)))
}

/// Since when it is overdue: since the end of the window of the first drill that was due
/// after the last one that passed, or after the schedule was made or resumed. `None` if it
/// is not, is paused, or that drill goes on.
pub(crate) fn overdue_since(schedule: &Schedule, now: UnixMicros) -> Option<UnixMicros> {
    if schedule.paused.is_some() {
        return None;
    }
    let timing = Timing::read(&schedule.when, schedule.created_at).ok()?;
    let owed = timing.next(schedule.owed_since)?;
    let goes_on = schedule
        .last
        .as_ref()
        .is_some_and(|run| run.due == owed && run.drill.is_some_and(|(_, state)| state.is_open()));
    let late = end_of_window(schedule, owed);
    (now > late && !goes_on).then_some(late)
}

/// The next `count` times at which one is due; none if it is paused.
pub(crate) fn upcoming(schedule: &Schedule, count: usize) -> Vec<UnixMicros> {
    let timing = match (&schedule.paused, Timing::read(&schedule.when, schedule.created_at)) {
        (None, Ok(timing)) => timing,
        _ => return Vec::new(),
    };
    std::iter::successors(Some(schedule.next), |due| timing.next(*due)).take(count).collect()
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
