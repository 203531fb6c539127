//! Several exports of one trail, one after the other: sealed segments, and what came
//! after them.

use sha2::{Digest, Sha256};

use super::super::{SignedCheckpoint, hex};
use super::earlier::{Earlier, Given};
use super::keys::Keys;
use super::{End, Options, Report, Segment, Verifier};

/// Verifies files in the order in which they were written. Each must go on from what
/// the ones before it were signed for; keys that one names count in the next.
#[derive(Debug)]
pub struct Series {
    keys: Keys,
    /// Checkpoints that no file was found to agree with yet.
    kept: Vec<SignedCheckpoint>,
    /// That of the file before.
    before: Option<SignedCheckpoint>,
    whole_since: Option<u64>,
    segments: Vec<Segment>,
}

/// One file of a [`Series`], being read.
#[derive(Debug)]
pub struct File<'a> {
    series: &'a mut Series,
    verifier: Verifier,
    sha256: Sha256,
}

impl Series {
    /// Verifies by these.
    pub fn new(options: Options) -> Self {
        Self {
            keys: Keys::pinned(options.keys),
            kept: options.earlier,
            before: None,
            whole_since: options.whole_since,
            segments: Vec::new(),
        }
    }

    /// Begins the next file. What only a later one can show, is not asked of one before
    /// the `last`.
    pub fn file(&mut self, last: bool) -> File<'_> {
        let kept = self.kept.iter().map(|it| Given::kept(it.clone(), !last));
        let before = self.before.iter().map(|it| Given::of_file(it.clone()));
        let verifier = Verifier::with(
            self.keys.clone(),
            Earlier::new(kept.chain(before).collect()),
            self.whole_since,
            self.segments.clone(),
            self.before.as_ref().map_or(0, |it| it.unverified().size),
        );
        File { series: self, verifier, sha256: Sha256::new() }
    }
}

impl File<'_> {
    /// Reads the next bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.verifier.write(bytes);
        self.sha256.update(bytes);
    }

    /// What came of it; there are no more bytes.
    pub fn finish(self) -> Report {
        let End { report, inner, note, keys, kept } = self.verifier.conclude();
        self.series.keys = keys;
        self.series.kept = kept;
        if note.is_some() {
            self.series.before = note;
        }
        if let (Some(first), Some(last)) = (report.first, report.last) {
            let sha256: [u8; 32] = self.sha256.finalize().into();
            let sha256 = hex::encode(&sha256);
            self.series.segments.push(Segment { first, last, inner, sha256 });
        }
        report
    }
}
