//! What a worker has reported, as records say it.

use std::collections::HashMap;

use kya_core::InFlight;
use kya_core::audit::event::{self, Batch, Body, Decision, Happened, Token};
use kya_core::audit::{
    Applied, BodyHash, Concerned, Decided, Draft, Dropped, Ended, Entry, FlightEnd, Payload,
    Source, Timestamp, Verdict,
};
use kya_core::{Fingerprint, TokenId};

use crate::store::audit::SourceKey;
use crate::store::in_flight_name;

/// A batch, as what it adds to the trail.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) source: SourceKey,
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
    pub(super) fn new(batch: Batch, tokens: &HashMap<Fingerprint, TokenId>) -> Self {
        let Batch { node, slot, instance, service, first, events, last, .. } = batch;
        let written = hex(&instance.to_be_bytes());
        let source = |number| Source {
            proxy: node.clone(),
            worker: slot,
            instance: written.clone(),
            number,
        };
        let events = events.into_iter().map(|event| {
            let source = source(event.number);
            let (entry, flight) = entry(source, event.happened, service.as_deref(), tokens);
            // What does not get a place here is refused where it would get one.
            let draft = match flight {
                Flight::None | Flight::Begins(_) => Draft::of(event.time, &entry).ok().flatten(),
                Flight::Ends(_) | Flight::IsConcerned(_) => None,
            };
            Reported { time: event.time, entry, flight, draft }
        });
        let events = events.collect();
        Self { source: SourceKey { node, instance }, slot, first, events, last }
    }

    /// An event of it, without what it says.
    pub(super) fn source(&self, number: u64) -> Source {
        let Self { source: SourceKey { node, instance }, slot, .. } = self;
        source(node, *slot, *instance, number)
    }

    /// The opaque tokens of known agents in a batch.
    pub(super) fn tokens(batch: &Batch) -> impl Iterator<Item = Fingerprint> {
        batch.events.iter().filter_map(|event| match &event.happened {
            // Whoever makes tokens up has no agent, and causes no look-ups.
            Happened::Decision(it) if it.agent.is_some() => match it.token {
                Some(Token::Opaque(fingerprint)) => Some(fingerprint),
                _ => None,
            },
            _ => None,
        })
    }
}

pub(super) fn source(node: &str, slot: u32, instance: u64, number: u64) -> Source {
    let instance = hex(&instance.to_be_bytes());
    Source { proxy: node.to_owned(), worker: slot, instance, number }
}

fn entry(
    source: Source,
    happened: Happened,
    service: Option<&str>,
    tokens: &HashMap<Fingerprint, TokenId>,
) -> (Entry, Flight) {
    match happened {
        Happened::Decision(decision) => {
            let goes_on = decision.end.is_none() && decision.verdict != Verdict::Deny;
            let decided = decided(source, *decision, service, tokens);
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

fn decided(
    source: Source,
    decision: Decision,
    service: Option<&str>,
    tokens: &HashMap<Fingerprint, TokenId>,
) -> Decided {
    let token_id = decision.token.map(|token| match token {
        Token::Capability(id) => id.to_string(),
        Token::Opaque(fingerprint) => match tokens.get(&fingerprint) {
            Some(id) => id.to_string(),
            None => format!("sha256:{}", hex(&fingerprint.0)),
        },
    });
    Decided {
        source,
        decision: decision.verdict,
        reason: decision.reason,
        agent_id: decision.agent.map(|id| id.to_string()),
        principal_id: decision.principal.map(|id| id.to_string()),
        token_id,
        service: service.map(str::to_owned),
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
