//! What a worker has reported, as records say it.

use std::collections::HashMap;

use kya_core::InFlight;
use kya_core::audit::event::{self, Batch, Body, Decision, Happened, Token};
use kya_core::audit::{
    Applied, BodyHash, Concerned, Decided, Draft, Dropped, Ended, Entry, FlightEnd, Payload,
    Source, Timestamp, Verdict,
};
use kya_core::{Fingerprint, TokenId};
use sha2::{Digest, Sha256};

use crate::store::audit::{DIGEST_BYTES, SourceKey};
use crate::store::in_flight_name;

/// A batch, as what it adds to the trail.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) source: SourceKey,
    /// The node registration by whose credential it came.
    pub(super) registration: String,
    pub(super) slot: u32,
    /// Number of the first event, or of the one that comes next where there is none.
    pub(super) first: u64,
    pub(super) events: Vec<Reported>,
    /// Nothing follows.
    pub(super) last: bool,
}

/// An event.
#[derive(Debug)]
pub(super) struct Reported {
    pub(super) time: Timestamp,
    pub(super) entry: Entry,
    pub(super) flight: Flight,
    /// Its record but for its place, where nothing else is to be added.
    pub(super) draft: Option<Draft>,
    /// Of what it says, without what the control plane adds and what may be another when it
    /// is sent again.
    pub(super) digest: [u8; DIGEST_BYTES],
}

/// What an event says about requests that go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flight {
    /// Nothing.
    None,
    /// One goes on, this agent's.
    Begins(Option<String>),
    /// The one with this number has ended.
    Ends(u64),
    /// The one with this number may be stopped.
    IsConcerned(u64),
}

impl Report {
    /// `tokens` are those of the opaque tokens in it that are known.
    pub(super) fn new(
        registration: &str,
        batch: Batch,
        tokens: &HashMap<Fingerprint, TokenId>,
    ) -> Self {
        let Batch { node, slot, instance, service, first, events, last, .. } = batch;
        let written = hex(&instance.to_be_bytes());
        let events = events.into_iter().map(|event| {
            let (proxy, instance) = (node.clone(), written.clone());
            let source = Source { proxy, worker: 0, instance, number: event.number };
            let token = token(&event.happened).and_then(|it| tokens.get(&it));
            let (mut entry, flight) = entry(source, event.happened);
            let said = digest(event.time, &entry);
            let presented = complete(&mut entry, slot, service.as_deref(), token);
            // What does not get a place here is refused where it would get one.
            let draft = match flight {
                Flight::None | Flight::Begins(_) => Draft::of(event.time, &entry).ok().flatten(),
                Flight::Ends(_) | Flight::IsConcerned(_) => None,
            };
            let digest = said.unwrap_or_else(|| of_draft(draft.as_ref(), presented.as_deref()));
            Reported { time: event.time, entry, flight, draft, digest }
        });
        let events = events.collect();
        let registration = registration.to_owned();
        Self { source: SourceKey { node, instance }, registration, slot, first, events, last }
    }

    /// An event of it, without what it says.
    pub(super) fn source(&self, number: u64) -> Source {
        let Self { source: SourceKey { node, instance }, slot, .. } = self;
        source(node, *slot, *instance, number)
    }

    /// The opaque tokens of known agents in a batch.
    pub(super) fn tokens(batch: &Batch) -> impl Iterator<Item = Fingerprint> {
        batch.events.iter().filter_map(|event| token(&event.happened))
    }
}

