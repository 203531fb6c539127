//! One VM: its roles, and what it does when the proxy calls.

use kya_core::Verifier;

use crate::boot;
use crate::cache::Cache;
use crate::config::Config;
use crate::host::{CallId, ContextId, Host, HttpResponse, LogLevel, Refused, StreamEnd, StreamId};
use crate::leader::Leader;
use crate::lease::{self, Identity};
use crate::metrics::Metrics;
use crate::request::{self, Flow};
use crate::roster::WAKE;
use crate::worker::Worker;

/// Version of the filter, as it is announced and logged.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How often the proxy ticks every VM, in milliseconds.
pub const TICK_MILLIS: u32 = 250;
/// Slots are renewed every so many ticks (one second).
const RENEW_TICKS: u32 = 4;
/// Expired tokens are swept every so many ticks (one minute).
const SWEEP_TICKS: u32 = 240;
/// A VM that is not the main thread's leaves the lead to that one for so many
/// ticks (two seconds).
const PATIENCE_TICKS: u32 = 8;
/// Most messages taken from the queue at one wake.
const MAX_DRAIN: usize = 1024;

/// What the roles of a VM work with.
#[derive(Debug)]
pub struct Plugin<H> {
    /// The proxy.
    pub host: H,
    /// What the operator said.
    pub config: Config,
    /// What the VMs share.
    pub cache: Cache,
    /// The pinned keys.
    pub verifier: Verifier,
    /// The counters.
    pub metrics: Metrics,
}

/// One VM of the filter under one plugin configuration.
#[derive(Debug)]
pub struct Vm<H> {
    plugin: Plugin<H>,
    /// Random, new for every VM.
    instance: u64,
    /// Whether this seems to be the main thread's VM.
    main: bool,
    identity: Option<Identity>,
    leader: Option<Leader>,
    worker: Worker,
    serves: bool,
    ticks: u32,
}

impl<H: Host> Vm<H> {
    /// A VM at its configuration. Nothing is claimed yet: Envoy also configures
    /// a canary that it throws away.
    pub fn new(host: H, config: Config) -> Result<Self, Refused> {
        let plugin = Plugin {
            cache: Cache::new(&config.namespace()),
            verifier: Verifier::new(config.update_keys.iter().copied()),
            metrics: Metrics::define(&host),
            host,
            config,
        };
        let mut random = [0; 8];
        plugin.host.random(&mut random)?;
        let instance = u64::from_le_bytes(random);
        let main = boot::note(&plugin.host, &plugin.cache, instance);
        Ok(Self {
            plugin,
            instance,
            main,
            identity: None,
            leader: None,
            worker: Worker::default(),
            serves: false,
            ticks: 0,
        })
    }

    /// The regular call: elect, catch up, keep the slot, mind the stream.
    pub fn tick(&mut self) {
        let Some(me) = self.identity() else { return };
        self.elect(me);
        if self.works() {
            let moved = self.worker.sync(&self.plugin, true);
            let due = self.ticks.is_multiple_of(RENEW_TICKS);
            if self.ticks.is_multiple_of(SWEEP_TICKS) {
                self.worker.sweep(&self.plugin);
            }
            if moved || due || self.worker.slot().is_none() {
                self.publish_word(me);
            }
        } else {
            self.worker.release_slot(&self.plugin, me);
        }
        if let Some(leader) = &mut self.leader {
            leader.tick(&self.plugin);
        }
        self.ticks = self.ticks.wrapping_add(1);
    }

    /// Something is in this VM's queue: a wake for a worker, or the numbers of
    /// slots that have news for the leader.
    pub fn queue_ready(&mut self) {
        let Some(me) = self.identity else { return };
        let mut slots = Vec::new();
        for _ in 0..MAX_DRAIN {
            let Ok(Some(message)) = self.plugin.host.dequeue(me.queue) else { break };
            if message != WAKE
                && let Ok(number) = message.try_into()
            {
                slots.push(u32::from_le_bytes(number));
            }
        }
        self.catch_up();
        slots.sort_unstable();
        slots.dedup();
        if let Some(leader) = &mut self.leader {
            leader.report(&self.plugin, &slots);
        }
    }

