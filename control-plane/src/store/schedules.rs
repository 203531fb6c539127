//! Schedules: drills that are due again and again, and what became of each.
//!
//! **Invariant.** Whatever a drill is due for, at most one thing becomes of it, whichever
//! servers look: it is claimed in the transaction that begins the drill, and a time that has
//! a record is never claimed again.

use async_trait::async_trait;
use kya_core::DrillId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::{Cause, Drill, DrillState, NewDrill, StoreError};
use crate::text::plain_name;
use crate::time::UnixMicros;

/// Most schedules that there are at a time.
pub const MAX_SCHEDULES: usize = 32;
/// So many of the last records of each are kept, with their drills.
pub const RUNS_KEPT: u32 = 1_000;
/// Of so many of these the probes are kept.
pub const PROBES_KEPT: u32 = 50;
const MAX_NAME: usize = 64;

/// Name of a schedule: 1 to 64 of the characters that need no escaping in a URL (RFC 3986
/// section 2.3), the first a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ScheduleName(String);

/// Why a text is not the name of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the name of a schedule has 1 to {MAX_NAME} letters, digits and `.`, `_`, `-`, `~`, and begins with a letter or digit"
)]
pub struct ScheduleNameError;

/// A rule of schedules.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Names are used once at a time.
    #[error("there is a schedule {0}: remove it first, or take another name")]
    Taken(ScheduleName),
    /// Too many.
    #[error("there are {MAX_SCHEDULES} schedules, which are the most: remove one first")]
    TooMany,
}

/// When drills are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// By a cron expression in a time zone of the IANA database.
    Cron {
        /// The five fields.
        expression: String,
        /// The zone.
        time_zone: String,
    },
    /// So many seconds after it was made, and again and again.
    Every {
        /// The seconds.
        seconds: u64,
    },
}

/// A schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// What it is called.
    pub name: ScheduleName,
    /// When it was made.
    pub created_at: UnixMicros,
    /// Who made it, and from where.
    pub cause: Cause,
    /// When its drills are due.
    pub when: When,
    /// How many seconds after it is due a drill may begin.
    pub window_s: u64,
    /// What is asked of each drill.
    pub request: Value,
    /// Since when it is paused, and by whom.
    pub paused: Option<(UnixMicros, String)>,
    /// When the next one is due that nothing has become of.
    pub next: UnixMicros,
    /// Since when a drill that passes is owed.
    pub owed_since: UnixMicros,
    /// When the last one ended that passed.
    pub passed_at: Option<UnixMicros>,
    /// What became of the last one that was due.
    pub last: Option<ScheduledRun>,
}

/// A schedule to be made.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// What it is to be called.
    pub name: ScheduleName,
    /// When its drills are due.
    pub when: When,
    /// How many seconds after it is due a drill may begin.
    pub window_s: u64,
    /// What is asked of each drill.
    pub request: Value,
    /// When it is made.
    pub created_at: UnixMicros,
    /// When the first one is due.
    pub next: UnixMicros,
}

/// What became of a time at which a drill was due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledRun {
    /// When it was due.
    pub due: UnixMicros,
    /// When this became of it.
    pub at: UnixMicros,
    /// What.
    pub outcome: RunOutcome,
    /// The drill that was begun, and how far it is.
    pub drill: Option<(DrillId, DrillState)>,
    /// Why none was.
    pub why: Option<String>,
    /// Name of the server that says so.
    pub server: String,
}

/// What became of a time at which a drill was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// A drill was begun.
    Started,
    /// No server began one within the window.
    Missed,
    /// The drill of the time before was still going on.
    Skipped,
    /// As things were, none could be begun.
    Refused,
}

/// A time at which a drill of a schedule is due.
#[derive(Debug, Clone)]
pub struct Due {
    /// The schedule.
    pub name: ScheduleName,
    /// The time.
    pub at: UnixMicros,
    /// When the next one is due after it.
    pub next: UnixMicros,
    /// The server that looks.
    pub server: String,
}

