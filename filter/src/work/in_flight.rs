//! The requests of one worker that were allowed and have not ended, and how
//! they are cut off when their agent is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::host::{ContextId, Host, MAX_AT_ONCE};

/// Most requests that a worker keeps track of. More are served all the same and
/// counted, but cannot be cut off.
pub const MAX_LIVE: usize = 65_536;

/// Most requests that are looked at again at one tick.
const RESUMED: usize = 1024;

/// How far an allowed request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of a response was seen: the client can still be answered.
    Waiting,
    /// A response is on its way to the client, who can only be cut off.
    Responding,
}

/// An allowed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live<K, S> {
    /// Whose it is.
    pub key: K,
    /// Who else can end it.
    pub others: Box<[K]>,
    /// By what it was allowed.
    pub subject: S,
    /// How far it has come.
    pub phase: Phase,
}

/// What a client is told whose request is cut off while it waits.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u32,
    /// Headers of the answer.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its body.
    pub body: &'a [u8],
    /// What the proxy's access log says about it.
    pub details: &'a str,
}

/// What was done to a request that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Its client was answered in the upstream's place.
    Answered,
    /// Its stream was reset.
    Reset,
    /// The proxy refused both. It may go on, and is no longer known here.
    Failed,
}

/// The allowed requests of one worker that have not ended, each under a key `K`
/// (the agent) and with the subject `S` by which it was allowed.
///
/// A request is in here until it ends or is cut off, and is cut off at most
/// once: a second answer on one stream has crashed Envoy (envoy#23047,
/// envoy#28826). That is also why it stays gone if the proxy refused the cut.
///
/// A proxy can end only so many requests in one callback. So whoever decides
/// condemns them all at once, and each callback cuts off
/// those that are [`due`](Self::due), until none is left.
#[derive(Debug)]
pub struct InFlight<K, S> {
    live: BTreeMap<ContextId, Live<K, S>>,
    by_key: BTreeSet<(K, ContextId)>,
    /// Those that are to be cut off.
    condemned: BTreeSet<ContextId>,
    /// Those of which could not be told whether they are.
    postponed: BTreeSet<ContextId>,
    /// Where to go on looking at them again; no request has the number 0.
    resumed_to: ContextId,
    bound: usize,
    untracked: u64,
}

impl<K, S> Default for InFlight<K, S> {
    fn default() -> Self {
        Self {
            live: BTreeMap::new(),
            by_key: BTreeSet::new(),
            condemned: BTreeSet::new(),
            postponed: BTreeSet::new(),
            resumed_to: ContextId(0),
            bound: MAX_LIVE,
            untracked: 0,
        }
    }
}

impl<K: Copy + Ord, S: Clone> InFlight<K, S> {
    /// A request was allowed, which nobody can end but whose it is.
    pub fn begin(&mut self, context: ContextId, key: K, subject: S) -> bool {
        self.begin_for(context, key, Box::default(), subject)
    }

    /// A request was allowed, which `others` can end as well as whose it is. False if it
    /// is one too many to keep track of.
    pub fn begin_for(&mut self, context: ContextId, key: K, others: Box<[K]>, subject: S) -> bool {
        // The proxy uses a number again: what had it is over.
        self.end(context);
        if self.live.len() >= self.bound {
            self.untracked = self.untracked.saturating_add(1);
            return false;
        }
        self.by_key.insert((key, context));
        self.by_key.extend(others.iter().map(|other| (*other, context)));
        self.live.insert(context, Live { key, others, subject, phase: Phase::Waiting });
        true
    }

    /// The response to a request has begun. Nothing happens if it is not known:
    /// the answer to one that was denied or cut off passes here, too.
    pub fn response_started(&mut self, context: ContextId) {
        if let Some(live) = self.live.get_mut(&context) {
            live.phase = Phase::Responding;
        }
    }

    /// A request is over. What it was, if it was known until now.
    pub fn end(&mut self, context: ContextId) -> Option<Live<K, S>> {
        let live = self.live.remove(&context)?;
        self.by_key.remove(&(live.key, context));
        for other in &live.others {
            self.by_key.remove(&(*other, context));
        }
        self.condemned.remove(&context);
        self.postponed.remove(&context);
        Some(live)
    }

    /// A request, if it is known.
    pub fn get(&self, context: ContextId) -> Option<Live<K, S>> {
        self.live.get(&context).cloned()
    }

    /// The requests that a key can end, the oldest number first. This costs as much as
    /// there are of them, whatever else is in flight.
    pub fn of(&self, key: K) -> impl Iterator<Item = (ContextId, &Live<K, S>)> {
        let range = (key, ContextId(0))..=(key, ContextId(u32::MAX));
        self.by_key
            .range(range)
            .filter_map(|(_, context)| Some((*context, self.live.get(context)?)))
    }

    /// Every request.
    pub fn iter(&self) -> impl Iterator<Item = (ContextId, &Live<K, S>)> {
        self.live.iter().map(|(context, live)| (*context, live))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// How many requests were ever allowed beyond [`MAX_LIVE`].
    pub fn untracked(&self) -> u64 {
        self.untracked
    }

    /// Notes that a request is to be cut off. Nothing happens if it is not known.
    pub fn condemn(&mut self, context: ContextId) {
        if self.live.contains_key(&context) {
            self.condemned.insert(context);
        }
    }

    /// Notes that a request is not to be cut off after all.
    pub fn pardon(&mut self, context: ContextId) {
        self.condemned.remove(&context);
    }

    /// Notes that it cannot be told now whether a request is to be cut off.
    pub fn postpone(&mut self, context: ContextId) {
        if self.condemned.remove(&context) {
            self.postponed.insert(context);
        }
    }

    /// Condemns some of the postponed again. Successive calls get round to all, though
    /// they be postponed once more.
    pub fn resume(&mut self) {
        let after = (Bound::Excluded(self.resumed_to), Bound::Unbounded);
        let some: Vec<_> = self.postponed.range(after).take(RESUMED).copied().collect();
        self.resumed_to = match some.last() {
            Some(last) if some.len() == RESUMED => *last,
            _ => ContextId(0),
        };
        for context in some {
            self.postponed.remove(&context);
            self.condemn(context);
        }
    }

    /// How many requests are still to be cut off.
    pub fn condemned(&self) -> usize {
        self.condemned.len()
    }

    /// Those to cut off in this callback: [`MAX_AT_ONCE`], or all that are left.
    pub fn due(&self) -> Vec<(ContextId, Live<K, S>)> {
        let due = self.condemned.iter().take(MAX_AT_ONCE);
        due.filter_map(|context| Some((*context, self.live.get(context)?.clone()))).collect()
    }

    /// Cuts a request off, in a callback that is about no request: answers it if
    /// it waits, and resets it if it does not or if the proxy refuses the answer.
    /// From then on it is not known any more. `None` if it was not.
    pub fn cut(
        &mut self,
        host: &impl Host,
        context: ContextId,
        answer: &Answer<'_>,
    ) -> Option<(Live<K, S>, Cut)> {
        let live = self.end(context)?;
        let Answer { status, headers, body, details } = *answer;
        let answered = live.phase == Phase::Waiting
            && host.respond_to(context, status, headers, body, details).is_ok();
        let cut = if answered {
            Cut::Answered
        } else if host.reset_request(context).is_ok() {
            Cut::Reset
        } else {
            Cut::Failed
        };
        Some((live, cut))
    }
}

#[cfg(test)]
#[path = "in_flight_tests.rs"]
mod tests;
