//! A proxy, its VMs, and the control plane that they follow, with the network
//! between them in the hands of the test.

use std::collections::VecDeque;

use kya_core::wire::{self, change::Change as Wire, proxy_message::Message, update::Body};
use kya_core::{OpaqueToken, Position};
use prost::Message as _;

use super::{ControlPlane, Exchange, HttpCall, Proxy, TestVm, config, sealed, token};
use crate::cache::Cache;
use crate::cache::records::Head;
use crate::config::Config;
use crate::host::{ContextId, Host as _, StreamEnd, StreamId};
use crate::vm::TICK_MILLIS;

/// What the network does with what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// It arrives, and the answer comes back.
    Up,
    /// The connection fails.
    Down,
    /// Nothing arrives, and nobody is told. What the proxy says is kept for the
    /// test, which may answer.
    Held,
}

/// Rounds of messages that one event may cause.
const ROUNDS: usize = 200;
/// Ticks between two heartbeats.
const HEARTBEAT_TICKS: u64 = 4;

/// A proxy and the control plane that it follows.
pub(crate) struct World {
    pub(crate) proxy: Proxy,
    pub(crate) config: Config,
    /// The main thread's VM, then the workers'.
    pub(crate) vms: Vec<TestVm>,
    pub(crate) plane: ControlPlane,
    pub(crate) streams: Link,
    pub(crate) calls: Link,
    /// What was said on streams while they were held.
    pub(crate) said: VecDeque<(StreamId, Message)>,
    /// The calls that were made while they were held, and by which VM.
    pub(crate) called: VecDeque<(usize, HttpCall)>,
    /// What has become of the requests that the filter ended, and at which VM.
    pub(crate) finished: Vec<(usize, ContextId, Exchange)>,
    /// Chunks that the control plane has sent.
    pub(crate) chunks_sent: usize,
    /// Manifests that it has sent.
    pub(crate) manifests_sent: usize,
    /// Calls that were made, by path.
    pub(crate) calls_made: Vec<String>,
    greeted: Vec<StreamId>,
    ticks: u64,
}

impl World {
    /// The usual configuration; `workers` beside the main thread's VM. Nothing has
    /// happened yet.
    pub(crate) fn new(workers: usize) -> Self {
        Self::configured(workers, config())
    }

    /// `workers` beside the main thread's VM, which Envoy makes after a canary.
    pub(crate) fn configured(workers: usize, config: Config) -> Self {
        let proxy = Proxy::new();
        drop(TestVm::with(&proxy, config.clone()));
        let vms = (0..=workers).map(|_| TestVm::with(&proxy, config.clone())).collect();
        Self {
            proxy,
            config,
            vms,
            plane: ControlPlane::new(),
            streams: Link::Up,
            calls: Link::Up,
            said: VecDeque::new(),
            called: VecDeque::new(),
            finished: Vec::new(),
            chunks_sent: 0,
            manifests_sent: 0,
            calls_made: Vec::new(),
            greeted: Vec::new(),
            ticks: 0,
        }
    }

    /// One that has loaded the state of the control plane.
    pub(crate) fn synced(workers: usize) -> Self {
        Self::synced_as(workers, config())
    }

    pub(crate) fn synced_as(workers: usize, config: Config) -> Self {
        let mut world = Self::configured(workers, config);
        world.sync();
        world
    }

    /// Time passes until every worker is where the control plane is.
    #[track_caller]
    pub(crate) fn sync(&mut self) {
        for _ in 0..60 {
            self.tick();
            if self.is_synced() {
                return;
            }
        }
        panic!("not synced after 15 seconds: {:?}", self.positions());
    }

    /// Whether all workers decide by the newest position, and it is fresh.
    pub(crate) fn is_synced(&self) -> bool {
        let newest = self.plane.position;
        self.vms[1..].iter().all(|vm| {
            vm.vm.worker().authority().position() == Some(newest)
                && vm.vm.worker().state_age(vm.vm.plugin()) < 2_000
        })
    }

    /// By what each VM decides.
    pub(crate) fn positions(&self) -> Vec<Option<Position>> {
        self.vms.iter().map(|vm| vm.vm.worker().authority().position()).collect()
    }

