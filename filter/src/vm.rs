//! One VM: its roles, and what it does when the proxy calls.

mod requests;
mod trail;
mod word;

use std::collections::{BTreeMap, VecDeque};

use kya_core::{Position, Verifier};

use crate::audit::Audit;
use crate::cache::Cache;
use crate::clock;
use crate::config::Config;
use crate::host::{
    CallId, ContextId, Host, HttpResponse, LogLevel, MAX_AT_ONCE, Refused, StreamEnd, StreamId,
};
use crate::lead::Leader;
use crate::lead::lease::{self, Identity, Stands};
use crate::lead::roster::WAKE;
use crate::metrics::Metrics;
use crate::plugin::Plugin;
pub use crate::request::Flow;
use crate::role::{self, Role};
use crate::work::cut::Live;
use crate::work::hurry::{HURRY, Hurry};
use crate::work::introspect::Introspections;
use crate::work::{Look, SlotHolder, Worker};

/// Version of the filter, as it is announced and logged.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How often the proxy ticks every VM, in milliseconds.
pub const TICK_MILLIS: u32 = 250;
/// Slots are renewed every so many ticks (one second).
const RENEW_TICKS: u32 = 4;
/// The others leave the lead to the main thread's VM for so many ticks (2 s).
const PATIENCE_TICKS: u32 = 8;
/// Most messages taken from the queue at one wake.
const MAX_DRAIN: usize = 1024;

/// One VM of the filter under one plugin configuration.
#[derive(Debug)]
pub struct Vm<H> {
    plugin: Plugin<H>,
    /// Random, new for every VM.
    instance: u64,
    role: Role,
    identity: Option<Identity>,
    leader: Option<Leader>,
    worker: Worker,
    slot: SlotHolder,
    live: Live,
    introspections: Introspections,
    /// Requests that waited, and are to be decided again.
    undecided: VecDeque<ContextId>,
    /// Requests that the proxy holds, because they wait or were answered here, and
    /// whether they have a body.
    held: BTreeMap<ContextId, bool>,
    audit: Audit,
    /// How the trail calls this VM.
    instance_name: String,
    /// Requests that were cut since the VM began.
    cut: u64,
    /// The newest position for which everything is cut that has to be.
    enforced: Position,
    hurry: Hurry,
    /// Whether a request has come.
    serves: bool,
    ticks: u32,
    /// The plugin is over, and its last events are on their way.
    closing: bool,
    finished: bool,
    /// It has woken itself, to report.
    woken: bool,
}

impl<H: Host> Vm<H> {
    /// A VM at its configuration, with its role if an earlier one has shown it.
    /// Nothing is claimed yet: Envoy also configures a canary that it throws away.
    pub fn new(host: H, config: Config, role: Option<Role>) -> Result<Self, Refused> {
        let plugin = Plugin {
            cache: Cache::new(&config.namespace()).with_signal(&host),
            metrics: Metrics::define(&host),
            host,
            config,
        };
        let mut random = [0; 8];
        plugin.host.random(&mut random)?;
        let instance = u64::from_le_bytes(random);
        let role = role.unwrap_or_else(|| role::note(&plugin.host, &plugin.cache, instance));
        let worker = Worker::new(Verifier::new(plugin.config.update_keys.iter().copied()));
        Ok(Self {
            audit: Audit::new(&plugin),
            instance_name: format!("{instance:016x}"),
            held: BTreeMap::new(),
            plugin,
            instance,
            role,
            identity: None,
            leader: None,
            worker,
            slot: SlotHolder::default(),
            live: Live::default(),
            introspections: Introspections::default(),
            undecided: VecDeque::new(),
            cut: 0,
            enforced: Position::default(),
            hurry: Hurry::default(),
            serves: false,
            ticks: 0,
            closing: false,
            finished: false,
            woken: false,
        })
    }

    /// The regular call: elect, catch up, keep the slot, talk to the control
    /// plane.
    pub fn tick(&mut self) {
        if self.closing {
            self.report(true);
            self.say_finished();
            return;
        }
        let Some(me) = self.identity() else { return };
        self.elect(me);
        if self.role.works() {
            let moved = self.worker.sync(&self.plugin, Look::Again);
            self.worker.refresh(&self.plugin);
            self.worker.sweep(&self.plugin);
            self.live.resume();
            self.enforce();
            let due = self.ticks.is_multiple_of(RENEW_TICKS);
            let moved = self.note_enforced() || moved;
            if moved || due || self.slot.number().is_none() {
                self.publish_word(me);
            }
        } else {
            self.slot.release(&self.plugin, me);
        }
        if let Some(leader) = &mut self.leader {
            leader.tick(&self.plugin);
        }
        self.report(true);
        self.audit.flush(&self.plugin);
        self.plugin.metrics.flush(&self.plugin.host);
        self.ticks = self.ticks.wrapping_add(1);
    }

    /// Something is in this VM's queue: a wake for a worker, or what workers have
    /// to say to the leader.
    pub fn queue_ready(&mut self) {
        let Some(me) = self.identity else { return };
        let (mut slots, mut hurry) = (Vec::new(), false);
        for _ in 0..MAX_DRAIN {
            let Ok(Some(message)) = self.plugin.host.dequeue(me.queue) else { break };
            hurry |= message == HURRY;
            if message != WAKE
                && let Ok(number) = message.try_into()
            {
                slots.push(u32::from_le_bytes(number));
            }
        }
        if self.closing {
            self.report(false);
            return;
        }
        self.wake();
        slots.sort_unstable();
        slots.dedup();
        if let Some(leader) = &mut self.leader {
            leader.report(&self.plugin, &slots);
            if hurry {
                leader.hurry(&self.plugin);
            }
        }
    }