fn token(happened: &Happened) -> Option<Fingerprint> {
    match happened {
        // Whoever makes tokens up has no agent, and causes no look-ups.
        Happened::Decision(it) if it.agent.is_some() => match it.token {
            Some(Token::Opaque(fingerprint)) => Some(fingerprint),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn source(node: &str, slot: u32, instance: u64, number: u64) -> Source {
    let instance = hex(&instance.to_be_bytes());
    Source { proxy: node.to_owned(), worker: slot, instance, number }
}

/// What an event says, to be compared with what comes under the same number again; of a
/// decision, see [`of_draft`].
fn digest(time: Timestamp, entry: &Entry) -> Option<[u8; DIGEST_BYTES]> {
    if matches!(entry, Entry::Decision(_)) {
        return None;
    }
    // There is nothing in it that JSON has no form for.
    Some(half(Sha256::new_with_prefix(serde_json::to_vec(&(time, entry)).unwrap_or_default())))
}

/// The same of a decision, which is written only once: its record without what the control
/// plane adds, and the token as it was presented. Whether its name is known may change.
fn of_draft(draft: Option<&Draft>, presented: Option<&str>) -> [u8; DIGEST_BYTES] {
    let mut hash = Sha256::new();
    for piece in draft.and_then(Draft::reported).into_iter().flatten() {
        hash.update(piece);
        hash.update([0]);
    }
    hash.update(presented.unwrap_or_default());
    half(hash)
}

fn half(hash: Sha256) -> [u8; DIGEST_BYTES] {
    let mut half = [0; DIGEST_BYTES];
    half.copy_from_slice(&hash.finalize()[..DIGEST_BYTES]);
    half
}

/// Adds what the control plane knows, and what is said of the batch as a whole. Returns the
/// token of a decision as it was presented.
fn complete(
    entry: &mut Entry,
    slot: u32,
    service: Option<&str>,
    token: Option<&TokenId>,
) -> Option<String> {
    let mut presented = None;
    let source = match entry {
        Entry::Decision(it) => {
            it.service = service.map(str::to_owned);
            presented = match token {
                Some(id) => it.token_id.replace(id.to_string()),
                None => it.token_id.clone(),
            };
            &mut it.source
        }
        Entry::Ended(it) => &mut it.source,
        Entry::Applied(it) => &mut it.source,
        Entry::InFlight(it) => &mut it.source,
        Entry::Dropped(it) => &mut it.source,
        _ => return None,
    };
    source.worker = slot;
    presented
}

fn entry(source: Source, happened: Happened) -> (Entry, Flight) {
    match happened {
        Happened::Decision(decision) => {
            let goes_on = decision.end.is_none() && decision.verdict != Verdict::Deny;
            let decided = decided(source, *decision);
            let flight = match goes_on {
                true => Flight::Begins(decided.agent_id.clone()),
                false => Flight::None,
            };
            (Entry::Decision(Box::new(decided)), flight)
        }
        Happened::End { decision, end } => {
            let end = flight_end(end);
            let ended = Ended { source, decision_number: decision, end, agent_id: None };
            (Entry::Ended(ended), Flight::Ends(decision))
        }
        Happened::Applied(event::Applied { position, in_flight, untracked }) => {
            let (epoch, revision) = (position.epoch, position.revision.0);
            (
                Entry::Applied(Applied { source, epoch, revision, in_flight, untracked }),
                Flight::None,
            )
        }
        Happened::InFlight { position, decision, ending } => {
            let concerned = Concerned {
                source,
                epoch: position.epoch,
                revision: position.revision.0,
                decision_number: decision,
                ending: ending_name(ending).to_owned(),
                agent_id: None,
            };
            (Entry::InFlight(concerned), Flight::IsConcerned(decision))
        }
        Happened::Dropped(events) => (Entry::Dropped(Dropped { source, events }), Flight::None),
    }
}

fn ending_name(ending: InFlight) -> &'static str {
    in_flight_name(ending)
}

fn decided(source: Source, decision: Decision) -> Decided {
    let token_id = decision.token.map(|token| match token {
        Token::Capability(id) => id.to_string(),
        Token::Opaque(fingerprint) => format!("sha256:{}", hex(&fingerprint.0)),
    });
    Decided {
        source,
        decision: decision.verdict,
        reason: decision.reason,
        agent_id: decision.agent.map(|id| id.to_string()),
        principal_id: decision.principal.map(|id| id.to_string()),
        token_id,
        service: None,
        action: decision.action.map(|action| action.to_string()),
        method: decision.method,
        path_template: decision.template,
        policy_id: decision.policy.map(|policy| policy.id.to_string()),
        policy_version: decision.policy.map(|policy| policy.version.get()),
        epoch: decision.position.map(|position| position.epoch),
        revision: decision.position.map(|position| position.revision.0),
        state_age_ms: decision.state_age_millis,
        request_id: decision.request_id,
        trace_id: decision.trace.map(|trace| hex(&trace.id)),
        parent_span_id: decision.trace.map(|trace| hex(&trace.parent)),
        end: decision.end.map(flight_end),
    }
}

fn flight_end(end: event::End) -> FlightEnd {
    FlightEnd {
        disposition: end.disposition,
        upstream_status: end.status,
        duration_us: end.duration_micros,
        cut_by_revision: end.cut.map(|position| position.revision.0),
        payload: payload(end.body),
    }
}

fn payload(body: Body) -> Option<Payload> {
    let (hashed, hash) = match body {
        Body::NotHashed => return None,
        Body::None => (BodyHash::None, None),
        Body::Whole(hash) => (BodyHash::Whole, Some(hash)),
        Body::Truncated(hash) => (BodyHash::Truncated, Some(hash)),
    };
    let bytes = hash.map_or(0, |hash| hash.bytes);
    Some(Payload { hashed, sha256: hash.map(|hash| hex(&hash.sha256)), bytes })
}

/// Small hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}
