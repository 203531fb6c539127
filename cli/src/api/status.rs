//! The state of the switch.

use kya_core::{DrillId, KillId};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct SwitchStatus {
    pub(crate) version: String,
    pub(crate) problems: Vec<StatusProblem>,
    pub(crate) registry: Option<RegistryStatus>,
    pub(crate) proxies: ProxiesStatus,
    pub(crate) servers: Vec<ServerStatus>,
    pub(crate) certificates: Vec<CertificateStatus>,
    pub(crate) last_kill: Option<LastKill>,
    pub(crate) last_drill: Option<LastDrill>,
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
    pub(crate) left: u64,
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
    pub(crate) receipt_complete: bool,
    pub(crate) workers_there: u64,
    pub(crate) acknowledged: u64,
    pub(crate) last_acknowledged_after_ms: Option<f64>,
}

/// A server that uses the database.
#[derive(Debug, Deserialize)]
pub(crate) struct ServerStatus {
    pub(crate) name: String,
    pub(crate) started_at: String,
    pub(crate) seen_at: String,
    pub(crate) here: bool,
    pub(crate) live: bool,
    pub(crate) publishes: bool,
    pub(crate) published: u64,
    pub(crate) proxies: u64,
}

/// A certificate of the server that answers.
#[derive(Debug, Deserialize)]
pub(crate) struct CertificateStatus {
    pub(crate) listener: String,
    pub(crate) expires_at: Option<String>,
    pub(crate) days_left: Option<i64>,
}

/// The last drill that has ended.
#[derive(Debug, Deserialize)]
pub(crate) struct LastDrill {
    pub(crate) drill_id: DrillId,
    pub(crate) state: String,
    pub(crate) ended_at: Option<String>,
    pub(crate) last_rejection_p99_ms: Option<f64>,
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
