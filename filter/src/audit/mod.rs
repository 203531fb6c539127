//! What a worker reports of its requests, for the audit trail.
//!
//! Every decision gets a number and waits in a bounded buffer ([`recorder`]) until the
//! control plane has signed that it is in the trail ([`outbox`]). Of a request that went
//! on, the end is reported, too: with its decision, if that has not been sent yet, or
//! else as an event of its own ([`flights`]).
//!
//! Nothing is formatted and nothing allocated where a request is decided: events are
//! structs of one size, and are encoded when a batch is sent.

mod body;
mod disposition;
mod encode;
pub mod event;
mod flights;
mod outbox;
mod recorder;
mod short;
mod state;
mod stops;
mod trace;

use kya_core::{Position, Verifier};

use crate::clock;
use crate::config::{AuditMode, OnFull};
use crate::host::{CallId, ContextId, Host, HttpResponse, LogLevel};
use crate::plugin::Plugin;
pub use event::InFlight;
use event::{Decision, Event, Happened};
pub use flights::MAX_LOOKED_AT;
use flights::{Flight, Flights};
use outbox::Outbox;
pub use outbox::Sender;
pub use recorder::Counts;
use recorder::Recorder;
pub use short::{REQUEST_ID, Short};
pub use state::{FILTER_STATE, describe};
use stops::{Stop, Stops};
pub use trace::Trace;

/// The part of the trail that one worker holds.
#[derive(Debug)]
pub struct Audit {
    on: bool,
    recorder: Recorder,
    flights: Flights,
    stops: Stops,
    outbox: Outbox,
    said_full: bool,
}

/// Whether there is room for a decision, as whoever decides must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Number of the next event; `None` if nothing is recorded, or there is no room.
    pub next: Option<u64>,
    /// There is no room: what is decided now is counted, and nothing else.
    pub full: bool,
}

impl Room {
    /// That of a worker that records nothing.
    pub const UNRECORDED: Self = Self { next: None, full: false };
}

impl Audit {
    /// One that has recorded nothing.
    pub fn new<H: Host>(plugin: &Plugin<H>) -> Self {
        let config = &plugin.config.audit;
        Self {
            on: config.mode == AuditMode::On,
            recorder: Recorder::new(config.buffer),
            flights: Flights::new(config.hash_body),
            stops: Stops::default(),
            outbox: Outbox::default(),
            said_full: false,
        }
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Whether there is room for another decision.
    pub fn room<H: Host>(&mut self, plugin: &Plugin<H>) -> Room {
        if !self.on {
            return Room::UNRECORDED;
        }
        self.say_untold(plugin);
        let full = self.recorder.is_full();
        if full && !self.said_full {
            let what = match plugin.config.audit.on_full {
                OnFull::Deny => "denying what would be allowed",
                OnFull::Drop => "dropping records, save for critical actions, which are denied",
            };
            let line = format!(
                "the audit buffer is full ({} events): {what} until the control plane takes them",
                self.recorder.len()
            );
            plugin.host.log(LogLevel::Error, &line);
        }
        self.said_full = full;
        Room { next: (!full).then(|| self.recorder.next()), full }
    }

    /// A request was answered by the gate.
    pub fn denied(&mut self, unix_nanos: u64, decision: Decision) {
        if self.on {
            self.recorder.decision(Event { unix_nanos, happened: Happened::Decision(decision) });
        }
    }

    /// A request goes on, with a body or without. It began at this instant of the
    /// monotonic clock.
    pub fn went_on(&mut self, context: ContextId, at: When, decision: Decision, has_body: bool) {
        if !self.on {
            return;
        }
        let event = Event { unix_nanos: at.unix_nanos, happened: Happened::Decision(decision) };
        let number = self.recorder.decision(event);
        self.flights.begin(context, Flight::new(number, at.monotonic_nanos, has_body));
    }

    /// A part of the body of a request is there, the last one if `end`.
    pub fn request_body<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        context: ContextId,
        size: usize,
        end: bool,
    ) {
        self.flights.request_body(&plugin.host, context, size, end);
    }

    /// The trailers of a request are there: its body is over.
    pub fn request_trailers(&mut self, context: ContextId) {
        self.flights.request_trailers(context);
    }

    /// The headers of a response are there, and nothing follows if `end`.
    pub fn response_started<H: Host>(&mut self, plugin: &Plugin<H>, context: ContextId, end: bool) {
        self.flights.response_started(&plugin.host, context, end);
    }

    /// The last part of a response is there.
    pub fn response_ended(&mut self, context: ContextId) {
        self.flights.response_ended(context);
    }

