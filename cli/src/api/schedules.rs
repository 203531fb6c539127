//! Schedules of drills.

use kya_core::DrillId;
use serde::{Deserialize, Serialize};

use super::NewDrill;

/// `POST /v1/drill-schedules`.
#[derive(Debug, Serialize)]
pub(crate) struct NewSchedule<'a> {
    pub(crate) name: &'a str,
    pub(crate) cron: Option<&'a str>,
    pub(crate) time_zone: Option<&'a str>,
    pub(crate) every_s: Option<u64>,
    pub(crate) window_s: Option<u64>,
    pub(crate) drill: NewDrill<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Schedule {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) cron: Option<String>,
    pub(crate) time_zone: Option<String>,
    pub(crate) every_s: Option<u64>,
    pub(crate) window_s: u64,
    pub(crate) drill: ScheduledDrill,
    pub(crate) created_at: String,
    pub(crate) created_by: String,
    pub(crate) paused_at: Option<String>,
    pub(crate) paused_by: Option<String>,
    pub(crate) next: Vec<String>,
    pub(crate) last_passed_at: Option<String>,
    pub(crate) overdue_since: Option<String>,
    pub(crate) last_run: Option<ScheduledRun>,
    /// Only where one is shown.
    #[serde(default)]
    pub(crate) runs: Vec<ScheduledRun>,
}

/// What is asked of each drill.
#[derive(Debug, Deserialize)]
pub(crate) struct ScheduledDrill {
    #[serde(default)]
    pub(crate) parties: Vec<ScheduledParty>,
    #[serde(default)]
    pub(crate) samples: u32,
    #[serde(default)]
    pub(crate) rate: u32,
    #[serde(default)]
    pub(crate) selector: String,
    pub(crate) p99_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ScheduledParty {
    pub(crate) name: String,
    pub(crate) url: String,
}

/// What became of a time at which a drill was due.
#[derive(Debug, Deserialize)]
pub(crate) struct ScheduledRun {
    pub(crate) due_at: String,
    pub(crate) outcome: String,
    pub(crate) drill_id: Option<DrillId>,
    pub(crate) why: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Schedules {
    pub(crate) schedules: Vec<Schedule>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ScheduleChange {
    pub(crate) schedule: Schedule,
    pub(crate) changed: bool,
}
