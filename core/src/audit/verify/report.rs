//! What is said about a trail that was verified.

use serde::Serialize;
use serde_json::Value;

use super::super::merkle::NodeHash;
use super::super::{ChainHash, Checkpoint, Timestamp, VerifierKey};

/// How many of a kind are listed; the rest is counted.
pub(super) const LISTED: usize = 100;
/// How many archives are listed. Those beyond excuse nothing.
const ARCHIVES: usize = 1024;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every record from the first to the last that was signed is shown, as it was written.
    Whole,
    /// What is shown is as it was written, and it is known what is not shown.
    Partial,
    /// Nothing was found to be changed, but something that was asked for is not shown by
    /// this file.
    Unproven,
    /// It is not what was written.
    Tampered,
}

/// A fault and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its name.
    pub kind: &'static str,
    /// Number of the record, or the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// The last of them, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_record: Option<u64>,
    /// Line of the file, from 1.
    pub line: u64,
    /// In words.
    pub detail: String,
}

/// Records that are not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// The checkpoint at the end, whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Records that it is signed for.
    pub size: u64,
    /// Root of the tree.
    pub root: NodeHash,
    /// Hash of the last record.
    pub chain: ChainHash,
    /// When it was signed.
    pub time: Timestamp,
    /// By which key.
    pub key: VerifierKey,
}

/// Records that the trail says were archived as a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Archive {
    /// The record that says so.
    pub record: u64,
    /// The first that is in the segment.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// SHA-256 of the segment's file, 64 hexadecimal digits.
    pub sha256: String,
    /// Whether a file that was verified before is that segment.
    pub seen: bool,
}

/// A key that a record named, and the key before it signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Followed {
    /// The record.
    pub record: u64,
    /// The key.
    pub key: VerifierKey,
}

/// A key that was started because the one before was lost: that one did not sign it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// The record.
    pub record: u64,
    /// The key.
    pub key: VerifierKey,
    /// Who started it, by the record's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it counts, because it is pinned itself.
    pub pinned: bool,
}

/// An earlier checkpoint that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Records that it is signed for.
    pub size: u64,
    /// When it was signed.
    pub time: Timestamp,
    /// Whether the file begins with these records.
    pub agrees: bool,
}

/// What is said about one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What came of it.
    pub outcome: Outcome,
    /// It goes on after a file that was verified, which showed or hid the records up to this
    /// one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<u64>,
    /// Which trail it says to be of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The first record that it says to be about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// The last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// By what its records were chosen, as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// How many records are shown.
    pub shown: u64,
    /// How many are not, of those that are not in a file before.
    pub hidden: u64,
    /// Which are not, at most 100 runs of them.
    pub hidden_runs: Vec<Run>,
    /// Runs beyond these.
    pub more_hidden_runs: u64,
    /// The first records that are not shown though no record `archived` that is shown says
    /// that they are in a segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_archived: Option<Run>,
    /// What the trail says was archived, at most 1024.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<Archive>,
    /// The checkpoint at the end, if a key that counts signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Head>,
    /// Keys that count because a key that counts named them, at most 100.
    pub followed: Vec<Followed>,
    /// Keys that nobody vouches for but the record that starts them, at most 100. They are
    /// not followed from a key that is pinned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recovered: Vec<Recovered>,
    /// Earlier checkpoints that were given and found in it.
    pub compared: Vec<Compared>,
    /// What is wrong, in the order of the file, at most 100.
    pub problems: Vec<Problem>,
    /// Problems beyond these.
    pub more_problems: u64,
}

impl Report {
    pub(super) fn new(before: u64) -> Self {
        Self {
            outcome: Outcome::Tampered,
            continues: (before > 0).then_some(before),
            origin: None,
            first: None,
            last: None,
            filter: None,
            shown: 0,
            hidden: 0,
            hidden_runs: Vec::new(),
            more_hidden_runs: 0,
            not_archived: None,
            archives: Vec::new(),
            checkpoint: None,
            followed: Vec::new(),
            recovered: Vec::new(),
            compared: Vec::new(),
            problems: Vec::new(),
            more_problems: 0,
        }
    }

    pub(super) fn hide(&mut self, first: u64, last: u64) {
        self.hidden = self.hidden.saturating_add(last.saturating_sub(first).saturating_add(1));
        if let Some(run) = self.hidden_runs.last_mut()
            && self.more_hidden_runs == 0
            && run.last.saturating_add(1) == first
        {
            run.last = last;
        } else if self.hidden_runs.len() < LISTED {
            self.hidden_runs.push(Run { first, last });
        } else {
            self.more_hidden_runs = self.more_hidden_runs.saturating_add(1);
        }
    }

    pub(super) fn archive(&mut self, archive: Archive) {
        if self.archives.len() < ARCHIVES {
            self.archives.push(archive);
        }
    }

    pub(super) fn recover(&mut self, recovered: Recovered) {
        if self.recovered.len() < LISTED {
            self.recovered.push(recovered);
        }
    }

    pub(super) fn follow(&mut self, record: u64, key: VerifierKey) {
        if self.followed.len() < LISTED {
            self.followed.push(Followed { record, key });
        }
    }
}

impl Head {
    pub(super) fn of(checkpoint: &Checkpoint, key: VerifierKey) -> Self {
        let Checkpoint { size, root, chain, time, .. } = *checkpoint;
        Self { size, root, chain, time, key }
    }
}