    /// A quarter of a second passes, and every VM is ticked.
    pub(crate) fn tick(&mut self) {
        self.tick_from(0);
    }

    /// The same, but the VMs before this one stand still.
    pub(crate) fn tick_from(&mut self, first: usize) {
        self.pass_tick();
        for index in first..self.vms.len() {
            self.vms[index].vm.tick();
            self.settle(index);
        }
        self.exchange();
    }

    /// A quarter of a second passes, and no VM is ticked.
    pub(crate) fn pass_tick(&mut self) {
        self.proxy.advance_nanos(u64::from(TICK_MILLIS) * 1_000_000);
        self.plane.unix_millis += u64::from(TICK_MILLIS);
        self.ticks += 1;
        if self.ticks.is_multiple_of(HEARTBEAT_TICKS) {
            let heartbeat = self.plane.heartbeat(b"");
            self.push(&heartbeat);
        }
    }

    /// So many seconds pass.
    pub(crate) fn pass(&mut self, seconds: u32) {
        (0..seconds * 1_000 / TICK_MILLIS).for_each(|_| self.tick());
    }

    /// The control plane commits changes and pushes them.
    pub(crate) fn commit(&mut self, records: impl IntoIterator<Item = Wire>) {
        let delta = self.plane.commit(records);
        self.push(&delta);
        self.exchange();
    }

    /// The control plane sends this on every stream.
    pub(crate) fn push(&mut self, signed: &wire::SignedUpdate) {
        if self.streams == Link::Up {
            for id in self.greeted.clone() {
                self.send(id, &sealed(signed.clone()));
            }
        }
    }

    /// A message arrives on a stream, whatever the network is like.
    pub(crate) fn send(&mut self, id: StreamId, message: &wire::ControlMessage) {
        self.send_bytes(id, &message.encode_to_vec());
    }

    pub(crate) fn send_bytes(&mut self, id: StreamId, bytes: &[u8]) {
        if let Some(index) = self.owner_of(id) {
            self.vms[index].vm.stream_message(id, bytes);
            self.settle(index);
        }
    }

    /// A message arrives on a stream, and the test does what Envoy does after
    /// that. Which VM it arrived at.
    pub(crate) fn send_raw(
        &mut self,
        id: StreamId,
        message: &wire::ControlMessage,
    ) -> Option<usize> {
        let index = self.owner_of(id)?;
        self.vms[index].vm.stream_message(id, &message.encode_to_vec());
        Some(index)
    }

    fn owner_of(&self, id: StreamId) -> Option<usize> {
        let owner = self.proxy.owner_of(id)?;
        self.vms.iter().position(|vm| vm.host.vm() == owner)
    }

    /// What the proxy has said on its streams.
    pub(crate) fn take_said(&self) -> Vec<(StreamId, Message)> {
        self.proxy.take_all_sent()
    }

    /// The calls that it has made, and by which VM.
    pub(crate) fn take_called(&self) -> Vec<(usize, HttpCall)> {
        let calls = |(index, vm): (usize, &TestVm)| {
            vm.take_http_calls().into_iter().map(move |call| (index, call))
        };
        self.vms.iter().enumerate().flat_map(calls).collect()
    }

    /// Messages go back and forth until nobody has anything to say.
    #[track_caller]
    pub(crate) fn exchange(&mut self) {
        for _ in 0..ROUNDS {
            let busy = [self.run_queues(), self.run_streams(), self.run_calls()];
            if !busy.contains(&true) {
                return;
            }
        }
        panic!("they talk without end");
    }

    /// Wakes every VM that has something in its queue.
    pub(crate) fn run_queues(&mut self) -> bool {
        let mut busy = false;
        for index in 0..self.vms.len() {
            if self.vms[index].host.has_mail() {
                busy = true;
                self.vms[index].vm.queue_ready();
                self.settle(index);
            }
        }
        busy
    }

