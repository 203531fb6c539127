//! Writing an export, record by record.

use serde::Serialize;
use thiserror::Error;

use super::{Header, HeaderLine, Sealed, Skipped, SkippedLine};
use crate::audit::merkle::{Cover, Node, NodeHash};
use crate::audit::{ChainHash, VerifierKey};

/// Writes an export. Each record from 1 to the last is either shown or hidden, in order;
/// what has been hidden is written as one line when something else follows.
#[derive(Debug)]
pub struct ExportWriter {
    header: Header,
    /// Number of the record that comes next.
    next: u64,
    /// Runs that are not written yet.
    hidden: Vec<Hidden>,
}

#[derive(Debug)]
struct Hidden {
    cover: Cover,
    hash: ChainHash,
}

/// Something does not fit into the export at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ExportError {
    /// Another record comes next.
    #[error("record {found} in the place of record {expected}")]
    Order {
        /// What comes next.
        expected: u64,
        /// What was given.
        found: u64,
    },
    /// A number of hashes that such a run does not have.
    #[error("{0} hashes do not cover such a run")]
    Cover(usize),
    /// It cannot be written as JSON.
    #[error("not written as JSON")]
    Json,
}

impl ExportWriter {
    /// Begins an export; the header is written to `out`.
    pub fn new(header: Header, out: &mut String) -> Result<Self, ExportError> {
        write_line(&HeaderLine { export: header.clone() }, out)?;
        Ok(Self { header, next: 1, hidden: Vec::new() })
    }

    /// Number of the record that comes next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Shows record `seq`, by its canonical text.
    pub fn show(
        &mut self,
        seq: u64,
        hash: ChainHash,
        canonical: &str,
        out: &mut String,
    ) -> Result<(), ExportError> {
        self.take(seq)?;
        self.flush(out)?;
        for part in ["{\"hash\":\"", &hash.to_string(), "\",\"record\":", canonical, "}\n"] {
            out.push_str(part);
        }
        Ok(())
    }

    /// Hides record `seq`: only its leaf, and the hash of the last that is hidden, count.
    pub fn hide(&mut self, seq: u64, leaf: NodeHash, hash: ChainHash) -> Result<(), ExportError> {
        self.take(seq)?;
        // What is before the first record is a run of its own.
        if self.hidden.is_empty() || seq == self.header.first {
            self.hidden.push(Hidden { cover: Cover::starting_at(seq.saturating_sub(1)), hash });
        }
        if let Some(hidden) = self.hidden.last_mut() {
            hidden.cover.push(leaf);
            hidden.hash = hash;
        }
        Ok(())
    }

    /// Hides all records up to `last`, by the hashes of the subtrees that
    /// `Node::cover(next - 1, last)` names.
    pub fn skip_to(
        &mut self,
        last: u64,
        cover: Vec<NodeHash>,
        hash: ChainHash,
        out: &mut String,
    ) -> Result<(), ExportError> {
        self.flush(out)?;
        let first = self.next;
        if last < first {
            return Err(ExportError::Order { expected: first, found: last });
        }
        if cover.len() != Node::cover(first.saturating_sub(1), last).len() {
            return Err(ExportError::Cover(cover.len()));
        }
        self.next = last.saturating_add(1);
        write_line(&SkippedLine { skipped: Skipped { first, last, cover, hash } }, out)
    }

    /// Puts a checkpoint whose size is the number of the last record before it. What was
    /// changed later is then found to be later, even where all hashes were made anew; and
    /// whoever holds that checkpoint can compare it, even where records around it are
    /// hidden.
    pub fn checkpoint(&mut self, note: &str, out: &mut String) -> Result<(), ExportError> {
        self.flush(out)?;
        write_line(&Sealed { checkpoint: note.to_owned(), keys: None }, out)
    }

    /// Ends the export with the checkpoint that covers all of it.
    pub fn finish(
        mut self,
        note: &str,
        keys: Vec<VerifierKey>,
        out: &mut String,
    ) -> Result<(), ExportError> {
        let end = self.header.last.saturating_add(1);
        if self.next != end {
            return Err(ExportError::Order { expected: self.next, found: end });
        }
        self.flush(out)?;
        write_line(&Sealed { checkpoint: note.to_owned(), keys: Some(keys) }, out)
    }

    fn take(&mut self, seq: u64) -> Result<(), ExportError> {
        if seq != self.next {
            return Err(ExportError::Order { expected: self.next, found: seq });
        }
        self.next = seq.saturating_add(1);
        Ok(())
    }

    fn flush(&mut self, out: &mut String) -> Result<(), ExportError> {
        for Hidden { cover, hash } in self.hidden.drain(..) {
            let (first, last) = cover.range();
            let cover = cover.hashes().collect();
            let skipped = Skipped { first: first.saturating_add(1), last, cover, hash };
            write_line(&SkippedLine { skipped }, out)?;
        }
        Ok(())
    }
}

fn write_line<T: Serialize>(line: &T, out: &mut String) -> Result<(), ExportError> {
    out.push_str(&serde_json::to_string(line).map_err(|_| ExportError::Json)?);
    out.push('\n');
    Ok(())
}
