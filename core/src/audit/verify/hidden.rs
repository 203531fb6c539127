//! Which of the records that are not shown are in a segment, by the trail's own word.

use super::report::{Archive, Run};

/// Most runs that are told apart. What is archived leaves no more than there are keys and
/// archives among it, which stay.
const RUNS: usize = 4096;

/// Records that are not shown, until it is known what was archived: that is said later.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    runs: Vec<Run>,
    /// The first run that had no room.
    beyond: Option<Run>,
}

impl Hidden {
    pub(super) fn hide(&mut self, first: u64, last: u64) {
        let run = Run { first, last };
        if self.runs.len() < RUNS {
            self.runs.push(run);
        } else {
            self.beyond.get_or_insert(run);
        }
    }

    /// The first of them that these archives do not cover.
    pub(super) fn not_archived(&self, archives: &[Archive]) -> Option<Run> {
        let mut ranges: Vec<_> = archives.iter().map(|it| (it.first, it.last)).collect();
        ranges.sort_unstable();
        let rest = |run: &Run| {
            let mut next = run.first;
            for (first, last) in &ranges {
                if *first <= next && next <= *last {
                    next = last.saturating_add(1);
                }
            }
            (next <= run.last).then_some(Run { first: next, last: run.last })
        };
        self.runs.iter().find_map(rest).or(self.beyond)
    }
}
