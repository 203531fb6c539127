//! Whether an export of the trail is as it was written: offline, by pinned keys, in one
//! pass and bounded memory.
//!
//! What decides is whether anything is wrong; that rests on the signed root of the tree and
//! on the chain alone. Beyond that it is told what was done, as far as the file shows it:
//! [`order`] follows records that are out of their place, and the hashes that the lines
//! state tell where the chain is whole again.

mod earlier;
mod fault;
mod hidden;
mod keys;
mod lines;
mod order;
mod report;
mod series;
mod state;

use self::earlier::{Earlier, Given};
use self::fault::Fault;
use self::keys::Keys;
use self::lines::Lines;
use self::order::Place;
pub use self::report::{
    Archive, Compared, Followed, Head, Outcome, Problem, Recovered, Report, Run,
};
pub use self::series::{File, Series};
use self::state::State;
use super::export::{Line, Sealed, Skipped};
use super::merkle::{Frontier, Node, NodeHash};
use super::record::{Archived, Entry, KeyNamed, Record};
use super::{Canonical, ChainHash, KeyStep, SignedCheckpoint, VerifierKey};

/// By what an export is verified.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Keys that the auditor has from elsewhere. Without one nothing verifies.
    pub keys: Vec<VerifierKey>,
    /// Checkpoints that the auditor has kept: the trail must begin with what they signed.
    pub earlier: Vec<SignedCheckpoint>,
    /// No record from this number on may be hidden.
    pub whole_since: Option<u64>,
}

/// A segment that was verified before, of which the trail may say that it was archived.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    first: u64,
    last: u64,
    /// Size of the last checkpoint in it before the one at its end.
    inner: u64,
    sha256: String,
}

impl Segment {
    /// Whether it is the file that was made of these records: that ends with the first
    /// checkpoint that covers them.
    fn is_of(&self, archived: &Archived) -> bool {
        let Archived { first, last, .. } = *archived;
        self.first == first && self.last >= last && self.inner < last
    }
}

/// Verifies one export, of which it is given the bytes piece by piece.
#[derive(Debug)]
pub struct Verifier {
    keys: Keys,
    earlier: Earlier,
    whole_since: Option<u64>,
    segments: Vec<Segment>,
    lines: Lines,
    state: State,
}

/// What came of a file, and what counts for the next.
struct End {
    report: Report,
    /// Size of the last checkpoint before that at its end.
    inner: u64,
    /// The checkpoint at its end, if a key that counts signed it.
    note: Option<SignedCheckpoint>,
    keys: Keys,
    kept: Vec<SignedCheckpoint>,
}

impl Verifier {
    /// Verifies by these.
    pub fn new(options: Options) -> Self {
        let kept = options.earlier.into_iter().map(|it| Given::kept(it, false));
        let earlier = Earlier::new(kept.collect());
        let keys = Keys::pinned(options.keys);
        Self::with(keys, earlier, options.whole_since, Vec::new(), 0)
    }

    fn with(
        keys: Keys,
        earlier: Earlier,
        whole_since: Option<u64>,
        segments: Vec<Segment>,
        before: u64,
    ) -> Self {
        let state = State::new(before);
        Self { keys, earlier, whole_since, segments, lines: Lines::default(), state }
    }