    /// The trailers of a response are there: nothing follows.
    pub fn response_trailers<H: Host>(&mut self, plugin: &Plugin<H>, context: ContextId) {
        self.flights.response_trailers(&plugin.host, context);
    }

    /// The gate has ended a request because of this state.
    pub fn cut(&mut self, context: ContextId, by: Position) {
        self.flights.cut(context, by);
    }

    /// A request is over: the proxy says no more about it. `held` says that it never
    /// went on.
    pub fn ended<H: Host>(&mut self, plugin: &Plugin<H>, context: ContextId, held: bool) {
        let Some(flight) = self.flights.end(context, held) else { return };
        // One that had no room has no number, and is counted.
        let Some(number) = flight.number() else { return };
        // That a state concerns it has a number of its own, and is read before or after its
        // decision: only an event that comes later ends it for both.
        let told = flight.is_told();
        let now = clock::monotonic_nanos(&plugin.host);
        let end = flight.end(&plugin.host, now);
        let end = if told { Err(end) } else { self.recorder.fold(number, end) };
        if let Err(end) = end {
            let happened = Happened::End { decision: number, end };
            let event = Event { unix_nanos: plugin.host.now_nanos(), happened };
            match told {
                true => self.recorder.keep_promise(event),
                false => self.recorder.follow(event),
            };
        }
    }

    /// The worker decides by this state from here on, which may stop somebody: those
    /// of its requests in flight that it concerns.
    pub fn applied<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        position: Position,
        concerned: &[(ContextId, InFlight)],
        unseen: u64,
    ) {
        if !self.on {
            return;
        }
        let unix_nanos = plugin.host.now_nanos();
        let unseen = self.flights.untracked().saturating_add(unseen);
        let stop = Stop { unix_nanos, position, concerned, unseen };
        self.stops.applied(stop, &mut self.flights, &mut self.recorder);
        self.outbox.hurry();
    }

    /// Says what had no room, as far as there is room now.
    fn say_untold<H: Host>(&mut self, plugin: &Plugin<H>) {
        if self.stops.tell(&mut self.recorder) {
            self.outbox.hurry();
        }
        self.recorder.say_dropped(|| plugin.host.now_nanos());
    }

    /// Sends what waits, if it is time to: at a tick, or because much waits, or
    /// something was stopped.
    pub fn send_due<H: Host>(&mut self, plugin: &Plugin<H>, sender: &Sender, tick: bool) {
        if self.on {
            self.outbox.send_due(plugin, &mut self.recorder, sender, tick);
        }
    }

    /// Whether there may be something to send. Cheap: it is asked at every event.
    pub fn is_due(&self, tick: bool) -> bool {
        self.on && self.outbox.is_due(&self.recorder, tick)
    }

    /// Whether a call was made for a batch.
    pub fn awaits(&self, call: CallId) -> bool {
        self.outbox.awaits(call)
    }

    /// Takes the response to the call of a batch.
    pub fn answered<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        verifier: &Verifier,
        sender: &Sender,
        call: CallId,
        response: Option<&HttpResponse>,
    ) {
        self.outbox.answered(plugin, verifier, &mut self.recorder, sender, call, response);
        self.say_untold(plugin);
        self.send_due(plugin, sender, false);
    }

    /// Nothing more is recorded: sends what is left. True if there is nothing to wait
    /// for.
    pub fn close<H: Host>(&mut self, plugin: &Plugin<H>, sender: &Sender) -> bool {
        if !self.on {
            return true;
        }
        self.stops.tell_anyway(&mut self.recorder);
        self.recorder.say_all_dropped(|| plugin.host.now_nanos());
        self.outbox.close(plugin, &mut self.recorder, sender)
    }

    /// Whether [`close`](Self::close) was called, and there is nothing to wait for any
    /// more.
    pub fn is_closed(&self) -> bool {
        self.outbox.is_closed()
    }

    /// Counts what was only noted until now.
    pub fn flush<H: Host>(&mut self, plugin: &Plugin<H>) {
        if self.on {
            plugin.metrics.audited(&plugin.host, self.recorder.take_counts());
        }
    }
}

/// When something was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct When {
    /// By the wall clock of the proxy.
    pub unix_nanos: u64,
    /// By a clock that is never set.
    pub monotonic_nanos: u64,
}

impl When {
    /// Now.
    pub fn now(host: &impl Host) -> Self {
        Self { unix_nanos: host.now_nanos(), monotonic_nanos: clock::monotonic_nanos(host) }
    }
}
