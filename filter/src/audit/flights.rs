//! Requests that went on, until the proxy says that they are over.

use std::collections::BTreeMap;

use kya_core::Position;

use super::body::Hashing;
use super::disposition::{self, Response, UNDONE};
use super::event::End;
use crate::host::{ContextId, Fields, Host};
use crate::work::in_flight::MAX_LIVE;

/// Most requests in flight of which a worker looks whether a state concerns them, each
/// time that it applies one: all in one callback, which must have an end. The rest is
/// counted as not kept track of; by which state one of those was cut is said in its end.
pub const MAX_LOOKED_AT: usize = 1024;

/// Header by which Envoy says how long its upstream took: no other answer has it.
const OF_UPSTREAM: &[u8] = b"x-envoy-upstream-service-time";
/// Header, or trailer, by which an upstream says what became of a request.
const DISPOSITION: &[u8] = b"x-kya-disposition";

/// The requests of one worker that went on.
#[derive(Debug)]
pub(super) struct Flights {
    flights: BTreeMap<ContextId, Flight>,
    hash_body: bool,
    bound: usize,
    /// How many are in flight beyond the bound.
    untracked: u64,
}

/// A request that went on.
#[derive(Debug)]
pub(super) struct Flight {
    number: Option<u64>,
    begun_nanos: u64,
    has_body: bool,
    body: Hashing,
    response: Response,
    /// The last of the response has come from the upstream.
    complete: bool,
    cut: Option<Position>,
    /// It was told that a state concerns it.
    told: bool,
}

impl Flight {
    /// One whose decision has this number, if it had room.
    pub(super) fn new(number: Option<u64>, begun_nanos: u64, has_body: bool) -> Self {
        Self {
            number,
            begun_nanos,
            has_body,
            body: Hashing::Off,
            response: Response::None,
            complete: false,
            cut: None,
            told: false,
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.number
    }

    /// Whether it was told that a state concerns it.
    pub(super) fn is_told(&self) -> bool {
        self.told
    }

    /// What became of it, at this instant of the monotonic clock.
    pub(super) fn end(self, host: &impl Host, now_nanos: u64) -> End {
        // What a clock that was set back, or never was right, makes of it has a bound, too.
        const LONGEST: u64 = 1 << 52;
        let micros = now_nanos.saturating_sub(self.begun_nanos) / 1_000;
        let status = match self.response {
            Response::Upstream { status, .. } => status,
            Response::None | Response::Other => 0,
        };
        End {
            disposition: disposition::disposition(host, self.response, self.complete),
            status,
            duration_micros: micros.min(LONGEST),
            cut: self.cut,
            body: self.body.finish(),
        }
    }
}

impl Flights {
    pub(super) fn new(hash_body: bool) -> Self {
        Self { flights: BTreeMap::new(), hash_body, bound: MAX_LIVE, untracked: 0 }
    }

    pub(super) fn begin(&mut self, context: ContextId, mut flight: Flight) {
        // One that has no number has no end to say it in.
        let hashes = self.hash_body && flight.number.is_some();
        flight.body = Hashing::new(hashes, flight.has_body);
        if self.flights.len() >= self.bound {
            self.untracked = self.untracked.saturating_add(1);
        } else {
            self.flights.insert(context, flight);
        }
    }

    /// A request is over. What it was, if it is known.
    pub(super) fn end(&mut self, context: ContextId, held: bool) -> Option<Flight> {
        let flight = self.flights.remove(&context);
        if flight.is_none() && !held {
            self.untracked = self.untracked.saturating_sub(1);
        }
        flight
    }

    /// Number of the decision of a request.
    pub(super) fn number(&self, context: ContextId) -> Option<u64> {
        self.flights.get(&context)?.number
    }

    /// It is told that a state concerns a request. False if that was told before, of any
    /// state.
    pub(super) fn tell(&mut self, context: ContextId) -> bool {
        let flight = self.flights.get_mut(&context);
        flight.is_some_and(|flight| !std::mem::replace(&mut flight.told, true))
    }

    pub(super) fn untracked(&self) -> u64 {
        self.untracked
    }

    pub(super) fn cut(&mut self, context: ContextId, by: Position) {
        if let Some(flight) = self.flights.get_mut(&context) {
            flight.cut = Some(by);
        }
    }

    pub(super) fn request_body(
        &mut self,
        host: &impl Host,
        context: ContextId,
        size: usize,
        end: bool,
    ) {
        if let Some(flight) = self.flights.get_mut(&context) {
            flight.body.part(host, size, end);
        }
    }

    pub(super) fn request_trailers(&mut self, context: ContextId) {
        if let Some(flight) = self.flights.get_mut(&context) {
            flight.body.ended();
        }
    }

    /// The headers of a response are there, and nothing follows if `end`.
    pub(super) fn response_started(&mut self, host: &impl Host, context: ContextId, end: bool) {
        let Some(flight) = self.flights.get_mut(&context) else { return };
        // What the gate itself answers passes here, too; of one without a number
        // nothing is said.
        if flight.cut.is_some() || flight.number.is_none() {
            return;
        }
        let (mut status, mut undone, mut upstream) = (0, false, false);
        let read = host.response_fields(Fields::Headers, &mut |name, value| match name {
            b":status" => status = number(value),
            _ if name == DISPOSITION => undone |= value == UNDONE,
            _ if name == OF_UPSTREAM => upstream = true,
            _ => {}
        });
        let upstream = read.is_ok() && (upstream || disposition::is_of_upstream(host));
        flight.response = match upstream {
            true => Response::Upstream { status, undone },
            false => Response::Other,
        };
        flight.complete = upstream && end;
    }

    /// The last part of a response has come.
    pub(super) fn response_ended(&mut self, context: ContextId) {
        if let Some(flight) = self.flights.get_mut(&context) {
            flight.complete |= matches!(flight.response, Response::Upstream { .. });
        }
    }

    /// The trailers of a response have come.
    pub(super) fn response_trailers(&mut self, host: &impl Host, context: ContextId) {
        let Some(flight) = self.flights.get_mut(&context) else { return };
        let Response::Upstream { undone, .. } = &mut flight.response else { return };
        // Trailers that cannot be read say nothing.
        let _ = host.response_fields(Fields::Trailers, &mut |name, value| {
            *undone |= name == DISPOSITION && value == UNDONE;
        });
        flight.complete = true;
    }
}

/// A status of three digits; 0 for anything else.
fn number(text: &[u8]) -> u16 {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.parse().ok().filter(|status| (100..=999).contains(status)).unwrap_or(0)
}
