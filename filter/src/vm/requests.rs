//! The requests of a VM, from their headers to their end.

use super::{Flow, Vm};
use crate::clock;
use crate::host::{ContextId, Host};
use crate::request::{self, Handled, Noted, Unknown};

impl<H: Host> Vm<H> {
    /// The headers of a request are there, and there is no body if `end`.
    pub fn request(&mut self, context: ContextId, end: bool) -> Flow {
        self.catch_up();
        self.held.remove(&context);
        let flow = match self.handle(Unknown::Ask) {
            (Handled::Unknown(digest), _) => {
                let now = clock::monotonic(&self.plugin.host);
                let have = self.worker.authority().position();
                if self.introspections.ask(&self.plugin, context, digest, have, now) {
                    Flow::Pause
                } else {
                    let (handled, noted) = self.handle(Unknown::Deny);
                    self.handled(context, handled, noted, !end)
                }
            }
            (handled, noted) => self.handled(context, handled, noted, !end),
        };
        if flow != Flow::Continue {
            self.held.insert(context, !end);
        }
        self.report_soon();
        flow
    }

    /// A request is over: it must not be touched any more.
    pub fn request_ended(&mut self, context: ContextId) {
        self.live.end(context);
        if !self.introspections.is_idle() {
            self.introspections.end(context);
        }
        self.undecided.retain(|waiting| *waiting != context);
        let held = self.held.remove(&context).is_some();
        self.audit.ended(&self.plugin, context, held);
        self.report_soon();
    }

    /// What a request was found to be decides how it goes on.
    pub(super) fn handled(
        &mut self,
        context: ContextId,
        handled: Handled,
        noted: Noted,
        has_body: bool,
    ) -> Flow {
        self.record(context, &handled, noted, has_body);
        match handled {
            Handled::Allowed(agent_id, subject) => {
                let others = self.worker.known().behind(agent_id, subject.bearer.held());
                if !self.live.begin_for(context, agent_id, others, subject) {
                    self.plugin.metrics.untracked(&self.plugin.host);
                }
                Flow::Continue
            }
            Handled::Passed => Flow::Continue,
            Handled::Denied(reason) => {
                if reason == kya_core::DenyReason::TokenUnknown {
                    self.hurry.ask(&self.plugin);
                }
                Flow::Stop
            }
            // Nobody asks twice: it waits, and ends with its connection.
            Handled::Unknown(_) => Flow::Stop,
        }
    }

    /// Decides a request that waited.
    pub(super) fn decide_again(&mut self, context: ContextId) {
        let trail = self.trail();
        let (plugin, worker) = (&self.plugin, &mut self.worker);
        let trail = trail.of(&self.instance_name);
        let handled = plugin
            .host
            .within(context, || Ok(request::handle(plugin, worker, trail, Unknown::Deny)));
        // It is over if the proxy will not speak of it.
        let Ok((handled, noted)) = handled else { return };
        let has_body = self.held.get(&context).copied().unwrap_or(true);
        if self.handled(context, handled, noted, has_body) == Flow::Continue {
            // The proxy may go on with it before it returns.
            self.held.remove(&context);
            if self.plugin.host.resume(context).is_err() {
                self.live.end(context);
            }
        }
    }
}
