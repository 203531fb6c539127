//! Whether records come in their order, and if not, what happened to them.

use super::fault::{Fault, Faults};

/// Most gaps of which it is watched whether they are filled later.
const WATCHED: usize = 64;

/// The order of what was read so far.
#[derive(Debug)]
pub(super) struct Order {
    /// Number that comes next.
    next: u64,
    /// Number of the record that stands before; 0 at the beginning.
    before: u64,
    gaps: Vec<Gap>,
}

/// Numbers that were passed over.
#[derive(Debug)]
struct Gap {
    first: u64,
    last: u64,
    /// The number that stands there instead.
    instead: u64,
    line: u64,
    /// How many of them stood later.
    filled: u64,
}

/// Where records stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where they should.
    Right,
    /// Where others should, but after the record that they should come after.
    Following,
    /// Somewhere else.
    Wrong,
}

impl Order {
    pub(super) fn new() -> Self {
        Self { next: 1, before: 0, gaps: Vec::new() }
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes the records from `first` to `last`, which stand in this line.
    pub(super) fn take(&mut self, first: u64, last: u64, line: u64, faults: &mut Faults) -> Place {
        let follows = self.before.checked_add(1) == Some(first);
        self.before = last;
        if first == self.next {
            self.next = last.saturating_add(1);
            return if follows { Place::Right } else { Place::Wrong };
        }
        if first > self.next {
            self.open(first, line, faults);
            self.next = last.saturating_add(1);
        } else {
            self.stands_later(first, last, line, faults);
            self.next = self.next.max(last.saturating_add(1));
        }
        if follows { Place::Following } else { Place::Wrong }
    }

    /// Takes a line that should be a record and cannot be read.
    pub(super) fn take_unreadable(&mut self) -> u64 {
        let it = self.next;
        self.before = it;
        self.next = it.saturating_add(1);
        it
    }

    fn open(&mut self, instead: u64, line: u64, faults: &mut Faults) {
        if self.gaps.len() >= WATCHED {
            self.gaps.remove(0).close(faults);
        }
        let last = instead.saturating_sub(1);
        self.gaps.push(Gap { first: self.next, last, instead, line, filled: 0 });
    }

    fn stands_later(&mut self, first: u64, last: u64, line: u64, faults: &mut Faults) {
        if let Some(gap) = self.gaps.iter_mut().find(|it| it.first <= first && last <= it.last) {
            let these = last.saturating_sub(first).saturating_add(1);
            gap.filled = gap.filled.saturating_add(these);
            return;
        }
        // It stood in a gap, and everything else is where it should be: that one is too many.
        let early = self.gaps.iter().position(|it| it.instead == first && it.is_filled());
        let line = match early.map(|at| self.gaps.remove(at)) {
            Some(gap) => gap.line,
            None => line,
        };
        // Before the true record stood one that did not fit.
        if let Some((_, fault)) = faults.last_mut()
            && *fault == (Fault::Edited { first, last: first })
        {
            *fault = Fault::Inserted { record: first, twice: true };
        } else {
            faults.add(line, Fault::Inserted { record: first, twice: true });
        }
    }

    /// Says what the gaps are that are left.
    pub(super) fn close(&mut self, faults: &mut Faults) {
        self.gaps.drain(..).for_each(|it| it.close(faults));
    }
}

impl Gap {
    fn is_filled(&self) -> bool {
        self.filled == self.last.saturating_sub(self.first).saturating_add(1)
    }

    fn close(self, faults: &mut Faults) {
        let Self { first, last, instead, line, filled } = self;
        faults.add(
            line,
            match filled {
                0 => Fault::Removed { first, last },
                _ => Fault::Reordered { place: first, record: instead },
            },
        );
    }
}
