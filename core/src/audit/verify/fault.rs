//! What can be wrong with a trail, and how that is said.

use std::fmt;

use super::super::Timestamp;
use super::report::{LISTED, Outcome, Problem, Report};

/// What is wrong. The numbers are those of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// A line is none of an export.
    Malformed {
        /// The record that was expected there, if any was.
        record: Option<u64>,
        /// What about it.
        why: String,
    },
    /// A record in another spelling than it was hashed in, or none.
    NotCanonical {
        /// Which.
        record: u64,
        /// What about it.
        why: String,
    },
    /// These do not fit the hashes before and after them.
    Edited {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// A record stands where another should.
    Reordered {
        /// The one that should.
        place: u64,
        /// The one that stands there.
        record: u64,
    },
    /// A record was put in.
    Inserted {
        /// Its number.
        record: u64,
        /// Whether it is there once more, so that this one is surely too many.
        twice: bool,
    },
    /// Records are missing between others.
    Removed {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Records are missing at the end.
    CutTail {
        /// The first.
        first: u64,
        /// The last, where that is known.
        last: Option<u64>,
    },
    /// There is nothing.
    Emptied,
    /// The hashes fit each other, but are not those that were signed.
    Rewritten {
        /// Records before this one are as they were signed.
        first: u64,
        /// What is wrong is at this one at the latest.
        last: u64,
    },
    /// Signed by nobody who counts.
    WrongKey {
        /// Number of records that it was signed for.
        size: u64,
        /// What about it.
        why: String,
    },
    /// Said to be signed by a key that counts, and not signed by it.
    BadSignature {
        /// Number of records that it is said to be signed for.
        size: u64,
    },
    /// A record that names a key, which the key before did not sign.
    BadKeyChange {
        /// Which.
        record: u64,
        /// What about it.
        why: String,
    },
    /// A record starts a key that the one before, which was lost, did not sign.
    NotFollowed {
        /// Which.
        record: u64,
        /// The key, as it is written.
        key: String,
    },
    /// It ends before a checkpoint that was given.
    Rollback {
        /// Records that it is signed for.
        size: u64,
        /// Records that the other one is signed for.
        earlier: u64,
        /// When that was signed.
        time: Timestamp,
    },
    /// Two signed checkpoints that contradict each other.
    SplitView {
        /// Records that the one that was given is signed for.
        earlier: u64,
        /// When that was signed.
        time: Timestamp,
    },
    /// A file is not the segment that the trail says was archived.
    OtherSegment {
        /// The record that says so.
        record: u64,
    },
    /// Whether a checkpoint that was given agrees cannot be seen in this file.
    NotComparable {
        /// Records that it is signed for.
        earlier: u64,
    },
    /// Records are hidden of which it was asked that none is.
    NotShown {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
}

impl Fault {
    /// Its name, and the records that it is about.
    fn parts(&self) -> (&'static str, Option<u64>, Option<u64>) {
        let range = |first: u64, last: u64| (Some(first), (last != first).then_some(last));
        let (name, (first, last)) = match self {
            Self::Malformed { record, .. } => ("malformed", (*record, None)),
            Self::NotCanonical { record, .. } => ("not_canonical", (Some(*record), None)),
            Self::Edited { first, last } => ("edited", range(*first, *last)),
            Self::Reordered { place, .. } => ("reordered", (Some(*place), None)),
            Self::Inserted { record, .. } => ("inserted", (Some(*record), None)),
            Self::Removed { first, last } => ("removed", range(*first, *last)),
            Self::CutTail { first, last } => ("cut_tail", range(*first, last.unwrap_or(*first))),
            Self::Emptied => ("emptied", (None, None)),
            Self::Rewritten { first, last } => ("rewritten", range(*first, *last)),
            Self::WrongKey { size, .. } => ("wrong_key", (Some(*size), None)),
            Self::BadSignature { size } => ("bad_signature", (Some(*size), None)),
            Self::BadKeyChange { record, .. } => ("bad_key_change", (Some(*record), None)),
            Self::NotFollowed { record, .. } => ("not_followed", (Some(*record), None)),
            Self::Rollback { size, earlier, .. } => {
                ("rollback", range(size.saturating_add(1), *earlier))
            }
            Self::SplitView { earlier, .. } => ("split_view", (Some(*earlier), None)),
            Self::OtherSegment { record } => ("other_segment", (Some(*record), None)),
            Self::NotComparable { earlier } => ("not_comparable", (Some(*earlier), None)),
            Self::NotShown { first, last } => ("not_shown", range(*first, *last)),
        };
        (name, first, last)
    }

    /// Whether it only says that the file does not show enough.
    fn is_lack(&self) -> bool {
        matches!(self, Self::NotComparable { .. } | Self::NotShown { .. })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { record: Some(record), why } => {
                write!(f, "where record {record} should be: {why}")
            }
            Self::Malformed { record: None, why } => write!(f, "{why}"),
            Self::NotCanonical { record, why } => write!(f, "record {record}: {why}"),
            Self::Edited { first, last } if first == last => write!(
                f,
                "record {first} was changed, or the one before it and its hash: it does not fit the hashes that both are said to have"
            ),
            Self::Edited { first, last } => write!(
                f,
                "records {first} to {last} were changed: none fits its own hash and that of the one before it"
            ),
            Self::Reordered { place, record } => {
                write!(
                    f,
                    "records out of order: record {record} stands in the place of record {place}"
                )
            }
            Self::Inserted { record, twice: true } => {
                write!(f, "a record was put in: there is more than one with number {record}")
            }
            Self::Inserted { record, twice: false } => write!(
                f,
                "a record was put in at {record} or before: there are more than were signed"
            ),
            Self::Removed { first, last } if first == last => {
                write!(f, "record {first} was taken out")
            }
            Self::Removed { first, last } => write!(f, "records {first} to {last} were taken out"),
            Self::CutTail { first, last: Some(last) } if first == last => {
                write!(f, "the end is cut off: record {first} was signed and is not there")
            }
            Self::CutTail { first, last: Some(last) } => {
                write!(
                    f,
                    "the end is cut off: records {first} to {last} were signed and are not there"
                )
            }
            Self::CutTail { first, last: None } => write!(
                f,
                "the end is cut off: there is no checkpoint, and nobody knows how many records are missing from {first} on"
            ),
            Self::Emptied => write!(f, "everything was taken out: there is no record"),
            Self::Rewritten { first, last } if first == last => write!(
                f,
                "record {first} was rewritten with all hashes after it: they fit each other, and are not those that were signed"
            ),
            Self::Rewritten { first, last } => write!(
                f,
                "rewritten, from a record between {first} and {last} on, with all hashes after it: they fit each other, and are not those that were signed"
            ),
            Self::WrongKey { size, why } => write!(f, "the checkpoint of {size} records: {why}"),
            Self::BadSignature { size } => write!(
                f,
                "the checkpoint of {size} records was changed, or was never signed: the signature is not that of the key that it names"
            ),
            Self::BadKeyChange { record, why } => {
                write!(f, "record {record} names a key that does not count: {why}")
            }
            Self::NotFollowed { record, key } => write!(
                f,
                "not followed from the pinned key: record {record} says that the key before was lost, and starts the key {key}, for which nobody vouches. Pin that one if you have it from somebody whom you trust"
            ),
            Self::Rollback { size, earlier, time } => write!(
                f,
                "the trail went back: at {time} there were {earlier} records, and this export ends at {size}"
            ),
            Self::SplitView { earlier, time } => write!(
                f,
                "two histories were signed: the checkpoint of {earlier} records that was given, of {time}, is about other records than this export"
            ),
            Self::OtherSegment { record } => write!(
                f,
                "record {record} says that this segment was archived, with another SHA-256 than the file has"
            ),
            Self::NotComparable { earlier } => write!(
                f,
                "whether the checkpoint of {earlier} records that was given agrees cannot be seen: records around it are hidden. Export anew with that checkpoint"
            ),
            Self::NotShown { first, last } => {
                write!(f, "records {first} to {last} are hidden, and all were to be shown")
            }
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    found: Vec<(u64, Fault)>,
    more: u64,
}

impl Faults {
    pub(super) fn add(&mut self, line: u64, fault: Fault) {
        if self.found.len() < LISTED {
            self.found.push((line, fault));
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// The last one, to be made more precise.
    pub(super) fn last_mut(&mut self) -> Option<&mut (u64, Fault)> {
        if self.more == 0 { self.found.last_mut() } else { None }
    }

    /// Writes them into the report, and what comes of it.
    pub(super) fn conclude(mut self, report: &mut Report) {
        self.found.sort_by_key(|it| it.0);
        report.outcome = match () {
            () if self.found.iter().any(|it| !it.1.is_lack()) => Outcome::Tampered,
            () if !self.found.is_empty() => Outcome::Unproven,
            () if report.hidden > 0 => Outcome::Partial,
            () => Outcome::Whole,
        };
        let problem = |(line, fault): (u64, Fault)| {
            let (kind, record, last_record) = fault.parts();
            Problem { kind, record, last_record, line, detail: fault.to_string() }
        };
        report.problems = self.found.into_iter().map(problem).collect();
        report.more_problems = self.more;
    }
}
