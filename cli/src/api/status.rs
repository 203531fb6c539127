//! The state of the switch.

use kya_core::KillId;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct SwitchStatus {
    pub(crate) version: String,
    pub(crate) problems: Vec<StatusProblem>,
    pub(crate) registry: Option<RegistryStatus>,
    pub(crate) proxies: ProxiesStatus,
    pub(crate) last_kill: Option<LastKill>,
    pub(crate) audit: Option<AuditStatus>,
    /// Absent of an older server.
    pub(crate) drills: Option<DrillsStatus>,
}

/// What is wrong, and what to do.
#[derive(Debug, Deserialize)]
pub(crate) struct StatusProblem {
    pub(crate) code: String,
    pub(crate) what: String,
    pub(crate) fix: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RegistryStatus {
    pub(crate) revision: u64,
    pub(crate) epoch: u64,
    pub(crate) shared: bool,
    pub(crate) halted: bool,
    pub(crate) halted_at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ProxiesStatus {
    pub(crate) armed: u64,
    pub(crate) stale: u64,
    pub(crate) unknown: u64,
    pub(crate) workers: u64,
    pub(crate) most_behind: u64,
    pub(crate) slowest: Option<String>,
    pub(crate) not_armed: Vec<NotArmed>,
    pub(crate) more: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NotArmed {
    pub(crate) node_id: String,
    pub(crate) state: String,
    pub(crate) why: String,
    pub(crate) since: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LastKill {
    pub(crate) kill_id: KillId,
    pub(crate) act: String,
    pub(crate) subject: String,
    pub(crate) at: String,
    pub(crate) complete: bool,
    pub(crate) workers_there: u64,
    pub(crate) acknowledged: u64,
    pub(crate) last_acknowledged_after_ms: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AuditStatus {
    pub(crate) size: u64,
    pub(crate) checkpoint_size: u64,
    pub(crate) checkpoint_at: Option<String>,
    pub(crate) acts_waiting: u64,
    pub(crate) signs_here: bool,
}

/// Scheduled drills.
#[derive(Debug, Deserialize)]
pub(crate) struct DrillsStatus {
    pub(crate) schedules: u64,
    pub(crate) paused: u64,
    pub(crate) overdue: Vec<String>,
    pub(crate) next: Option<NextDrill>,
    pub(crate) last_passed_at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NextDrill {
    pub(crate) schedule: String,
    pub(crate) at: String,
}