    /// A message arrived on a stream of this VM.
    pub fn stream_message(&mut self, id: StreamId, bytes: &[u8]) {
        let moved =
            self.leader.as_mut().is_some_and(|leader| leader.message(&self.plugin, id, bytes));
        if moved {
            self.catch_up();
        }
    }

    /// A stream of this VM ended.
    pub fn stream_closed(&mut self, id: StreamId, end: &StreamEnd) {
        if let Some(leader) = &mut self.leader {
            leader.closed(&self.plugin, id, end);
        }
    }

    /// The headers of a request are there.
    pub fn request(&mut self, _context: ContextId) -> Flow {
        self.serves = true;
        self.catch_up();
        request::handle(&self.plugin, self.worker.authority())
    }

    /// The headers of the response to a request are there: whoever answers the
    /// request from now on resets it.
    pub fn response_started(&mut self, _context: ContextId) {}

    /// A request is over: it must not be touched any more.
    pub fn request_ended(&mut self, _context: ContextId) {}

    /// An HTTP call of this VM was answered, or failed.
    pub fn http_response(&mut self, _call: CallId, _response: Option<HttpResponse>) {}

    /// The plugin goes away, for example because its listener was replaced:
    /// whoever comes next need not wait for leases to run out.
    pub fn stop(&mut self) {
        let Some(me) = self.identity else { return };
        if let Some(mut leader) = self.leader.take() {
            leader.stop(&self.plugin);
            lease::resign(&self.plugin.host, &self.plugin.cache, me);
        }
        self.worker.release_slot(&self.plugin, me);
    }

    /// Applies what is new in the cache, and says so.
    fn catch_up(&mut self) {
        if self.works()
            && self.worker.sync(&self.plugin, false)
            && let Some(me) = self.identity
        {
            self.publish_word(me);
        }
    }

    /// Every VM may be asked to serve, except the main thread's.
    fn works(&self) -> bool {
        !self.main || self.serves
    }

    fn elect(&mut self, me: Identity) {
        let (host, cache) = (&self.plugin.host, &self.plugin.cache);
        let preferred = self.main && !self.serves;
        let leads = lease::stand(host, cache, me, preferred, self.ticks >= PATIENCE_TICKS);
        match (&mut self.leader, leads) {
            (None, true) => {
                if let Err(refused) = self.plugin.cache.prepare_slots(&self.plugin.host) {
                    self.plugin.host.log(LogLevel::Warn, &format!("worker slots: {refused}"));
                }
                // What this VM verified itself is the oldest it will accept.
                self.worker.sync(&self.plugin, true);
                self.leader = Some(Leader::new(me, self.worker.position()));
            }
            (Some(leader), false) => {
                leader.stop(&self.plugin);
                self.leader = None;
            }
            _ => {}
        }
    }

    fn publish_word(&mut self, me: Identity) {
        let Some(slot) = self.worker.keep_slot(&self.plugin, me) else { return };
        if let Ok(Some((Some(lease), _))) = self.plugin.cache.lease(&self.plugin.host) {
            // A lost note is made up for by the leader's next tick.
            let _ = self.plugin.host.enqueue(lease.queue, &slot.to_le_bytes());
        }
    }

    fn identity(&mut self) -> Option<Identity> {
        if self.identity.is_none() {
            let name = self.plugin.cache.queue_name(self.instance);
            match self.plugin.host.register_queue(&name) {
                Ok(queue) => self.identity = Some(Identity { instance: self.instance, queue }),
                Err(refused) => self
                    .plugin
                    .host
                    .log(LogLevel::Error, &format!("the proxy gives no queue: {refused}")),
            }
        }
        self.identity
    }
}

#[cfg(test)]
#[path = "vm_tests.rs"]
pub(crate) mod tests;
