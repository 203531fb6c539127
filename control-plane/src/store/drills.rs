//! Drills: who had a canary stopped to see who hears of it, and what was found.
//!
//! **Invariant.** At most one drill is open. What it must not leave behind, its canary and
//! the canary's token, is on record as long as it is.

use std::fmt::Debug;

use async_trait::async_trait;
use kya_core::{AgentId, DrillId, TokenId};
use serde_json::Value;

use super::schedules::ScheduleStore;
use super::{Cause, StoreError};
use crate::time::UnixMicros;

/// How far a drill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrillState {
    /// Its server goes on with it.
    Running,
    /// Somebody has asked for its end.
    Stopping,
    /// Everybody heard, in time.
    Passed,
    /// Somebody did not hear, or too late.
    Failed,
    /// It ended before its last sample.
    Interrupted,
}

/// A drill.
#[derive(Debug, Clone, PartialEq)]
pub struct Drill {
    /// Its id.
    pub id: DrillId,
    /// How far it is.
    pub state: DrillState,
    /// When it began.
    pub started_at: UnixMicros,
    /// When its server last said that it goes on with it.
    pub alive_at: UnixMicros,
    /// When it ended.
    pub ended_at: Option<UnixMicros>,
    /// Name of the server that runs it.
    pub server: String,
    /// Who asked for it, and from where.
    pub cause: Cause,
    /// What was asked for.
    pub request: Value,
    /// What it must not leave behind.
    pub canary: Option<Canary>,
    /// Samples that are over.
    pub done: u32,
    /// What was found.
    pub result: Option<Value>,
}

/// The agent that a drill stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    /// The agent.
    pub agent: AgentId,
    /// The token by which it works, once it has one.
    pub token: Option<TokenId>,
}

/// Why a drill decides what it decides about its canary.
pub(crate) fn reason(id: DrillId) -> String {
    format!("{REASON}{id}")
}

/// Whether this is the reason of some drill.
pub(crate) fn is_reason(reason: &str) -> bool {
    reason.strip_prefix(REASON).is_some_and(|id| id.parse::<DrillId>().is_ok())
}

const REASON: &str = "drill ";

/// A drill to be begun.
#[derive(Debug, Clone)]
pub struct NewDrill {
    /// A fresh id.
    pub id: DrillId,
    /// Name of the server that runs it.
    pub server: String,
    /// What is asked for.
    pub request: Value,
}

/// How a drill ended.
#[derive(Debug, Clone)]
pub struct EndedDrill {
    /// `Passed`, `Failed` or `Interrupted`.
    pub state: DrillState,
    /// What was found.
    pub result: Value,
    /// Every sample, as JSON.
    pub samples: String,
}

impl DrillState {
    const ALL: [Self; 5] =
        [Self::Running, Self::Stopping, Self::Passed, Self::Failed, Self::Interrupted];

    /// The stored and shown name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether it has not ended.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Stopping)
    }
}

impl Drill {
    /// 99th percentile of the last rejection, if there was any, as its report has it.
    pub fn last_rejection_p99_ms(&self) -> Option<f64> {
        self.result.as_ref()?.get("last_rejection_ms")?.get("p99")?.as_f64()
    }
}

/// What a [`Store`](super::Store) keeps of drills. None of it is a change of authority.
#[async_trait]
pub trait DrillStore: ScheduleStore + Debug + Send + Sync + 'static {
    /// Begins a drill. Fails with [`StoreError::DrillRunning`] while another is open.
    async fn begin_drill(&self, new: NewDrill, cause: Cause) -> Result<Drill, StoreError>;

    /// Puts on record what the drill must not leave behind, before it is there. Fails with
    /// [`StoreError::DrillOver`] where the drill is not open any more: nobody would take it
    /// back.
    async fn note_canary(&self, id: DrillId, canary: Canary) -> Result<(), StoreError>;

    /// Says that its server goes on with a drill, and answers how far it is: `None` if
    /// there is no such drill.
    async fn drill_goes_on(&self, id: DrillId, done: u32)
    -> Result<Option<DrillState>, StoreError>;

    /// Asks for the end of a drill. One that has ended stays as it is.
    async fn ask_drill_to_stop(
        &self,
        id: DrillId,
        cause: Cause,
    ) -> Result<Option<Drill>, StoreError>;

    /// Ends a drill, and says whether it was open.
    async fn end_drill(
        &self,
        id: DrillId,
        ended: EndedDrill,
        cause: Cause,
    ) -> Result<bool, StoreError>;

    /// The drill with this id.
    async fn drill(&self, id: DrillId) -> Result<Option<Drill>, StoreError>;

    /// Every sample of a drill that has ended, as JSON.
    async fn drill_samples(&self, id: DrillId) -> Result<Option<String>, StoreError>;

    /// Up to `limit` drills with an id before `before`, the newest first.
    async fn drills(&self, before: Option<DrillId>, limit: u32) -> Result<Vec<Drill>, StoreError>;

    /// The drill that is open, if one is.
    async fn open_drill(&self) -> Result<Option<Drill>, StoreError>;
}