    /// A message arrived on a stream of this VM.
    pub fn stream_message(&mut self, id: StreamId, bytes: &[u8]) {
        let news = self.leader.as_mut().is_some_and(|it| it.message(&self.plugin, id, bytes));
        if news {
            self.wake();
        }
    }

    /// A stream of this VM ended.
    pub fn stream_closed(&mut self, id: StreamId, end: &StreamEnd) {
        if let Some(leader) = &mut self.leader {
            leader.closed(&self.plugin, id, end);
        }
    }

    /// A call of this VM was answered, or failed.
    pub fn http_response(&mut self, call: CallId, response: Option<HttpResponse>) {
        let response = response.as_ref();
        if self.audit_answered(call, response) {
            return;
        }
        let now = clock::monotonic(&self.plugin.host);
        let have = self.worker.authority().position();
        let (plugin, verifier) = (&self.plugin, self.worker.verifier());
        let asked = self.introspections.answered(plugin, verifier, call, response, have, now);
        if let Some(settled) = asked {
            if settled.behind {
                self.hurry.ask(&self.plugin);
            }
            self.undecided.extend(settled.requests);
            self.enforce();
            return;
        }
        let news =
            self.leader.as_mut().is_some_and(|it| it.http_response(&self.plugin, call, response));
        if news {
            self.wake();
        }
    }

    /// The plugin goes away, for example because its listener was replaced:
    /// whoever comes next need not wait for leases to run out. True if it can go at once;
    /// else it is still called, until it says itself that it has finished.
    pub fn stop(&mut self) -> bool {
        let slot = self.slot.number();
        if let Some(me) = self.identity.filter(|_| !self.closing) {
            if let Some(mut leader) = self.leader.take() {
                leader.stop(&self.plugin);
                lease::resign(&self.plugin.host, &self.plugin.cache, me);
            }
            self.slot.release(&self.plugin, me);
        }
        self.plugin.metrics.flush(&self.plugin.host);
        self.close_trail(slot)
    }

    /// Looks into the cache from outside of a request: requests in flight can be
    /// ended, and those that wait go on.
    fn wake(&mut self) {
        if self.role.works() {
            let before = (self.worker.challenge(), self.cut);
            self.worker.refresh(&self.plugin);
            let moved = self.worker.sync(&self.plugin, Look::Always);
            // A worker that says that it is there has also cut what it must.
            self.enforce();
            let moved = self.note_enforced() || moved;
            if (moved || (self.worker.challenge(), self.cut) != before)
                && let Some(me) = self.identity
            {
                self.publish_word(me);
            }
        }
    }

    /// Applies what is new in the cache before a request is decided, and says so.
    /// Whoever decides the first time is a worker, and listed before it decides: a
    /// kill is not complete without it, and its wakes cut what it lets through.
    fn catch_up(&mut self) {
        let first = !std::mem::replace(&mut self.serves, true);
        let me = if first { self.identity() } else { self.identity };
        self.role = Role::Worker;
        let moved = self.worker.sync(&self.plugin, Look::IfSignalled);
        if moved {
            // From here no other request can be ended: the next wake does, and says so.
            self.take_news();
        }
        let Some(me) = me else { return };
        if moved && self.live.condemned() > 0 {
            self.plugin.enqueue(me.queue, WAKE);
        }
        if self.note_enforced() || moved || first {
            self.publish_word(me);
        }
    }

    /// Carries out what has changed: on requests in flight, and on those that wait.
    fn enforce(&mut self) {
        self.take_news();
        let ended = self.end_condemned();
        self.cut = self.cut.saturating_add(u64::try_from(ended).unwrap_or(0));
        if !self.introspections.is_idle() {
            let now = clock::monotonic(&self.plugin.host);
            let settled = self.introspections.settle(self.worker.authority().position(), now);
            self.undecided.extend(settled.requests);
        }
        let room = MAX_AT_ONCE.saturating_sub(ended);
        for _ in 0..room {
            let Some(context) = self.undecided.pop_front() else { break };
            self.decide_again(context);
        }
        // What one callback may not end, the next one does.
        if (self.live.condemned() > 0 || !self.undecided.is_empty())
            && let Some(me) = self.identity
        {
            self.plugin.enqueue(me.queue, WAKE);
        }
        self.report(false);
    }

    /// What it seems to be, for the next configuration of the same VM.
    pub fn role(&self) -> Role {
        self.role
    }

    fn elect(&mut self, me: Identity) {
        let (host, cache) = (&self.plugin.host, &self.plugin.cache);
        let preferred = self.role.leads_best();
        let stands = lease::stand(host, cache, me, preferred, self.ticks >= PATIENCE_TICKS);
        if stands != Stands::Leads
            && let Some(mut leader) = self.leader.take()
        {
            leader.stop(&self.plugin);
        }
        if stands == Stands::Follows || self.leader.is_some() {
            return;
        }
        if let Err(refused) = self.plugin.cache.prepare_slots(&self.plugin.host) {
            self.plugin.host.log(LogLevel::Warn, &format!("worker slots: {refused}"));
        }
        // What this VM verified itself is the oldest it will accept.
        self.worker.sync(&self.plugin, Look::Again);
        let verifier = self.worker.verifier().clone();
        let floor = self.worker.position();
        self.leader = Some(Leader::new(&self.plugin, me, verifier, floor));
    }
}

#[cfg(test)]
#[path = "vm_tests/mod.rs"]
mod tests;
