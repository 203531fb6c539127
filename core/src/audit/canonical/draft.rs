//! A record that is written before its place in the trail is known.

use std::ops::Range;

use serde::Serialize;

use super::{Canonical, CanonicalError, MAX_RECORD_BYTES, decision, number, write};
use crate::audit::{Entry, Timestamp};

/// A record but for `seq` and `recorded`. To write one takes longer than to hash it, and
/// whoever appends does nothing else meanwhile: so it is written by whoever brings it, and
/// gets its place when that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What stands before `recorded`, between it and `seq`, and after that.
    text: String,
    recorded: usize,
    seq: usize,
    /// Of a decision, the members that the control plane adds.
    added: Option<[Range<usize>; 3]>,
}

#[derive(Serialize)]
struct Unplaced<'a> {
    recorded: &'static str,
    seq: u64,
    time: Timestamp,
    #[serde(flatten)]
    entry: &'a Entry,
}

const RECORDED: &str = ",\"recorded\":\"";
const SEQ: &str = ",\"seq\":";

impl Draft {
    /// A decision; `added` in their order.
    pub(super) fn new(text: String, recorded: usize, seq: usize, added: [Range<usize>; 3]) -> Self {
        Self { text, recorded, seq, added: Some(added) }
    }

    /// Nothing where the two places are not plain to see, as there may be where a record
    /// holds what somebody else has named; such a record is written when its place is known.
    ///
    /// # Errors
    /// When it has no canonical form.
    pub fn of(time: Timestamp, entry: &Entry) -> Result<Option<Self>, CanonicalError> {
        if let Entry::Decision(decided) = entry {
            return decision::draft(time, decided).map(Some);
        }
        let unplaced = Unplaced { recorded: "", seq: 0, time, entry };
        let mut text = write::to_text(&unplaced).map_err(CanonicalError::Unwritable)?;
        // Within a text a quote is escaped, so that these are names of members.
        let place = |name: &str| {
            let found = text.find(name).filter(|at| text.rfind(name) == Some(*at))?;
            found.checked_add(name.len())
        };
        let (Some(recorded), Some(seq)) = (place(RECORDED), place(SEQ)) else { return Ok(None) };
        if recorded > seq || text.get(seq..).is_none_or(|it| !it.starts_with("0,")) {
            return Ok(None);
        }
        text.remove(seq);
        Ok(Some(Self { text, recorded, seq, added: None }))
    }

    /// Of a decision, the pieces without what the control plane adds to what a worker says:
    /// the service, the name of the token and the slot.
    pub fn reported(&self) -> Option<impl Iterator<Item = &str>> {
        let added = self.added.as_ref()?;
        let begins = std::iter::once(0).chain(added.iter().map(|it| it.end));
        let ends = added.iter().map(|it| it.start).chain([self.text.len()]);
        Some(begins.zip(ends).map(|(begin, end)| self.text.get(begin..end).unwrap_or_default()))
    }

    /// The record, at its place.
    ///
    /// # Errors
    /// When it has no canonical form there, or a too long one.
    pub fn at(&self, seq: u64, recorded: Timestamp) -> Result<Canonical, CanonicalError> {
        if seq > number::MAX_EXACT {
            let error = serde::ser::Error::custom("a number of 2^53 or more");
            return Err(CanonicalError::Unwritable(error));
        }
        let mut text = String::with_capacity(self.text.len().saturating_add(48));
        text.push_str(self.text.get(..self.recorded).unwrap_or_default());
        recorded.write(&mut text);
        text.push_str(self.text.get(self.recorded..self.seq).unwrap_or_default());
        text.push_str(&seq.to_string());
        text.push_str(self.text.get(self.seq..).unwrap_or_default());
        if text.len() > MAX_RECORD_BYTES {
            return Err(CanonicalError::TooLong(text.len()));
        }
        Ok(Canonical(text))
    }
}
