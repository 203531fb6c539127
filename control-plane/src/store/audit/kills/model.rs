//! What is kept of kills.

use std::collections::BTreeSet;

use kya_core::audit::Disposition;

use crate::store::audit::{SourceKey, SourceState};
use crate::time::UnixMicros;

/// A kill in the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillRow {
    /// Its id.
    pub id: String,
    /// Number of the record that says who did it.
    pub activated: u64,
    /// Epoch of the state from which on it counts.
    pub epoch: u64,
    /// Its revision.
    pub revision: u64,
    /// When that was committed.
    pub at: UnixMicros,
    /// Number of the record that says what it reached, if it is there.
    pub scope: Option<u64>,
    /// Number of the record that closes it, if it is there.
    pub completed: Option<u64>,
}

/// Something about kills that a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KillMark {
    /// Somebody stopped something.
    Activated(KillRow),
    /// What that reached.
    Scoped {
        /// Which kill.
        id: String,
        /// Number of the record.
        seq: u64,
    },
    /// What was in flight then.
    Completed {
        /// Which kill.
        id: String,
        /// Number of the record.
        seq: u64,
    },
    /// A worker has applied a state.
    Applied {
        /// Place of the worker in [`Author::sources`](crate::store::audit::Author::sources).
        place: usize,
        /// Number of the event.
        number: u64,
        /// Number of the record.
        seq: u64,
        /// Epoch and revision of the state.
        position: (u64, u64),
        /// When it was, by the proxy's clock, and when the record was appended.
        at: (UnixMicros, UnixMicros),
        /// Requests in flight that it concerns, and that are not kept track of.
        in_flight: (u64, u64),
    },
    /// A request in flight that a state concerns.
    Concerned {
        /// Place of the worker.
        place: usize,
        /// Number of its decision.
        decision: u64,
        /// Epoch and revision of the state.
        position: (u64, u64),
        /// Whose it is, where that is known.
        agent_id: Option<String>,
        /// `abort` or `drain`.
        ending: String,
        /// Number of the record.
        seq: u64,
        /// How it ended, where that was reported before.
        disposition: Option<Disposition>,
    },
    /// A request that had gone on has ended.
    Ended {
        /// Place of the worker.
        place: usize,
        /// Number of its decision.
        decision: u64,
        /// How.
        disposition: Disposition,
        /// Number of the record.
        seq: u64,
    },
    /// A worker is gone: what it had in flight is escalated.
    Gone {
        /// Place of the worker.
        place: usize,
        /// Number of the record.
        seq: u64,
    },
    /// A worker that was taken for gone is there.
    Back {
        /// Place of the worker.
        place: usize,
    },
}

/// A worker that was there at a kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillWorker {
    /// Which.
    pub key: SourceKey,
    /// Slot of the worker in its proxy.
    pub slot: u32,
    /// Whether more is expected from it.
    pub state: SourceState,
    /// The first of its reports that it has applied the kill.
    pub applied: Option<KillApplied>,
    /// If it was lost: number of the record in which a worker that began later in its slot
    /// says that it applies the kill.
    pub followed: Option<u64>,
    /// Whether the trail says that two report as this worker.
    pub in_conflict: bool,
    /// Requests that went on and were too many to be remembered.
    pub unremembered: u64,
    /// Its requests in flight that the kill concerns.
    pub flights: Flights,
    /// The first of them, as many as were asked for.
    pub requests: Vec<Concern>,
}

/// Requests in flight of one worker, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flights {
    /// Those that the state concerns which it has applied, whosever they are.
    pub reported: u64,
    /// Of those that are asked about: the upstream answered in full.
    pub committed: u64,
    /// Never reached the upstream, or undone.
    pub rolled_back: u64,
    /// A person must look.
    pub escalated: u64,
    /// They go on, and may.
    pub draining: u64,
    /// They are to be ended, and nobody has said yet that they are.
    pub to_be_cut: u64,
    /// There are more than were counted.
    pub cut_off: bool,
}

/// What is asked about a kill.
#[derive(Debug, Clone, Default)]
pub struct KillAsked {
    /// Whose requests, by their written ids; `None` for everybody's. Those of which nobody
    /// knows whose they are belong to each.
    pub agents: Option<BTreeSet<String>>,
    /// Most requests that are listed, of all workers together.
    pub listed: u32,
}

/// That a worker has applied a kill, or a state after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillApplied {
    /// Number of the event.
    pub number: u64,
    /// Number of the record.
    pub seq: u64,
    /// When, by the proxy's clock.
    pub at: UnixMicros,
    /// When the record was appended.
    pub recorded: UnixMicros,
    /// Requests in flight that the state concerns.
    pub in_flight: u64,
    /// Requests in flight that are not kept track of.
    pub untracked: u64,
}

/// A request in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// Number of its decision.
    pub decision: u64,
    /// Whose it is, where that is known.
    pub agent_id: Option<String>,
    /// `abort` or `drain`; `lost` of one whose worker was lost.
    pub ending: String,
    /// Number of the record that says that it is concerned.
    pub seq: u64,
    /// How it ended, if it did.
    pub disposition: Option<Disposition>,
    /// Number of the record that says so.
    pub ended: Option<u64>,
}

/// The workers that were there at a kill.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkersOf {
    /// The workers, in the order of their names.
    pub workers: Vec<KillWorker>,
    /// There were more.
    pub cut_off: bool,
}

impl Flights {
    /// Those that go on, or of which nobody has said how they ended.
    pub const fn open(&self) -> u64 {
        self.draining.saturating_add(self.to_be_cut)
    }

    /// All of them.
    pub const fn all(&self) -> u64 {
        let ended = self.committed.saturating_add(self.rolled_back);
        ended.saturating_add(self.escalated).saturating_add(self.open())
    }
}
