//! Checkpoints that the auditor has kept: does the trail still begin with what they
//! signed?

use super::super::SignedCheckpoint;
use super::fault::Fault;
use super::keys::Keys;
use super::report::Compared;
use super::{Head, State};

/// Those that were given, smallest first.
#[derive(Debug)]
pub(super) struct Earlier {
    given: Vec<Given>,
    /// The first that has not been reached.
    next: usize,
    /// Where the first of them does not agree.
    contradicted: Option<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Given {
    signed: SignedCheckpoint,
    /// It stands at the end of a file before: its signature has been checked.
    verified: bool,
    /// A file that follows may show what this one does not.
    later: bool,
    agrees: bool,
}

impl Given {
    /// One that the auditor has kept. `later` if another file follows.
    pub(super) fn kept(signed: SignedCheckpoint, later: bool) -> Self {
        Self { signed, verified: false, later, agrees: false }
    }

    /// One at the end of the file before.
    pub(super) fn of_file(signed: SignedCheckpoint) -> Self {
        Self { signed, verified: true, later: false, agrees: false }
    }
}

impl Earlier {
    pub(super) fn new(given: Vec<Given>) -> Self {
        // Of no records anything is a continuation.
        let mut given: Vec<_> =
            given.into_iter().filter(|it| it.signed.unverified().size > 0).collect();
        given.sort_by_key(|it| it.signed.unverified().size);
        Self { given, next: 0, contradicted: None }
    }

    /// Those that the auditor has kept and that were not found to agree.
    pub(super) fn open(self) -> Vec<SignedCheckpoint> {
        let open = |it: Given| (!it.verified && !it.agrees).then_some(it.signed);
        self.given.into_iter().filter_map(open).collect()
    }

    /// Looks at those that end at or before record `seen`, the last that was read.
    pub(super) fn compare(&mut self, seen: u64, keys: &Keys, state: &mut State) {
        while let Some(given) = self.given.get_mut(self.next) {
            let checkpoint = given.signed.unverified();
            if checkpoint.size > seen {
                return;
            }
            let at = self.next;
            self.next = at.saturating_add(1);
            // Of what is not as it was written, nothing can be said.
            let Some(tree) = &state.tree else { continue };
            if !given.verified
                && let Err(fault) = keys.check(&given.signed)
            {
                state.faults.add(0, fault);
                continue;
            }
            let (size, time) = (checkpoint.size, checkpoint.time);
            if size < seen {
                if given.later {
                    continue;
                }
                state.faults.add(0, Fault::NotComparable { earlier: size });
                continue;
            }
            let agrees = tree.root() == checkpoint.root && state.chain == Some(checkpoint.chain);
            state.report.compared.push(Compared { size, time, agrees });
            given.agrees = agrees;
            if agrees {
                state.confirmed = state.confirmed.max(size);
            } else if self.contradicted.is_none() {
                self.contradicted = Some(at);
            }
        }
    }

    /// The trail up to `size` is not what a checkpoint in the file signed.
    pub(super) fn rewritten(&mut self, state: &mut State, size: u64) {
        let place = self.contradicted.take().and_then(|at| self.given.get(at));
        let last = place.map_or(size, |it| it.signed.unverified().size);
        let first = state.confirmed.saturating_add(1).min(last);
        state.faults.add(state.line, Fault::Rewritten { first, last });
        state.tree = None;
    }

    /// The file has been read.
    pub(super) fn conclude(&self, keys: &Keys, state: &mut State) {
        let size_of = |head: &Head| head.size;
        let end = state.report.checkpoint.as_ref().map(size_of);
        if let Some(given) = self.contradicted.and_then(|at| self.given.get(at)) {
            let it = given.signed.unverified();
            let (earlier, time) = (it.size, it.time);
            state.faults.add(
                0,
                match end {
                    Some(_) => Fault::SplitView { earlier, time },
                    None => Fault::Rewritten { first: 1, last: earlier },
                },
            );
        }
        let missing = self.given.get(self.next..).unwrap_or_default();
        for given in missing.iter().filter(|it| !it.later) {
            let it = given.signed.unverified();
            if !given.verified
                && let Err(fault) = keys.check(&given.signed)
            {
                state.faults.add(0, fault);
                continue;
            }
            if let Some(size) = end.filter(|size| *size < it.size) {
                let rollback = Fault::Rollback { size, earlier: it.size, time: it.time };
                state.faults.add(0, rollback);
            }
        }
    }
}
