//! The newest signed updates, in memory, for every stream to read from.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kya_core::{Position, Revision, wire};
use tokio::sync::watch;

/// The last `capacity` updates in order, without a gap.
#[derive(Debug)]
pub(crate) struct Ring {
    capacity: usize,
    entries: Mutex<VecDeque<(Revision, Arc<wire::SignedUpdate>)>>,
    newest: watch::Sender<Position>,
}

/// The reader is at a position whose successor the ring no longer has, or of
/// another epoch than the ring.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FellBehind;

impl Ring {
    /// An empty ring that goes on after `start`.
    pub(crate) fn new(start: Position, capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default(), newest: watch::Sender::new(start) }
    }

    /// Position of the newest update, whether or not the ring still has it.
    pub(crate) fn newest(&self) -> Position {
        *self.newest.borrow()
    }

    /// Follows [`Ring::newest`].
    pub(crate) fn subscribe(&self) -> watch::Receiver<Position> {
        self.newest.subscribe()
    }

    /// Adds the update that leads to `position`, and wakes every reader.
    pub(crate) fn append(&self, position: Position, update: wire::SignedUpdate) {
        let mut entries = self.entries();
        if entries.len() >= self.capacity {
            entries.pop_front();
        }
        entries.push_back((position.revision, Arc::new(update)));
        drop(entries);
        self.newest.send_replace(position);
    }

    /// Forgets every update and goes on after `start`, in a later epoch. Readers of
    /// the epoch before have fallen behind.
    pub(crate) fn begin_again(&self, start: Position) {
        let mut entries = self.entries();
        entries.clear();
        // Still under the lock: nobody sees one without the other.
        self.newest.send_replace(start);
    }

    /// The updates after `position`, at most `limit`; none if it is the newest
    /// or newer.
    pub(crate) fn after(
        &self,
        position: Position,
        limit: usize,
    ) -> Result<Vec<(Revision, Arc<wire::SignedUpdate>)>, FellBehind> {
        let entries = self.entries();
        if position.epoch != self.newest().epoch {
            return Err(FellBehind);
        }
        let revision = position.revision;
        let start = match entries.front() {
            Some((oldest, _)) if *oldest > revision.next() => return Err(FellBehind),
            Some((oldest, _)) => revision.next().0.saturating_sub(oldest.0),
            None if revision < self.newest().revision => return Err(FellBehind),
            None => 0,
        };
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        Ok(entries.iter().skip(start).take(limit).cloned().collect())
    }

    /// Whether a reader at this position can go on from there: it is of this
    /// epoch, not ahead, and everything after it is here.
    pub(crate) fn has_all_after(&self, position: Position) -> bool {
        let newest = self.newest();
        position <= newest && self.after(position, 0).is_ok()
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<(Revision, Arc<wire::SignedUpdate>)>> {
        // Nothing that holds the lock can leave the ring half changed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(revision: u64) -> Position {
        Position { epoch: 1, revision: Revision(revision) }
    }

    /// A ring of four that began at revision 10.
    fn after_ten(appended: u64) -> Ring {
        let ring = Ring::new(position(10), 4);
        for revision in 11..=10 + appended {
            ring.append(position(revision), wire::SignedUpdate::default());
        }
        ring
    }

    fn revisions(ring: &Ring, after: u64, limit: usize) -> Result<Vec<u64>, FellBehind> {
        let found = ring.after(position(after), limit)?;
        Ok(found.into_iter().map(|(revision, _)| revision.0).collect())
    }

    #[test]
    fn a_reader_gets_what_follows_its_revision() {
        let ring = after_ten(3);
        assert_eq!(revisions(&ring, 10, 9), Ok(vec![11, 12, 13]));
        assert_eq!(revisions(&ring, 12, 9), Ok(vec![13]));
        assert_eq!(revisions(&ring, 10, 2), Ok(vec![11, 12]));
        assert_eq!(ring.newest(), position(13));
    }

    #[test]
    fn a_reader_at_the_newest_revision_or_ahead_gets_nothing() {
        assert_eq!(revisions(&after_ten(3), 13, 9), Ok(vec![]));
        assert_eq!(revisions(&after_ten(3), 20, 9), Ok(vec![]));
        assert_eq!(revisions(&after_ten(0), 10, 9), Ok(vec![]));
    }

    #[test]
    fn a_reader_goes_on_only_in_its_epoch_and_without_a_gap() {
        let ring = after_ten(6);
        let resumes =
            |epoch, revision| ring.has_all_after(Position { epoch, revision: Revision(revision) });
        assert!(resumes(1, 12) && resumes(1, 16));
        assert!(!resumes(1, 11), "12 is gone");
        assert!(!resumes(1, 17), "nobody was ever sent this");
        assert!(!resumes(0, 14) && !resumes(2, 14));
        assert!(!resumes(1, 0) && !resumes(1, u64::MAX) && !resumes(u64::MAX, u64::MAX));
        let fresh = after_ten(0);
        assert!(fresh.has_all_after(position(10)) && !fresh.has_all_after(position(9)));
    }

    #[test]
    fn a_ring_that_began_again_is_behind_nobody_of_the_epoch_before() {
        let ring = after_ten(3);
        let (old, new) = (position(12), Position { epoch: 2, revision: Revision(11) });
        ring.begin_again(new);
        assert_eq!(ring.newest(), new);
        // Ahead by its number, and behind by its epoch.
        for reader in [position(10), old, position(99)] {
            assert_eq!(ring.after(reader, 9), Err(FellBehind));
            assert!(!ring.has_all_after(reader));
        }
        assert_eq!(ring.after(new, 9), Ok(vec![]));
        let next = Position { revision: Revision(12), ..new };
        ring.append(next, wire::SignedUpdate::default());
        assert_eq!(ring.after(new, 9).unwrap()[0].0, Revision(12));
        assert!(ring.has_all_after(new) && ring.has_all_after(next));
    }

    #[test]
    fn a_reader_that_missed_an_update_is_told_and_never_given_a_gap() {
        let ring = after_ten(6);
        assert_eq!(revisions(&ring, 12, 9), Ok(vec![13, 14, 15, 16]));
        assert_eq!(revisions(&ring, 11, 9), Err(FellBehind));
        assert_eq!(revisions(&after_ten(0), 9, 9), Err(FellBehind));
    }
}
