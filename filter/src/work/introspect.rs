//! Questions about tokens that the state does not know.
//!
//! The answer grants nothing: it says, signed, from which position on every state
//! holds the token. The request waits until this worker has got there, which the
//! push or a pull brings about, and is decided like any other. Without an answer,
//! or if there is no such token, it is denied.
//!
//! One question is asked for each token, however many requests present it; so
//! many questions are open at a time, and so many begin in a second; and what was
//! answered is remembered for as long as it holds.

use std::collections::{BTreeMap, VecDeque};

use kya_core::{Body, Fingerprint, Monotonic, Nonce, Position, TokenDigest, Verifier, wire};
use prost::Message;

use crate::host::{CallId, ContextId, Host, HttpResponse};
use crate::lead::call;
use crate::plugin::Plugin;

/// Path of the endpoint.
const PATH: &str = "/v1/enforcement/introspect";
/// How long the control plane may take.
const TIMEOUT_MILLIS: u32 = 1_000;
/// How long a request waits for the position that the answer named.
const CATCH_UP_MILLIS: u64 = 1_000;
/// For how long it is remembered that there is no such token.
const UNKNOWN_MILLIS: u64 = 1_000;
/// Most tokens that are remembered to be unknown.
const MAX_UNKNOWN: usize = 1_024;
/// Most requests that wait.
const MAX_WAITING: usize = 4_096;
/// Most questions that begin in a second.
const PER_SECOND: u32 = 100;

/// The open questions of one worker.
#[derive(Debug, Default)]
pub struct Introspections {
    asked: BTreeMap<CallId, Question>,
    /// What is to be reached before the requests with a token are decided again.
    awaited: BTreeMap<Fingerprint, Awaited>,
    waiting: usize,
    /// Tokens that do not exist, as of a position, the oldest first.
    unknown: VecDeque<(Fingerprint, Option<Position>, Monotonic)>,
    second: u64,
    begun: u32,
}

#[derive(Debug)]
struct Question {
    nonce: Nonce,
    digest: TokenDigest,
    requests: Vec<ContextId>,
}

#[derive(Debug)]
struct Awaited {
    position: Position,
    until: Monotonic,
    requests: Vec<ContextId>,
}

/// Requests that need not wait any more, and whether more news are needed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// To be decided again, by what the state says now.
    pub requests: Vec<ContextId>,
    /// The state is behind what the control plane has signed.
    pub behind: bool,
}

