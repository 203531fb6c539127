//! When the latest revisions were committed, on the monotonic clock.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kya_core::Revision;

use crate::store::Committed;
use crate::time::UnixMicros;

const REMEMBERED: usize = 4096;

/// Remembers the instant of each of the last commits.
#[derive(Debug, Default)]
pub(crate) struct Timeline(Mutex<BTreeMap<Revision, Instant>>);

impl Timeline {
    /// Notes that `revision` is committed as of `instant`. The first note of a
    /// revision counts.
    pub(crate) fn note(&self, revision: Revision, instant: Instant) {
        let mut commits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        commits.entry(revision).or_insert(instant);
        while commits.len() > REMEMBERED {
            commits.pop_first();
        }
    }

    /// How long after the commit of `revision` the instant was, if that commit
    /// is remembered.
    pub(crate) fn measured(&self, revision: Revision, instant: Instant) -> Option<Duration> {
        let commits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        commits.get(&revision).map(|commit| instant.saturating_duration_since(*commit))
    }

    /// How long after the commit something arrived. By wall-clock time where
    /// the commit was before this process began or is no longer remembered.
    pub(crate) fn since(
        &self,
        committed: Committed,
        (instant, wall): (Instant, UnixMicros),
    ) -> Duration {
        self.measured(committed.position.revision, instant)
            .unwrap_or_else(|| Duration::from_micros(wall.0.saturating_sub(committed.at.0)))
    }
}

#[cfg(test)]
mod tests {
    use kya_core::Position;

    use super::*;

    fn committed(revision: u64, at: u64) -> Committed {
        let position = Position { epoch: 1, revision: Revision(revision) };
        Committed { position, at: UnixMicros(at) }
    }

    #[test]
    fn a_jump_of_the_wall_clock_does_not_change_what_was_measured() {
        let timeline = Timeline::default();
        let commit = Instant::now();
        timeline.note(Revision(7), commit);
        timeline.note(Revision(7), commit + Duration::from_secs(9));
        let arrival = (commit + Duration::from_millis(3), UnixMicros(0));
        assert_eq!(timeline.since(committed(7, 5_000_000), arrival), Duration::from_millis(3));
    }

    #[test]
    fn an_old_commit_is_measured_by_the_wall_clock() {
        let timeline = Timeline::default();
        for revision in 1..=REMEMBERED as u64 + 1 {
            timeline.note(Revision(revision), Instant::now());
        }
        let arrival = (Instant::now(), UnixMicros(5_000));
        assert_eq!(timeline.since(committed(1, 2_000), arrival), Duration::from_millis(3));
    }
}