    fn run_streams(&mut self) -> bool {
        let said = self.proxy.take_all_sent();
        let busy = !said.is_empty();
        for (id, message) in said {
            match self.streams {
                Link::Up => self.answer(id, &message),
                Link::Held => self.said.push_back((id, message)),
                Link::Down => self.break_streams(),
            }
        }
        busy
    }

    /// The control plane answers what was said on a stream.
    pub(crate) fn answer(&mut self, id: StreamId, message: &Message) {
        if matches!(message, Message::Hello(_)) {
            self.greeted.push(id);
        }
        for answer in self.plane.answer(message) {
            self.count(&answer);
            self.send(id, &answer);
        }
    }

    /// The test has answered the greeting of this stream itself: from now on the
    /// control plane sends its news there.
    pub(crate) fn greet(&mut self, id: StreamId) {
        self.greeted.push(id);
    }

    fn run_calls(&mut self) -> bool {
        let mut busy = false;
        for index in 0..self.vms.len() {
            for call in self.vms[index].take_http_calls() {
                busy = true;
                self.calls_made.push(call.headers[":path"].clone());
                match self.calls {
                    Link::Up => self.respond(index, &call),
                    Link::Down => self.vms[index].fail_http(call.id),
                    Link::Held => self.called.push_back((index, call)),
                }
                self.settle(index);
            }
        }
        busy
    }

    /// The control plane answers a call.
    pub(crate) fn respond(&mut self, vm: usize, call: &HttpCall) {
        let body = self.plane.respond(&call.headers[":path"], &call.body);
        if let Ok(response) = wire::PullResponse::decode(body.as_slice()) {
            response.messages.iter().for_each(|message| self.count(message));
        }
        self.vms[vm].answer_http(call.id, 200, &body);
        self.settle(vm);
    }

    fn count(&mut self, message: &wire::ControlMessage) {
        use wire::control_message::Message as Control;
        match &message.message {
            Some(Control::Chunks(chunks)) => self.chunks_sent += chunks.chunks.len(),
            Some(Control::Signed(signed)) => {
                let update = wire::Update::decode(signed.payload.as_slice()).unwrap();
                if matches!(update.body, Some(Body::Manifest(_))) {
                    self.manifests_sent += 1;
                }
            }
            None => {}
        }
    }

    /// Every stream breaks.
    pub(crate) fn break_streams(&mut self) {
        self.greeted.clear();
        for (id, owner) in self.proxy.end_streams() {
            if let Some(index) = self.vms.iter().position(|vm| vm.host.vm() == owner) {
                let end = StreamEnd { status: 14, message: String::new() };
                self.vms[index].vm.stream_closed(id, &end);
                self.settle(index);
            }
        }
    }

    /// A VM crashes and is replaced.
    pub(crate) fn replace(&mut self, index: usize) {
        self.vms[index] = TestVm::with(&self.proxy, self.config.clone());
    }

    /// What Envoy does after each callback.
    fn settle(&mut self, index: usize) {
        let finished = self.vms[index].settle();
        self.finished.extend(finished.into_iter().map(|(context, it)| (index, context, it)));
    }

    /// Every worker's answer to a request with token `n`.
    pub(crate) fn statuses(&mut self, n: u8) -> Vec<u32> {
        self.statuses_with(&token(n))
    }

    pub(crate) fn statuses_with(&mut self, token: &OpaqueToken) -> Vec<u32> {
        self.vms[1..].iter_mut().map(|vm| vm.status_with(token)).collect()
    }

    /// The head of the cache.
    pub(crate) fn head(&self) -> Option<Head> {
        self.cache().head(&self.proxy.host()).unwrap()
    }

    pub(crate) fn cache(&self) -> Cache {
        Cache::new(&self.config.namespace())
    }

    /// A key of the cache.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.config.namespace())
    }

    /// How many updates were refused for this cause.
    pub(crate) fn rejected(&self, cause: &str) -> u64 {
        self.proxy.metric(&format!("kya.update.rejected.{cause}"))
    }

    /// The wall clock of the proxy, in seconds.
    pub(crate) fn wall_seconds(&self) -> u64 {
        self.proxy.host().now_nanos() / 1_000_000_000
    }
}