/// What came of an attempt to begin a drill that is due.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// It has begun.
    Begun(Box<Drill>),
    /// The one before it goes on: it is skipped, which is on record.
    Skipped,
    /// Another drill goes on.
    Busy(DrillId),
    /// Something has become of it already, or the schedule is paused or gone.
    Lost,
}

impl ScheduleName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ScheduleName {
    type Error = ScheduleNameError;

    fn try_from(text: String) -> Result<Self, ScheduleNameError> {
        match text.len() <= MAX_NAME && plain_name(&text) {
            true => Ok(Self(text)),
            false => Err(ScheduleNameError),
        }
    }
}

impl std::str::FromStr for ScheduleName {
    type Err = ScheduleNameError;

    fn from_str(text: &str) -> Result<Self, ScheduleNameError> {
        text.to_owned().try_into()
    }
}

impl std::fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl RunOutcome {
    const ALL: [Self; 4] = [Self::Started, Self::Missed, Self::Skipped, Self::Refused];

    /// The stored and shown name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Missed => "missed",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
        }
    }

    /// The outcome with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// Its event, if it has one of its own.
    pub(super) const fn event(self) -> Option<&'static str> {
        match self {
            Self::Started => None,
            Self::Missed => Some("drill_schedule.missed"),
            Self::Skipped => Some("drill_schedule.skipped"),
            Self::Refused => Some("drill_schedule.refused"),
        }
    }
}

/// What a [`Store`](super::Store) keeps of schedules. None of it is a change of authority;
/// what operators do to them has events.
#[async_trait]
pub trait ScheduleStore {
    /// Makes a schedule, of at most [`MAX_SCHEDULES`].
    async fn add_schedule(&self, new: NewSchedule, cause: Cause) -> Result<Schedule, StoreError>;

    /// The schedule of this name.
    async fn schedule(&self, name: ScheduleName) -> Result<Option<Schedule>, StoreError>;

    /// All of them, by the bytes of their names.
    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError>;

    /// Up to `limit` records of what became of its times before `before`, the newest first.
    async fn schedule_runs(
        &self,
        name: ScheduleName,
        before: Option<UnixMicros>,
        limit: u32,
    ) -> Result<Vec<ScheduledRun>, StoreError>;

    /// Pauses a schedule, and says whether that changed anything.
    async fn pause_schedule(
        &self,
        name: ScheduleName,
        cause: Cause,
    ) -> Result<Option<(Schedule, bool)>, StoreError>;

    /// Ends a pause. The next one is due at `next`, and one that passes is owed since now.
    async fn resume_schedule(
        &self,
        name: ScheduleName,
        next: UnixMicros,
        cause: Cause,
    ) -> Result<Option<(Schedule, bool)>, StoreError>;

    /// Removes a schedule and its records, as it was. Its drills stay.
    async fn remove_schedule(
        &self,
        name: ScheduleName,
        cause: Cause,
    ) -> Result<Option<Schedule>, StoreError>;

    /// Begins a drill that is due, and puts that on record.
    async fn begin_due(&self, due: Due, new: NewDrill, cause: Cause) -> Result<Claim, StoreError>;

    /// Puts on record that none is begun, and says whether nothing was before.
    async fn pass_over(
        &self,
        due: Due,
        outcome: RunOutcome,
        why: String,
        cause: Cause,
    ) -> Result<bool, StoreError>;

    /// Has the next one be due at `due.next` and not at `due.at`: the clock was wrong.
    async fn move_due(&self, due: Due) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_url_and_in_a_metric() {
        for good in ["quarterly", "a", "canary.eu~1", &"n".repeat(64)] {
            assert_eq!(good.parse::<ScheduleName>().unwrap().as_str(), good);
        }
        for bad in ["", "..", "a/b", "a b", "a\"", "é", "oidc:x", &"n".repeat(65)] {
            assert_eq!(bad.parse::<ScheduleName>(), Err(ScheduleNameError), "{bad:?}");
        }
    }
}
