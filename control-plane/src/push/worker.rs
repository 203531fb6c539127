//! What one worker of a proxy has said of itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kya_core::{Position, wire};

use super::challenges::{Answer, Challenge};
use crate::time::UnixMicros;

/// Positions remembered for each worker, newest last.
pub(super) const HISTORY: usize = 64;

/// A worker of a proxy.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Random identity of the VM that holds the slot.
    pub instance: u64,
    /// The first 8 bytes of the nonce of the last challenge that it has read.
    pub challenge: u64,
    /// Age of the state that it decided by when it last reported.
    pub state_age: Duration,
    /// Requests that it has cut because their agent was stopped.
    pub cut: u64,
    /// Its answer to the latest challenge that it has answered.
    pub answer: Option<Answer>,
    pub(super) history: VecDeque<Applied>,
}

/// A position that a worker has said it decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The position.
    pub position: Position,
    /// When it applied it, by the proxy's clock, in nanoseconds since 1970.
    pub applied_unix_nanos: u64,
    /// When that was heard here, on the monotonic and on the wall clock.
    pub arrived: (Instant, UnixMicros),
}

impl Worker {
    pub(super) fn new(instance: u64) -> Self {
        Self {
            instance,
            challenge: 0,
            state_age: Duration::ZERO,
            cut: 0,
            answer: None,
            history: VecDeque::new(),
        }
    }

    /// Takes what a report says besides the position.
    pub(super) fn says(&mut self, state: &wire::WorkerState) {
        self.challenge = state.challenge;
        self.state_age = Duration::from_millis(state.state_age_millis);
        self.cut = state.cut;
    }

    /// True when it moved on from an earlier position.
    pub(super) fn applied(&mut self, applied: Applied) -> bool {
        match self.history.back() {
            Some(last) if last.position == applied.position => return false,
            // It went back, so what it said before no longer holds.
            Some(last) if last.position > applied.position => self.history.clear(),
            _ => {}
        }
        let moved = !self.history.is_empty();
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(applied);
        moved
    }

    /// Notes that it has read this challenge. The first word of it counts, and
    /// one about an earlier challenge takes nothing back.
    pub(super) fn answered(&mut self, challenge: &Challenge, applied: &Applied) {
        if self.answer.as_ref().is_none_or(|answer| answer.number < challenge.number) {
            self.answer = Some(Answer {
                number: challenge.number,
                asked: challenge.asked,
                arrived: applied.arrived,
                position: applied.position,
                state_age: self.state_age,
            });
        }
    }

    /// What it decides by now. `None` if it has not said anything that can be.
    pub fn newest(&self) -> Option<Applied> {
        self.history.back().copied()
    }

    /// The first report by which it had applied `position`. A position in a later
    /// epoch is a later one, whatever its revision.
    pub(super) fn acknowledged(&self, position: Position) -> Option<Applied> {
        let reached = |applied: &&Applied| applied.position >= position;
        self.newest().as_ref().filter(reached)?;
        self.history.iter().find(reached).copied()
    }
}

#[cfg(test)]
mod tests {
    use kya_core::Revision;

    use super::*;

    #[test]
    fn what_is_remembered_of_a_worker_is_bounded() {
        let mut worker = Worker::new(7);
        let position = |revision| Position { epoch: 1, revision: Revision(revision) };
        for revision in 1..=200 {
            let arrived = (Instant::now(), UnixMicros(0));
            worker.applied(Applied {
                position: position(revision),
                applied_unix_nanos: 0,
                arrived,
            });
        }
        assert_eq!(worker.history.len(), HISTORY);
        assert!(worker.acknowledged(position(1)).is_some());
    }
}
