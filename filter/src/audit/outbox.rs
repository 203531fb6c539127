//! How events get to the control plane: one batch at a time, sent again from the same
//! number on until a signed receipt says that it is in the trail.
//!
//! A receipt needs no nonce. It says what is in the trail, which stays true; one that is
//! played back says nothing new, and one for what was never sent is not believed.

use kya_core::audit::event::{MAX_BATCH_BYTES, MAX_EVENTS};
use kya_core::{Body, Monotonic, Verifier};

use super::encode::{Head, Writer};
use super::recorder::Recorder;
use crate::clock;
use crate::host::{CallId, Host, HttpResponse, LogLevel};
use crate::lead::call;
use crate::lead::hello::node_id;
use crate::lead::retry::Retry;
use crate::plugin::Plugin;

/// Path of the endpoint.
const PATH: &str = "/v1/enforcement/audit";
/// How long the control plane may take.
const TIMEOUT_MILLIS: u32 = 5_000;
/// So many events that were never sent go out at once, and not at the next tick.
const AT_ONCE: u64 = 512;
/// How long a VM that goes away waits for its last receipt.
const FAREWELL_MILLIS: u64 = 5_000;

/// The batches of one worker.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    open: Option<Open>,
    retry: Retry,
    failures: u32,
    /// Something was stopped: what is known of it goes out at once.
    hurried: bool,
    closing: Option<Closing>,
    node_id: String,
}

/// A batch that was sent and not answered.
#[derive(Debug)]
struct Open {
    call: CallId,
    last: bool,
}

/// Nothing more is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// What is left is on its way, until then.
    Until(Monotonic),
    /// There is nothing to wait for.
    Done,
}

/// Who reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Random identity of the VM.
    pub instance: u64,
    /// Its slot, if it has one.
    pub slot: Option<u32>,
    /// How far the proxy's wall clock is ahead of the control plane's, as far as this
    /// worker can tell.
    pub clock_ahead_millis: i64,
}

impl Outbox {
    /// The next batch is to go out without waiting for a tick.
    pub(super) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Whether a batch may go out. There is one at a time.
    pub(super) fn is_due(&self, recorder: &Recorder, tick: bool) -> bool {
        self.open.is_none() && (tick || self.hurried || recorder.unsent() >= AT_ONCE)
    }

    /// Whether this is the call of the open batch.
    pub(super) fn awaits(&self, call: CallId) -> bool {
        self.open.as_ref().is_some_and(|open| open.call == call)
    }

