//! What is appended together: everything that waits, in the order in which it came.

use std::collections::HashMap;
use std::sync::Arc;

use kya_core::Signer;
use kya_core::audit::{Archived, Entry, KeyNamed, Timestamp, VerifierKey};

use super::kills::rows;
use super::refusal::NotTaken;
use super::report::{Flight, Report};
use super::writing::Writing;
use crate::store::audit::{Additions, Author, EventCursor, Locked, SourceKey};
use crate::store::{Event, Kill, StoreError};
use crate::time::UnixMicros;

/// Something to append.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// What a worker has reported.
    Report(Arc<Report>),
    /// What comes after this event in the log of the registry.
    Acts(EventCursor, Arc<Vec<(Event, Option<Kill>)>>),
    /// The registry does not know this event any more, and goes on after the other.
    PutBack {
        /// The last one that is in the trail.
        from: EventCursor,
        /// The newest one that it knows.
        to: EventCursor,
        /// The epoch that it is in.
        epoch: u64,
    },
    /// A worker that nobody has seen since then.
    Silent(SourceKey, UnixMicros),
    /// The key that signs from here on, and the one before; of the first there is none.
    Key(KeyNamed),
    /// The key that is to sign next.
    Announce(KeyNamed),
    /// Records that were exported.
    Archive(Archived),
    /// A row of a kill whose first row is in the trail.
    KillRow(Arc<Entry>),
    /// Whatever else is to be in the trail.
    Entries(Arc<Vec<(Timestamp, Entry)>>),
    /// A checkpoint, if there is anything new.
    Checkpoint,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    /// Everything of the worker below this number is in the trail.
    Next(u64),
    /// The trail ends with this event of the registry.
    Cursor(EventCursor),
    /// It is there; the number of the last record of it.
    At(u64),
    /// It was not, or no more, to be appended.
    Refused,
    /// It could not have come from this worker.
    NotTaken(NotTaken),
}

/// Who signs checkpoints.
#[derive(Debug)]
pub(super) struct Signing {
    pub(super) signer: Signer,
    pub(super) key: VerifierKey,
}

/// Everything that is appended in one transaction.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) work: Vec<Work>,
    places: HashMap<SourceKey, usize>,
    keys: Vec<SourceKey>,
    signing: Option<Arc<Signing>>,
    now: UnixMicros,
    done: std::sync::Mutex<Vec<Done>>,
}

impl Group {
    pub(super) fn new(work: Vec<Work>, signing: Option<Arc<Signing>>, now: UnixMicros) -> Self {
        let (mut places, mut keys) = (HashMap::new(), Vec::new());
        for work in &work {
            let key = match work {
                Work::Report(report) => &report.source,
                Work::Silent(key, _) => key,
                _ => continue,
            };
            if !places.contains_key(key) {
                places.insert(key.clone(), keys.len());
                keys.push(key.clone());
            }
        }
        Self { work, places, keys, signing, now, done: std::sync::Mutex::default() }
    }

    /// What became of each, after the transaction.
    pub(super) fn done(&self) -> Vec<Done> {
        self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn place(&self, key: &SourceKey) -> usize {
        self.places.get(key).copied().unwrap_or_default()
    }
}

impl Author for Group {
    fn sources(&self) -> Vec<SourceKey> {
        self.keys.clone()
    }

    fn unended(&self) -> Vec<(usize, u64)> {
        let mut numbers = Vec::new();
        for work in &self.work {
            let Work::Report(report) = work else { continue };
            let place = self.place(&report.source);
            for event in &report.events {
                if let Flight::Ends(number) | Flight::IsConcerned(number) = event.flight {
                    numbers.push((place, number));
                }
            }
        }
        numbers
    }

    fn spans(&self) -> Vec<(usize, u64, u64)> {
        let span = |work: &Work| match work {
            Work::Report(report) if !report.events.is_empty() => {
                let count = report.events.len() as u64;
                let last = report.first.saturating_add(count) - 1;
                Some((self.place(&report.source), report.first, last))
            }
            _ => None,
        };
        self.work.iter().filter_map(span).collect()
    }

    fn kills(&self) -> Vec<String> {
        let id = |work: &Work| match work {
            Work::KillRow(entry) => rows::kill_id(entry).map(str::to_owned),
            _ => None,
        };
        self.work.iter().filter_map(id).collect()
    }

    fn write(&self, locked: Locked) -> Result<Additions, StoreError> {
        let mut writing = Writing::new(locked, self.now)?;
        let mut done = Vec::with_capacity(self.work.len());
        for work in &self.work {
            done.push(match work {
                Work::Report(report) => writing.report(self.place(&report.source), report)?,
                Work::Acts(after, events) => writing.acts(*after, events)?,
                Work::PutBack { from, to, epoch } => writing.put_back(*from, *to, *epoch)?,
                Work::Silent(key, since) => writing.silent(self.place(key), key, *since)?,
                Work::Key(key) => writing.key(key)?,
                Work::Announce(key) => writing.announce(key)?,
                Work::Archive(archived) => writing.archive(archived)?,
                Work::KillRow(entry) => writing.kill_row(entry)?,
                Work::Entries(entries) => {
                    for (time, entry) in entries.iter() {
                        writing.add(*time, entry.clone())?;
                    }
                    Done::At(writing.size())
                }
                Work::Checkpoint => {
                    writing.wants_checkpoint = true;
                    Done::At(writing.size())
                }
            });
        }
        if let Some(signing) = &self.signing {
            writing.sign(signing)?;
        }
        *self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = done;
        Ok(writing.finish())
    }
}
