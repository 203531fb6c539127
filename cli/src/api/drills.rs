//! Drills.

use kya_core::{AgentId, DrillId};
use serde::{Deserialize, Serialize};

use crate::args::{Act, Probe};

/// `POST /v1/drills`.
#[derive(Debug, Serialize)]
pub(crate) struct NewDrill<'a> {
    pub(crate) parties: &'a [Probe],
    pub(crate) samples: u32,
    pub(crate) rate: u32,
    pub(crate) act: Act,
    pub(crate) selector: &'a str,
    pub(crate) agent_id: Option<AgentId>,
    pub(crate) p99_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probe_ca: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Drill {
    pub(crate) drill_id: DrillId,
    pub(crate) state: String,
    pub(crate) started_at: String,
    pub(crate) ended_at: Option<String>,
    pub(crate) started_by: String,
    pub(crate) request: DrillRequest,
    pub(crate) samples_done: u32,
    pub(crate) result: Option<DrillResult>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DrillRequest {
    #[serde(default)]
    pub(crate) samples: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Drills {
    pub(crate) drills: Vec<Drill>,
    pub(crate) next: Option<DrillId>,
}

/// What a drill has found. One that failed has nothing but its failures.
#[derive(Debug, Deserialize)]
pub(crate) struct DrillResult {
    pub(crate) passed: bool,
    pub(crate) failures: Vec<String>,
    pub(crate) canary: Option<AgentId>,
    pub(crate) first_rejection_ms: Option<Percentiles>,
    pub(crate) last_rejection_ms: Option<Percentiles>,
    pub(crate) receipt_complete_ms: Option<Percentiles>,
    #[serde(default)]
    pub(crate) unacknowledged: u64,
    #[serde(default)]
    pub(crate) relying_parties: Vec<DrilledParty>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DrilledParty {
    pub(crate) name: String,
    pub(crate) measured: u64,
    pub(crate) not_rejected: u64,
    pub(crate) first_rejection_ms: Option<Percentiles>,
    pub(crate) last_rejection_ms: Option<Percentiles>,
    pub(crate) allowed_after_ack: u64,
    /// Absent in drills of earlier versions.
    #[serde(default)]
    pub(crate) in_flight: InFlight,
    pub(crate) missed: u64,
    pub(crate) unanswered: u64,
}

/// Requests that were in flight at a stop, and how many of them it cut.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct InFlight {
    pub(crate) at_stop: u64,
    pub(crate) cut: u64,
}

/// In milliseconds.
#[derive(Debug, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}
