//! What a VM reports for the audit trail.

use super::Vm;
use crate::audit::{MAX_LOOKED_AT, Room, Sender};
use crate::config::Transport;
use crate::host::{CallId, ContextId, Host, HttpResponse};
use crate::lead::roster::WAKE;
use crate::request::{self, Flow, Handled, Noted, Trail, Unknown};
use crate::work::cut;

/// What a decision needs to know of the trail, without the name of the VM.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    on: bool,
    room: Room,
}

impl State {
    pub(super) fn of(self, instance: &str) -> Trail<'_> {
        Trail { on: self.on, room: self.room, instance }
    }
}

impl<H: Host> Vm<H> {
    /// A part of the body of a request is there, the last one if `end`.
    pub fn request_body(&mut self, context: ContextId, size: usize, end: bool) -> Flow {
        if self.held.contains_key(&context) {
            return Flow::Pause;
        }
        self.audit.request_body(&self.plugin, context, size, end);
        Flow::Continue
    }

    /// The trailers of a request are there: its body is over.
    pub fn request_trailers(&mut self, context: ContextId) -> Flow {
        if self.held.contains_key(&context) {
            return Flow::Pause;
        }
        self.audit.request_trailers(context);
        Flow::Continue
    }

    /// The headers of the response to a request are there: whoever answers the
    /// request from now on resets it. Nothing follows them if `end`.
    pub fn response_started(&mut self, context: ContextId, end: bool) {
        self.live.response_started(context);
        self.audit.response_started(&self.plugin, context, end);
    }

    /// The last part of the body of a response is there.
    pub fn response_ended(&mut self, context: ContextId) {
        self.audit.response_ended(context);
    }

    /// The trailers of a response are there.
    pub fn response_trailers(&mut self, context: ContextId) {
        self.audit.response_trailers(&self.plugin, context);
    }

    pub(super) fn trail(&mut self) -> State {
        State { on: self.audit.is_on(), room: self.audit.room(&self.plugin) }
    }

    /// Decides the current request.
    pub(super) fn handle(&mut self, unknown: Unknown) -> (Handled, Noted) {
        let trail = self.trail();
        let trail = trail.of(&self.instance_name);
        request::handle(&self.plugin, &mut self.worker, trail, unknown)
    }

    /// Records what was done with a request.
    pub(super) fn record(
        &mut self,
        context: ContextId,
        handled: &Handled,
        noted: Noted,
        has_body: bool,
    ) {
        let Noted { when, decision } = noted;
        match handled {
            Handled::Allowed(..) | Handled::Passed => {
                self.audit.went_on(context, when, decision, has_body);
            }
            Handled::Denied(_) => self.audit.denied(when.unix_nanos, decision),
            // It has not been decided.
            Handled::Unknown(_) => {}
        }
    }

    /// Condemns what the news may concern, and records that they count from here on.
    pub(super) fn take_news(&mut self) {
        let news = self.worker.take_news();
        let touched = cut::condemn(&mut self.live, self.worker.known(), &news);
        let Some(position) = self.worker.position().filter(|_| news.may_stop()) else { return };
        if !self.audit.is_on() {
            return;
        }
        let unseen = touched.len().saturating_sub(MAX_LOOKED_AT);
        let (plugin, worker, live) = (&self.plugin, &mut self.worker, &self.live);
        let concerned: Vec<_> = touched
            .into_iter()
            .take(MAX_LOOKED_AT)
            .filter_map(|context| Some((context, cut::ending(plugin, worker, live, context)?)))
            .collect();
        let unseen = u64::try_from(unseen).unwrap_or(u64::MAX);
        self.audit.applied(plugin, position, &concerned, unseen);
    }

    /// Ends as many of the condemned requests as one callback may: how many that were.
    pub(super) fn end_condemned(&mut self) -> usize {
        let ended = cut::cut(&self.plugin, &mut self.worker, &mut self.live);
        let by = self.worker.position().unwrap_or_default();
        for context in &ended {
            self.audit.cut(*context, by);
        }
        ended.len()
    }

    /// Has what waits sent, if it is time to, in a callback that holds up no request: the
    /// next wake of this VM, where it can wake itself.
    pub(super) fn report_soon(&mut self) {
        if self.woken || !self.audit.is_due(false) {
            return;
        }
        match self.identity {
            Some(me) if self.plugin.config.transport != Transport::Http => {
                self.woken = true;
                self.plugin.enqueue(me.queue, WAKE);
            }
            _ => self.report(false),
        }
    }

    /// Sends what waits, if it is time to.
    pub(super) fn report(&mut self, tick: bool) {
        self.woken = false;
        if self.audit.is_due(tick) {
            let sender = self.sender();
            self.audit.send_due(&self.plugin, &sender, tick);
        }
    }

    /// Takes the response to a call, if it was that of a batch.
    pub(super) fn audit_answered(&mut self, call: CallId, response: Option<&HttpResponse>) -> bool {
        if !self.audit.awaits(call) {
            return false;
        }
        let sender = self.sender();
        let verifier = self.worker.verifier();
        self.audit.answered(&self.plugin, verifier, &sender, call, response);
        self.say_finished();
        true
    }

    /// Nothing more is recorded. True if there is nothing to wait for.
    pub(super) fn close_trail(&mut self, slot: Option<u32>) -> bool {
        let sender = Sender { slot, ..self.sender() };
        self.closing = true;
        let closed = self.audit.close(&self.plugin, &sender);
        self.audit.flush(&self.plugin);
        self.finished |= closed;
        closed
    }

    /// Tells the proxy, once, that this plugin can go.
    pub(super) fn say_finished(&mut self) {
        if self.closing && !self.finished && self.audit.is_closed() {
            self.finished = true;
            self.audit.flush(&self.plugin);
            self.plugin.host.finished();
        }
    }

    fn sender(&self) -> Sender {
        Sender {
            instance: self.instance,
            slot: self.slot.number(),
            clock_ahead_millis: self.worker.clock_ahead_millis(&self.plugin),
        }
    }
}