impl Introspections {
    /// Asks about the token of a request, which is to wait. False if it cannot
    /// wait: there is no such token, or too many questions are open.
    pub fn ask<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        context: ContextId,
        digest: TokenDigest,
        have: Option<Position>,
        now: Monotonic,
    ) -> bool {
        let fingerprint = digest.fingerprint();
        self.forget(now, have);
        if self.waiting >= MAX_WAITING || self.unknown.iter().any(|(it, ..)| *it == fingerprint) {
            return false;
        }
        if let Some(awaited) = self.awaited.get_mut(&fingerprint) {
            awaited.requests.push(context);
        } else if let Some(question) =
            self.asked.values_mut().find(|question| question.digest == digest)
        {
            question.requests.push(context);
        } else if !self.begin(plugin, context, digest, now) {
            return false;
        }
        self.waiting = self.waiting.saturating_add(1);
        true
    }

    fn begin<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        context: ContextId,
        digest: TokenDigest,
        now: Monotonic,
    ) -> bool {
        let second = now.0 / 1_000;
        if second != self.second {
            (self.second, self.begun) = (second, 0);
        }
        if self.asked.len() >= plugin.config.max_introspections || self.begun >= PER_SECOND {
            return false;
        }
        let mut nonce = [0; 32];
        if plugin.host.random(&mut nonce).is_err() {
            return false;
        }
        let request = wire::IntrospectRequest { nonce: nonce.to_vec(), digest: digest.0.to_vec() };
        let Ok(id) = call::post(plugin, PATH, &request.encode_to_vec(), TIMEOUT_MILLIS) else {
            return false;
        };
        self.begun = self.begun.saturating_add(1);
        plugin.metrics.introspected(&plugin.host);
        let question = Question { nonce: Nonce(nonce), digest, requests: vec![context] };
        self.asked.insert(id, question);
        true
    }

    /// Takes the response to a call, if it was one of these.
    pub fn answered<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        verifier: &Verifier,
        id: CallId,
        response: Option<&HttpResponse>,
        have: Option<Position>,
        now: Monotonic,
    ) -> Option<Settled> {
        let Question { nonce, digest, requests } = self.asked.remove(&id)?;
        let update = response.filter(|response| response.status == 200).and_then(|response| {
            let verified = verifier.verify(&response.body);
            verified
                .inspect_err(|error| plugin.metrics.update_rejected(&plugin.host, error.cause()))
                .ok()
        });
        let answer = update.as_ref().and_then(|update| match update.body() {
            Body::Introspection { nonce: n, digest: d, known } if (*n, *d) == (nonce, digest) => {
                Some((update.position(), *known))
            }
            _ => None,
        });
        let fingerprint = digest.fingerprint();
        match answer {
            Some((position, true)) if have < Some(position) => {
                let until = Monotonic(now.0.saturating_add(CATCH_UP_MILLIS));
                self.awaited.insert(fingerprint, Awaited { position, until, requests });
                Some(Settled { requests: vec![], behind: true })
            }
            Some((position, known)) => {
                if !known {
                    self.remember_unknown(fingerprint, Some(position), now);
                }
                Some(self.release(requests))
            }
            None => {
                self.remember_unknown(fingerprint, None, now);
                Some(self.release(requests))
            }
        }
    }

    /// The requests that have what they waited for, or have waited for too long.
    pub fn settle(&mut self, have: Option<Position>, now: Monotonic) -> Settled {
        let over = |awaited: &Awaited| have >= Some(awaited.position) || now >= awaited.until;
        let (mut requests, mut missed) = (Vec::new(), Vec::new());
        self.awaited.retain(|fingerprint, awaited| {
            if !over(awaited) {
                return true;
            }
            if have < Some(awaited.position) {
                missed.push(*fingerprint);
            }
            requests.append(&mut awaited.requests);
            false
        });
        for fingerprint in missed {
            self.remember_unknown(fingerprint, None, now);
        }
        self.release(requests)
    }

    /// A request is over while it waits.
    pub fn end(&mut self, context: ContextId) {
        let lists = self.asked.values_mut().map(|question| &mut question.requests);
        let lists = lists.chain(self.awaited.values_mut().map(|awaited| &mut awaited.requests));
        for requests in lists {
            if let Some(at) = requests.iter().position(|waiting| *waiting == context) {
                requests.swap_remove(at);
                self.waiting = self.waiting.saturating_sub(1);
                return;
            }
        }
    }

    /// Whether nothing is waited for.
    pub fn is_idle(&self) -> bool {
        self.waiting == 0 && self.awaited.is_empty()
    }

    /// How much is remembered: questions, tokens that are waited for, requests, and
    /// tokens that do not exist.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> [usize; 4] {
        [self.asked.len(), self.awaited.len(), self.waiting, self.unknown.len()]
    }

    fn release(&mut self, requests: Vec<ContextId>) -> Settled {
        self.waiting = self.waiting.saturating_sub(requests.len());
        Settled { requests, behind: false }
    }

    fn remember_unknown(
        &mut self,
        fingerprint: Fingerprint,
        as_of: Option<Position>,
        now: Monotonic,
    ) {
        if self.unknown.len() >= MAX_UNKNOWN {
            self.unknown.pop_front();
        }
        let until = Monotonic(now.0.saturating_add(UNKNOWN_MILLIS));
        self.unknown.push_back((fingerprint, as_of, until));
    }

    /// A token that did not exist may since have been issued: at the latest when
    /// the state has moved on.
    fn forget(&mut self, now: Monotonic, have: Option<Position>) {
        self.unknown.retain(|(_, as_of, until)| {
            now < *until && as_of.is_none_or(|as_of| have <= Some(as_of))
        });
    }
}
