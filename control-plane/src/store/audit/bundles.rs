//! Bundles: many consecutive records of one transaction are one row, because what the
//! database does for a row costs more than what it does for the bytes in it. They are the
//! entry bundles of C2SP tlog-tiles but for where they begin: each is written once, as it is.

use std::collections::BTreeSet;

use kya_core::audit::ChainHash;

use super::append::{corrupt, number};
use super::{NewLine, StoredLine};
use crate::store::StoreError;
use crate::store::sql::Columns;

/// Records of one bundle, at most.
const RECORDS: usize = 256;
/// Bytes of them, at most, where they are more than one.
const BYTES: usize = 256 * 1024;
const HASH: usize = 32;

/// What an index leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Agent,
    Kill,
    Act,
}

/// A bundle to be kept.
#[derive(Debug, Default)]
pub(super) struct Bundle<'a> {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The earliest and the latest time of its records.
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) hashes: Vec<u8>,
    /// The records, with a line feed after each.
    pub(super) records: String,
    /// What is found in it.
    pub(super) found: BTreeSet<(What, &'a str)>,
}

/// A bundle that is kept.
#[derive(Debug)]
pub(super) struct StoredBundle {
    first: u64,
    hashes: Vec<u8>,
    records: String,
}

/// A record of a bundle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a> {
    pub(super) seq: u64,
    pub(super) record: &'a str,
    pub(super) hash: ChainHash,
}

impl What {
    /// As it is stored.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Kill => "kill",
            Self::Act => "act",
        }
    }
}

/// Puts the records of a transaction into bundles. One that says what is archived is alone
/// in its bundle, so that the database can see what it says.
pub(super) fn pack(lines: &[NewLine]) -> Vec<Bundle<'_>> {
    let mut bundles: Vec<Bundle<'_>> = Vec::new();
    let mut alone = true;
    for line in lines {
        let is_archive = line.kind == "archived";
        let has_room = |it: &&mut Bundle<'_>| {
            it.hashes.len() < RECORDS * HASH && it.records.len() + line.record.len() < BYTES
        };
        match bundles.last_mut().filter(|_| !alone && !is_archive).filter(has_room) {
            Some(bundle) => bundle.push(line),
            None => bundles.push(Bundle::of(line)),
        }
        alone = is_archive;
    }
    bundles
}

impl<'a> Bundle<'a> {
    fn of(line: &'a NewLine) -> Self {
        let mut bundle =
            Self { first: line.seq, from: line.time.0, until: line.time.0, ..Self::default() };
        bundle.push(line);
        bundle
    }

    fn push(&mut self, line: &'a NewLine) {
        self.last = line.seq;
        self.from = self.from.min(line.time.0);
        self.until = self.until.max(line.time.0);
        self.hashes.extend_from_slice(&line.hash.0);
        self.records.push_str(&line.record);
        self.records.push('\n');
        let found = [
            (What::Agent, line.agent_id.as_deref()),
            (What::Kill, line.kill_id.as_deref()),
            (What::Act, line.act.as_deref()),
        ];
        self.found.extend(found.into_iter().filter_map(|(what, value)| Some((what, value?))));
    }

    /// Of one kind, what is found in it.
    pub(super) fn values(&self, what: What) -> Vec<&'a str> {
        self.found.iter().filter(|(of, _)| *of == what).map(|(_, value)| *value).collect()
    }
}

impl StoredBundle {
    /// Of the columns `first`, `hashes` and `records`.
    pub(super) fn read(row: &impl Columns) -> Result<Self, StoreError> {
        let (hashes, records) = (row.bytes("hashes")?.to_vec(), row.text("records")?.to_owned());
        Ok(Self { first: number(row, "first")?, hashes, records })
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn last(&self) -> u64 {
        let records = (self.hashes.len() / HASH) as u64;
        self.first.saturating_add(records).saturating_sub(1)
    }

    /// The records, in order.
    pub(super) fn lines(&self) -> Result<Vec<Packed<'_>>, StoreError> {
        let (hashes, []) = self.hashes.as_chunks::<HASH>() else { return Err(corrupt("hashes")) };
        let records = self.records.strip_suffix('\n').ok_or_else(|| corrupt("records"))?;
        let mut records = records.split('\n');
        let mut lines = Vec::with_capacity(hashes.len());
        for (seq, hash) in (self.first..).zip(hashes) {
            let record = records.next().ok_or_else(|| corrupt("records"))?;
            lines.push(Packed { seq, record, hash: ChainHash(*hash) });
        }
        if records.next().is_some() {
            return Err(corrupt("records"));
        }
        Ok(lines)
    }
}

impl Packed<'_> {
    pub(super) fn to_line(self) -> StoredLine {
        StoredLine { seq: self.seq, record: self.record.to_owned(), hash: self.hash }
    }
}

#[cfg(test)]
#[path = "bundles_tests.rs"]
mod tests;
