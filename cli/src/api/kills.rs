//! Kills.

use kya_core::KillId;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub(crate) struct Kill {
    pub(crate) kill_id: KillId,
    pub(crate) act: String,
    pub(crate) subject: String,
    pub(crate) in_flight: String,
    pub(crate) at: String,
    pub(crate) revision: u64,
    pub(crate) actor: String,
    pub(crate) role: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) incident_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Kills {
    pub(crate) kills: Vec<Kill>,
    pub(crate) next: Option<KillId>,
}

/// What has become of a kill.
#[derive(Debug, Deserialize)]
pub(crate) struct KillReport {
    pub(crate) kill: Kill,
    pub(crate) state: String,
    pub(crate) complete: bool,
    pub(crate) summary: String,
    pub(crate) workers_there: u64,
    pub(crate) acknowledged: u64,
    /// `proxy/instance` each.
    pub(crate) laggards: Vec<String>,
    pub(crate) workers: Vec<KillWorker>,
    /// `proxy/instance` each.
    pub(crate) unknown: Vec<String>,
    pub(crate) rows: Vec<KillRow>,
}

/// A row of a kill, as it is in the trail.
#[derive(Debug, Deserialize)]
pub(crate) struct KillRow {
    pub(crate) seq: u64,
    pub(crate) record: Value,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KillWorker {
    pub(crate) proxy: String,
    pub(crate) worker: u32,
    pub(crate) instance: String,
    pub(crate) state: String,
    pub(crate) acknowledged_at: Option<String>,
    pub(crate) applied_number: Option<u64>,
    pub(crate) requests: Vec<KillRequest>,
    pub(crate) more_requests: u64,
    pub(crate) missing: u64,
    pub(crate) untracked: u64,
}

/// A request in flight.
#[derive(Debug, Deserialize)]
pub(crate) struct KillRequest {
    pub(crate) decision_number: u64,
    pub(crate) agent_id: Option<String>,
    pub(crate) ending: String,
    /// `None` while it goes on.
    pub(crate) disposition: Option<String>,
    pub(crate) ended_seq: Option<u64>,
}
