//! Where the reading of a file is, and what was found.

use super::super::export::Header;
use super::super::merkle::Frontier;
use super::super::{ChainHash, SignedCheckpoint};
use super::fault::{Fault, Faults};
use super::hidden::Hidden;
use super::order::Order;
use super::report::Report;

/// Where the reading is.
#[derive(Debug)]
pub(super) struct State {
    /// Number of the line, from 1.
    pub(super) line: u64,
    pub(super) header: Option<Header>,
    pub(super) order: Order,
    /// Hash that the record before is said to have; none if its line could not be read.
    pub(super) chain: Option<ChainHash>,
    /// The tree over what was read, as long as nothing is wrong with it.
    pub(super) tree: Option<Frontier>,
    /// Up to this record everything is as it was signed.
    pub(super) confirmed: u64,
    /// Whether the line that should be the last was read.
    pub(super) ended: bool,
    /// The note in it, if a key that counts signed it.
    pub(super) note: Option<SignedCheckpoint>,
    /// Size of the last checkpoint before the one at the end.
    pub(super) inner: u64,
    pub(super) hidden: Hidden,
    pub(super) faults: Faults,
    pub(super) report: Report,
}

impl State {
    /// Before the first line. `before` records are those of a file that was verified.
    pub(super) fn new(before: u64) -> Self {
        Self {
            line: 0,
            header: None,
            order: Order::new(),
            chain: Some(ChainHash::START),
            tree: Some(Frontier::new()),
            confirmed: 0,
            ended: false,
            note: None,
            inner: 0,
            hidden: Hidden::default(),
            faults: Faults::default(),
            report: Report::new(before),
        }
    }

    pub(super) fn begin(&mut self, header: Header) {
        let Header { ref origin, first, last, previous, ref filter, .. } = header;
        self.report.origin = Some(origin.clone());
        self.report.first = Some(first);
        self.report.last = Some(last);
        self.report.filter.clone_from(filter);
        if first == 0 || (first == 1 && previous != ChainHash::START) {
            self.malformed("the first line says a beginning that no trail has".into());
        }
        self.header = Some(header);
    }

    pub(super) fn malformed(&mut self, why: String) {
        self.tree = None;
        self.faults.add(self.line, Fault::Malformed { record: None, why });
    }

    pub(super) fn edited(&mut self, seq: u64) {
        if let Some((_, Fault::Edited { last, .. })) = self.faults.last_mut()
            && last.checked_add(1) == Some(seq)
        {
            *last = seq;
        } else {
            self.faults.add(self.line, Fault::Edited { first: seq, last: seq });
        }
    }

    /// `seen` records are there, and another number was signed.
    pub(super) fn miscounted(&mut self, seen: u64, size: u64, end: bool) {
        self.tree = None;
        // Whoever puts one in, or takes one out, and numbers the others anew, leaves every
        // record from there on changed.
        let shifted = match self.faults.last_mut() {
            Some((_, Fault::Edited { first, last })) if *last == seen => Some(*first),
            _ => None,
        };
        let fault = match shifted {
            Some(first) if seen > size => Fault::Inserted { record: first, twice: false },
            Some(first) => {
                let last = first.saturating_add(size.saturating_sub(seen)).saturating_sub(1);
                Fault::Removed { first, last }
            }
            None if seen > size => Fault::Inserted { record: size.saturating_add(1), twice: false },
            None if !end => {
                Fault::Rewritten { first: self.confirmed.saturating_add(1), last: size }
            }
            None if seen == 0 => Fault::Emptied,
            None => Fault::CutTail { first: seen.saturating_add(1), last: Some(size) },
        };
        match self.faults.last_mut() {
            Some((_, it)) if shifted.is_some() => *it = fault,
            _ => self.faults.add(self.line, fault),
        }
    }
}
