//! How far a kill is, by what its workers have reported.

use std::collections::BTreeSet;

use kya_core::audit::{Completed, Disposition};

use crate::audit::report::hex;
use crate::store::audit::{Concern, KillRow, KillWorker, SourceState, WorkersOf};

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
    fn includes(&self, concern: &Concern) -> bool {
        match (self, &concern.agent_id) {
            (Self::Agents(agents), Some(agent)) => agents.contains(agent),
            (Self::Anybody, _) | (_, None) => true,
        }
    }
}

impl Standing {
    fn new(mut worker: KillWorker, whose: &Whose) -> Self {
        let announced = worker.applied.as_ref().map_or(0, |it| it.in_flight);
        let reported = worker.concerns.iter().filter(|it| it.ending != "lost").count();
        let missing = announced.saturating_sub(u64::try_from(reported).unwrap_or(u64::MAX));
        worker.concerns.retain(|concern| whose.includes(concern));
        Self { worker, missing }
    }

    pub(crate) fn stage(&self) -> Stage {
        let applied = self.worker.applied.is_some();
        let open = self.worker.concerns.iter().any(|concern| concern.disposition.is_none());
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
        match self.stage() {
            Stage::Closed => true,
            Stage::Lost => self.worker.applied.is_some() || self.worker.followed.is_some(),
            Stage::Waiting | Stage::Applied | Stage::Done => self.worker.applied.is_some(),
        }
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
    pub(crate) fn new(workers: WorkersOf, whose: &Whose) -> Self {
        let workers = workers.into_iter().map(|worker| Standing::new(worker, whose)).collect();
        Self { workers }
    }

    /// Whether every worker that is there applies it and nothing is in flight any more.
    pub(crate) fn is_over(&self) -> bool {
        self.workers.iter().all(|it| !matches!(it.stage(), Stage::Waiting | Stage::Applied))
    }

    /// How many have said that they apply it.
    pub(crate) fn applied(&self) -> u64 {
        count(self.workers.iter().filter(|it| it.worker.applied.is_some()))
    }

    /// Whether every worker that was there has acknowledged it.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.workers.iter().all(Standing::is_acknowledged)
    }

    /// How many have.
    pub(crate) fn acknowledged(&self) -> u64 {
        count(self.workers.iter().filter(|it| it.is_acknowledged()))
    }

    /// Those that have not, though they may still serve.
    pub(crate) fn laggards(&self) -> impl Iterator<Item = &Standing> {
        self.workers.iter().filter(|it| !it.is_acknowledged())
    }

    fn concerns(&self) -> impl Iterator<Item = &Concern> {
        self.workers.iter().flat_map(|it| &it.worker.concerns)
    }

    /// The last row. `timed_out` says that the time is over and not all is known.
    pub(crate) fn completed(&self, kill: &KillRow, timed_out: bool) -> Completed {
        let ended = |wanted: Disposition| {
            count(self.concerns().filter(|it| it.disposition == Some(wanted)))
        };
        let going_on = || self.concerns().filter(|it| it.disposition.is_none());
        // What was to be cut and of which nobody has said how it ended: nobody knows.
        let cut = count(going_on().filter(|it| it.ending != "drain"));
        let unknown = self.workers.iter().filter(|it| it.is_unknown());
        Completed {
            kill_id: kill.id.clone(),
            workers: count(self.workers.iter()),
            applied: self.applied(),
            in_flight: count(self.concerns()),
            committed: ended(Disposition::Committed),
            rolled_back: ended(Disposition::RolledBack),
            escalated: ended(Disposition::Escalated).saturating_add(cut),
            open: count(going_on().filter(|it| it.ending == "drain")),
            timed_out,
            unknown: unknown.map(Standing::name).take(NAMED).collect(),
        }
    }
}

fn count<T>(some: impl Iterator<Item = T>) -> u64 {
    u64::try_from(some.count()).unwrap_or(u64::MAX)
}
