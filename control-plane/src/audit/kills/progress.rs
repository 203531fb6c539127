//! How far a kill is, by what its workers have reported.

use std::collections::BTreeSet;

use kya_core::audit::Completed;

use crate::audit::report::hex;
use crate::store::audit::{Flights, KillAsked, KillRow, KillWorker, SourceState, WorkersOf};

/// Most workers that the last row of a kill names.
const NAMED: usize = 100;

/// Whose requests a kill concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those of these agents, by their written ids.
    Agents(BTreeSet<String>),
    /// That cannot be told, or everyone's: every request that its state concerns.
    Anybody,
}

/// How far a kill is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// The workers that were there.
    pub(crate) workers: Vec<Standing>,
    /// Whether there were more.
    more_workers: bool,
}

/// How far a worker is with a kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The worker, with those of its requests that belong to the kill.
    pub(crate) worker: KillWorker,
    /// Requests that it has announced and not reported yet.
    pub(crate) missing: u64,
}

/// Where a worker is with a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has not said that it applies the kill.
    Waiting,
    /// It applies it, and requests go on or were not reported yet.
    Applied,
    /// It applies it, and every request has ended.
    Done,
    /// It ended without having applied it: all of its requests are in the trail.
    Closed,
    /// It was lost.
    Lost,
}

impl Stage {
    /// In lower case.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Applied => "applied",
            Self::Done => "done",
            Self::Closed => "closed",
            Self::Lost => "lost",
        }
    }
}

impl Whose {
    /// Theirs, of which so many are listed.
    pub(super) fn asked(&self, listed: u32) -> KillAsked {
        let agents = match self {
            Self::Agents(agents) => Some(agents.clone()),
            Self::Anybody => None,
        };
        KillAsked { agents, listed }
    }
}

impl Standing {
    fn new(worker: KillWorker) -> Self {
        let announced = worker.applied.as_ref().map_or(0, |it| it.in_flight);
        let missing = announced.saturating_sub(worker.flights.reported);
        Self { worker, missing }
    }

    pub(crate) fn stage(&self) -> Stage {
        let applied = self.worker.applied.is_some();
        let open = self.worker.flights.open() > 0;
        match self.worker.state {
            SourceState::Lost => Stage::Lost,
            SourceState::Closed if !applied => Stage::Closed,
            SourceState::Closed => Stage::Done,
            SourceState::Alive if !applied => Stage::Waiting,
            SourceState::Alive if open || self.missing > 0 => Stage::Applied,
            SourceState::Alive => Stage::Done,
        }
    }

    /// Whether it is not known in full what was in flight.
    pub(crate) fn is_unknown(&self) -> bool {
        let untracked = self.worker.applied.as_ref().is_some_and(|it| it.untracked > 0);
        if self.worker.in_conflict || self.is_cut_off() {
            return true;
        }
        match self.stage() {
            Stage::Waiting => true,
            Stage::Lost => self.worker.applied.is_none() || self.missing > 0 || untracked,
            Stage::Applied | Stage::Done => self.missing > 0 || untracked,
            Stage::Closed => false,
        }
    }

    /// Whether nothing decides in its place without the kill: it has said that it applies
    /// it, or had ended, or was lost and the worker that took its place applies it.
    pub(crate) fn is_acknowledged(&self) -> bool {
        if self.worker.in_conflict {
            return false;
        }
        match self.stage() {
            Stage::Closed => true,
            Stage::Lost => self.worker.applied.is_some() || self.worker.followed.is_some(),
            Stage::Waiting | Stage::Applied | Stage::Done => self.worker.applied.is_some(),
        }
    }

    /// Whether more was in flight than is counted: more than there is room for, or than was
    /// remembered of a worker that was lost.
    fn is_cut_off(&self) -> bool {
        let lost = self.worker.state == SourceState::Lost && self.worker.unremembered > 0;
        self.worker.flights.cut_off || lost
    }

    /// `proxy/instance`
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.worker.key.node, self.instance())
    }

    pub(crate) fn instance(&self) -> String {
        hex(&self.worker.key.instance.to_be_bytes())
    }
}

impl Progress {
    pub(crate) fn new(found: WorkersOf) -> Self {
        let workers = found.workers.into_iter().map(Standing::new).collect();
        Self { workers, more_workers: found.cut_off }
    }

    /// Whether there were more workers, or more of their requests, than are looked at.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.more_workers || self.workers.iter().any(Standing::is_cut_off)
    }

    /// Whether every worker that is there applies it and nothing is in flight any more. That
    /// is never so where not all of it is known, or two report as one worker.
    pub(crate) fn is_over(&self) -> bool {
        let doubtful = self.is_cut_off() || self.workers.iter().any(|it| it.worker.in_conflict);
        !doubtful
            && self.workers.iter().all(|it| !matches!(it.stage(), Stage::Waiting | Stage::Applied))
    }

    /// How many have said that they apply it.
    pub(crate) fn applied(&self) -> u64 {
        count(self.workers.iter().filter(|it| it.worker.applied.is_some()))
    }

    /// Whether every worker that was there has acknowledged it.
    pub(crate) fn is_acknowledged(&self) -> bool {
        !self.more_workers && self.workers.iter().all(Standing::is_acknowledged)
    }

    /// How many have.
    pub(crate) fn acknowledged(&self) -> u64 {
        count(self.workers.iter().filter(|it| it.is_acknowledged()))
    }

    /// Those that have not, though they may still serve.
    pub(crate) fn laggards(&self) -> impl Iterator<Item = &Standing> {
        self.workers.iter().filter(|it| !it.is_acknowledged())
    }

    /// The requests of all workers together.
    pub(crate) fn flights(&self, of: impl Fn(&Flights) -> u64) -> u64 {
        let each = self.workers.iter().map(|it| of(&it.worker.flights));
        each.fold(0, u64::saturating_add)
    }

    /// The last row. `timed_out` says that the time is over and not all is known.
    pub(crate) fn completed(&self, kill: &KillRow, timed_out: bool) -> Completed {
        let unknown = self.workers.iter().filter(|it| it.is_unknown());
        Completed {
            kill_id: kill.id.clone(),
            workers: count(self.workers.iter()),
            applied: self.applied(),
            in_flight: self.flights(Flights::all),
            committed: self.flights(|it| it.committed),
            rolled_back: self.flights(|it| it.rolled_back),
            // What was to be cut and of which nobody has said how it ended: nobody knows.
            escalated: self.flights(|it| it.escalated.saturating_add(it.to_be_cut)),
            open: self.flights(|it| it.draining),
            timed_out,
            cut_off: self.is_cut_off(),
            unknown: unknown.map(Standing::name).take(NAMED).collect(),
        }
    }
}

fn count<T>(some: impl Iterator<Item = T>) -> u64 {
    u64::try_from(some.count()).unwrap_or(u64::MAX)
}
