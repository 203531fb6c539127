//! When the latest revisions were committed, on the monotonic clock.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kya_core::Revision;

use crate::store::Committed;
use crate::time::UnixMicros;

const REMEMBERED: usize = 4096;
/// A commit that seems to have taken longer is a wall clock that jumped.
const LONGEST_COMMIT: Duration = Duration::from_secs(30);

/// Remembers the instant of each of the last commits.
#[derive(Debug, Default)]
pub(crate) struct Timeline(Mutex<BTreeMap<Revision, Instant>>);

impl Timeline {
    /// Notes a commit, given the time now on both clocks. The first note of a
    /// revision counts.
    ///
    /// What is remembered is the instant of `committed.at`, the time that people
    /// see, so that every "after the commit" counts from there: from before the
    /// commit is synced to disk, and not from after.
    pub(crate) fn note(&self, committed: Committed, (instant, wall): (Instant, UnixMicros)) {
        let ago = Duration::from_micros(wall.0.saturating_sub(committed.at.0)).min(LONGEST_COMMIT);
        let instant = instant.checked_sub(ago).unwrap_or(instant);
        let revision = committed.position.revision;
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
        timeline.note(committed(7, 5_000_000), (commit, UnixMicros(5_000_000)));
        let again = (commit + Duration::from_secs(9), UnixMicros(5_000_000));
        timeline.note(committed(7, 5_000_000), again);
        let arrival = (commit + Duration::from_millis(3), UnixMicros(0));
        assert_eq!(timeline.since(committed(7, 5_000_000), arrival), Duration::from_millis(3));
    }

    #[test]
    fn time_counts_from_the_time_of_the_commit_that_people_see() {
        let timeline = Timeline::default();
        let synced = Instant::now();
        // The transaction began, and took its time, 4 ms before it was on disk.
        timeline.note(committed(7, 5_000_000), (synced, UnixMicros(5_004_000)));
        let arrival = (synced + Duration::from_millis(3), UnixMicros(0));
        assert_eq!(timeline.since(committed(7, 5_000_000), arrival), Duration::from_millis(7));
    }

    #[test]
    fn an_old_commit_is_measured_by_the_wall_clock() {
        let timeline = Timeline::default();
        for revision in 1..=REMEMBERED as u64 + 1 {
            timeline.note(committed(revision, 0), (Instant::now(), UnixMicros(0)));
        }
        let arrival = (Instant::now(), UnixMicros(5_000));
        assert_eq!(timeline.since(committed(1, 2_000), arrival), Duration::from_millis(3));
    }
}