    /// Sends what waits, if it is time to.
    pub(super) fn send_due<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        recorder: &mut Recorder,
        sender: &Sender,
        tick: bool,
    ) {
        if !self.is_due(recorder, tick) {
            return;
        }
        let now = clock::monotonic(&plugin.host);
        if let Some(Closing::Until(end)) = self.closing {
            if now >= end {
                self.closing = Some(Closing::Done);
                return;
            }
        } else if recorder.is_empty() {
            return;
        }
        if self.retry.is_due(now) {
            self.send(plugin, recorder, sender);
        }
    }

    /// Takes the response to a call, if it was that of the open batch.
    pub(super) fn answered<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        verifier: &Verifier,
        recorder: &mut Recorder,
        sender: &Sender,
        call: CallId,
        response: Option<&HttpResponse>,
    ) {
        let Some(open) = self.open.take_if(|open| open.call == call) else { return };
        match receipt(plugin, verifier, &self.node_id, sender, response) {
            // Of a last batch without events there is nothing to acknowledge.
            Ok(next) if recorder.acknowledge(next) || (open.last && next == recorder.next()) => {
                if self.failures > 0 {
                    let line = "audit: the control plane takes what was waiting";
                    plugin.host.log(LogLevel::Info, line);
                }
                self.retry = Retry::default();
                self.failures = 0;
                if open.last && recorder.is_empty() {
                    self.closing = Some(Closing::Done);
                } else if self.closing.is_some() {
                    self.hurried = true;
                }
            }
            Ok(next) => {
                let (first, sent) = (recorder.first(), recorder.sent());
                let why =
                    format!("it has everything below {next}, but {first} to {sent} were sent");
                self.failed(plugin, recorder, &why);
            }
            Err(why) => self.failed(plugin, recorder, &why),
        }
    }

    /// Nothing more is recorded: sends what is left, and that it is the last. True if
    /// there is nothing to wait for.
    pub(super) fn close<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        recorder: &mut Recorder,
        sender: &Sender,
    ) -> bool {
        if self.closing.is_none() {
            let now = clock::monotonic(&plugin.host).0;
            let end = Monotonic(now.saturating_add(FAREWELL_MILLIS));
            // Who never had anything to report is not missed.
            let silent = recorder.next() == 1;
            self.closing = Some(if silent { Closing::Done } else { Closing::Until(end) });
            if self.open.is_none() && !silent {
                self.send(plugin, recorder, sender);
                if self.open.is_none() {
                    self.closing = Some(Closing::Done);
                }
            }
        }
        self.is_closed()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closing == Some(Closing::Done)
    }

    fn send<H: Host>(&mut self, plugin: &Plugin<H>, recorder: &mut Recorder, sender: &Sender) {
        self.hurried = false;
        if self.node_id.is_empty() {
            self.node_id = node_id(plugin);
        }
        if self.node_id.is_empty() {
            self.failed(plugin, recorder, "this proxy does not say which node it is");
            return;
        }
        let first = recorder.first();
        let mut batch = Writer::new(&Head {
            node_id: &self.node_id,
            slot: sender.slot.unwrap_or(u32::MAX),
            instance: sender.instance,
            service: plugin.config.service.as_deref().unwrap_or_default(),
            first,
            clock_ahead_millis: sender.clock_ahead_millis,
        });
        for event in recorder.events().take(MAX_EVENTS) {
            if !batch.add(event, &plugin.config.actions) {
                break;
            }
        }
        let next = first.saturating_add(batch.count());
        let last = self.closing.is_some() && next == recorder.next();
        let body = batch.finish(last);
        debug_assert!(body.len() <= MAX_BATCH_BYTES);
        match call::post(plugin, PATH, &body, TIMEOUT_MILLIS) {
            Ok(call) => {
                if first < recorder.sent() {
                    recorder.count_resent();
                }
                // Whatever becomes of the call, it may have arrived.
                recorder.sent_below(next);
                self.open = Some(Open { call, last });
            }
            Err(refused) => self.failed(plugin, recorder, &refused.to_string()),
        }
    }

    fn failed<H: Host>(&mut self, plugin: &Plugin<H>, recorder: &mut Recorder, why: &str) {
        self.failures = self.failures.saturating_add(1);
        self.retry.failed(&plugin.host);
        recorder.count_refused();
        // The first time, and then ever more rarely.
        if self.failures.is_power_of_two() {
            let line = format!(
                "audit: {} events wait, and the control plane does not take them: {why} ({} times in a row)",
                recorder.len(),
                self.failures
            );
            plugin.host.log(LogLevel::Warn, &line);
        }
    }
}

/// What a response says is in the trail, or why it says nothing.
fn receipt<H: Host>(
    plugin: &Plugin<H>,
    verifier: &Verifier,
    node_id: &str,
    sender: &Sender,
    response: Option<&HttpResponse>,
) -> Result<u64, String> {
    let body = match response {
        None => return Err("no answer".to_owned()),
        Some(HttpResponse { status: 200, body }) => body,
        Some(HttpResponse { status: 404, .. }) => {
            return Err(format!(
                "HTTP status 404: it has no {PATH}, so it is older than this filter; update it, or set `audit.mode` to `off`"
            ));
        }
        Some(HttpResponse { status, .. }) => return Err(format!("HTTP status {status}")),
    };
    let update = verifier.verify(body).map_err(|error| {
        plugin.metrics.update_rejected(&plugin.host, error.cause());
        format!("the receipt is not believed: {error}")
    })?;
    match update.body() {
        Body::AuditReceipt { node, instance, next }
            if *instance == sender.instance && node == node_id =>
        {
            Ok(*next)
        }
        Body::AuditReceipt { .. } => Err("the receipt is for another worker".to_owned()),
        _ => Err("the answer is no receipt".to_owned()),
    }
}