    /// Reads the next bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.take(bytes, |line| self.line(line));
        self.lines = lines;
    }

    /// What came of it; there are no more bytes.
    pub fn finish(self) -> Report {
        self.conclude().report
    }

    fn conclude(mut self) -> End {
        let rest = self.lines.rest();
        let readable = std::str::from_utf8(&rest).is_ok_and(|it| Line::parse(it).is_ok());
        // The end of a file that was cut off within a line.
        if readable || (self.state.ended && !rest.is_empty()) {
            self.line(&rest);
        }
        self.state.order.close(&mut self.state.faults);
        if !self.state.ended {
            self.unended();
        }
        let Self { keys, earlier, mut state, .. } = self;
        earlier.conclude(&keys, &mut state);
        let State { mut report, faults, note, inner, hidden, .. } = state;
        report.not_archived = hidden.not_archived(&report.archives);
        faults.conclude(&mut report);
        End { report, inner, note, keys, kept: earlier.open() }
    }

    /// There is no line that ends the export.
    fn unended(&mut self) {
        let state = &mut self.state;
        let first = state.order.next();
        let last = state.header.as_ref().map(|it| it.last).filter(|it| *it >= first);
        let nothing = first == 1;
        let fault = if nothing { Fault::Emptied } else { Fault::CutTail { first, last } };
        state.faults.add(state.line.saturating_add(1), fault);
        state.tree = None;
    }

    fn line(&mut self, line: &[u8]) {
        self.state.line = self.state.line.saturating_add(1);
        // Some ways of sending a text change its line breaks.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned());
        let read = text.and_then(|it| Line::parse(it).map_err(|why| why.to_string()));
        match read {
            _ if self.state.ended => self.state.malformed("something follows the end".into()),
            Ok(Line::Header(header)) if self.state.header.is_none() && self.state.line == 1 => {
                self.state.begin(header);
            }
            _ if self.state.line == 1 => {
                self.state.malformed("the first line is not that of an export".into());
            }
            Ok(Line::Record { hash, record }) => self.record(hash, record),
            Ok(Line::Skipped(skipped)) => self.skipped(skipped),
            Ok(Line::Sealed(sealed)) => self.sealed(sealed),
            Ok(Line::Header(_)) => self.unreadable("a second header".into()),
            Err(why) => self.unreadable(why),
        }
    }

    /// A line that may have been a record.
    fn unreadable(&mut self, why: String) {
        let record = Some(self.state.order.take_unreadable());
        self.state.chain = None;
        self.state.tree = None;
        self.state.faults.add(self.state.line, Fault::Malformed { record, why });
    }

    fn record(&mut self, hash: ChainHash, text: &str) {
        let state = &mut self.state;
        let before = state.chain.replace(hash);
        let outline = match Canonical::read(text) {
            Ok(outline) => outline,
            Err(why) => {
                let record = state.order.take_unreadable();
                state.tree = None;
                let why = why.to_string();
                return state.faults.add(state.line, Fault::NotCanonical { record, why });
            }
        };
        let seq = outline.seq;
        let place = state.order.take(seq, seq, state.line, &mut state.faults);
        state.report.shown = state.report.shown.saturating_add(1);
        let fits = before.is_none_or(|it| it.next(text.as_bytes()) == hash);
        if place != Place::Wrong && !fits {
            state.edited(seq);
        }
        let leaf = || NodeHash::leaf(text.as_bytes());
        let grown = state.tree.as_mut().is_some_and(|tree| tree.push(leaf()).is_ok());
        if place != Place::Right || !fits || !grown {
            state.tree = None;
        }
        let early = state.header.as_ref().is_some_and(|it| seq < it.first);
        if early && outline.kind != "key" {
            state.malformed(format!("record {seq} is shown, which is before the export begins"));
        }
        match outline.kind {
            "key" if place != Place::Wrong => self.key(seq, text),
            "archived" => self.archived(seq, text),
            _ => {}
        }
        self.advanced();
    }

    fn skipped(&mut self, skipped: Skipped) {
        let Skipped { first, last, cover, hash } = skipped;
        let nodes = match first.checked_sub(1) {
            Some(before) => Node::cover(before, last),
            None => Vec::new(),
        };
        if nodes.is_empty() || nodes.len() != cover.len() {
            return self.unreadable("hidden records that such hashes do not cover".into());
        }
        let state = &mut self.state;
        let place = state.order.take(first, last, state.line, &mut state.faults);
        state.chain = Some(hash);
        let grown = state.tree.as_mut().is_some_and(|tree| {
            let mut parts = nodes.iter().zip(cover);
            parts.all(|(node, hash)| tree.push_subtree(node.level, hash).is_ok())
        });
        if place != Place::Right || !grown {
            state.tree = None;
        }
        let known = state.report.continues.unwrap_or_default();
        let hidden = first.max(known.saturating_add(1));
        if hidden <= last {
            state.report.hide(hidden, last);
            state.hidden.hide(hidden, last);
        }
        if state.header.as_ref().is_some_and(|it| first < it.first && it.first <= last) {
            state.malformed(
                "what is hidden before the export begins is not a run of its own".into(),
            );
        }
        if let Some(since) = self.whole_since {
            let first = hidden.max(since);
            if first <= last {
                state.faults.add(state.line, Fault::NotShown { first, last });
            }
        }
        self.advanced();
    }

    fn sealed(&mut self, sealed: Sealed) {
        let state = &mut self.state;
        let last = sealed.keys.is_some();
        state.ended |= last;
        let signed = match SignedCheckpoint::parse(&sealed.checkpoint) {
            Ok(signed) => signed,
            Err(why) => return state.malformed(why.to_string()),
        };
        let key = match self.keys.check(&signed) {
            Ok(key) => key.clone(),
            Err(fault) => {
                state.tree = None;
                // What is the likely reason comes first.
                if let Some(it) = state.report.recovered.iter().rev().find(|it| !it.pinned) {
                    let (record, key) = (it.record, it.key.to_string());
                    state.faults.add(state.line, Fault::NotFollowed { record, key });
                }
                return state.faults.add(state.line, fault);
            }
        };
        let checkpoint = signed.unverified().clone();
        if state.header.as_ref().is_some_and(|it| it.origin != checkpoint.origin) {
            state.malformed("the first line names another trail than the checkpoint".into());
        }
        let seen = state.order.next().saturating_sub(1);
        if seen == checkpoint.size {
            let root = state.tree.as_ref().map(Frontier::root);
            let agrees = |it| it == checkpoint.root && state.chain == Some(checkpoint.chain);
            match root.map(agrees) {
                Some(true) => state.confirmed = seen,
                Some(false) => self.earlier.rewritten(state, seen),
                None => {}
            }
        } else if last || state.tree.is_some() {
            state.miscounted(seen, checkpoint.size, last);
        }
        if !last {
            state.inner = checkpoint.size;
            return;
        }
        if checkpoint.size == 0 && seen == 0 {
            // Every trail begins with a record that names its key.
            state.faults.add(state.line, Fault::Emptied);
        }
        let said = state.header.as_ref().map_or(checkpoint.size, |it| it.last);
        if said > checkpoint.size && seen <= checkpoint.size {
            let cut = Fault::CutTail { first: checkpoint.size.saturating_add(1), last: Some(said) };
            state.faults.add(state.line, cut);
        } else if said < checkpoint.size {
            state.malformed("the first line says that the export ends sooner".into());
        }
        state.report.checkpoint = Some(Head::of(&checkpoint, key));
        state.note = Some(signed);
    }

    /// The next records are there: what was known before of the trail up to here?
    fn advanced(&mut self) {
        let state = &mut self.state;
        let next = state.order.next();
        if let Some(header) = &state.header
            && header.first == next
            && state.tree.is_some()
            && state.chain != Some(header.previous)
        {
            state.malformed("the first line says another hash of the record before".into());
        }
        self.earlier.compare(next.saturating_sub(1), &self.keys, state);
    }

    fn key(&mut self, seq: u64, text: &str) {
        let why = match serde_json::from_str(text) {
            Ok(Record { entry: Entry::Key(named), .. }) => match KeyNamed::verified(&named) {
                Ok(KeyStep::First) => return,
                Ok(KeyStep::Follows(change)) => {
                    if self.keys.follow(seq, &change) {
                        self.state.report.follow(seq, change.key);
                    }
                    return;
                }
                Ok(KeyStep::Recovered(change)) => {
                    let pinned = self.keys.recover(seq, &change);
                    let KeyNamed { actor, reason, .. } = named;
                    let key = change.key;
                    self.state.report.recover(Recovered {
                        record: seq,
                        key,
                        actor,
                        reason,
                        pinned,
                    });
                    return;
                }
                Err(why) => why.to_string(),
            },
            _ => "it is not written as such a record is".to_owned(),
        };
        self.state.faults.add(self.state.line, Fault::BadKeyChange { record: seq, why });
    }

    fn archived(&mut self, seq: u64, text: &str) {
        let Ok(Record { entry: Entry::Archived(archived), .. }) = serde_json::from_str(text) else {
            return;
        };
        let mut files = self.segments.iter().filter(|it| it.is_of(&archived)).peekable();
        let other = files.peek().is_some();
        let seen = files.any(|it| it.sha256 == archived.sha256);
        if other && !seen {
            self.state.faults.add(self.state.line, Fault::OtherSegment { record: seq });
        }
        let Archived { first, last, sha256, .. } = archived;
        self.state.report.archive(Archive { record: seq, first, last, sha256, seen });
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
