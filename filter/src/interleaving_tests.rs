//! Whatever the order, loss and repetition of what happens in one proxy:
//! nothing that was revoked is allowed again, and all comes right in the end.

use std::collections::{BTreeMap, VecDeque};

use kya_core::wire::{self, AgentStatus, change::Change, proxy_message::Message};
use proptest::prelude::*;

use crate::host::{StreamEnd, StreamId};
use crate::testing::{self, Proxy, TestVm, agent, signed, signer, tokens};
use crate::vm::TICK_MILLIS;

const WORKERS: usize = 3;
const EPOCH: u64 = 1;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Something is committed that does not concern agent 1.
    Commit,
    /// Agent 1 is revoked.
    Revoke,
    /// The oldest message on one of the streams arrives.
    Deliver(usize),
    /// It arrives, and will again.
    Repeat(usize),
    /// It is lost.
    Lose(usize),
    /// Every stream breaks.
    Break,
    /// Time passes, and every VM is ticked.
    Tick,
    /// The main thread stands still for three seconds.
    Stall,
    /// A worker is woken.
    Wake(usize),
    /// A worker's VM crashes and is replaced.
    Replace(usize),
    /// Agent 1 sends a request to a worker.
    Ask(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 1..=WORKERS;
    // Which of the streams that have something under way: there are rarely more.
    let stream = 0..2usize;
    prop_oneof![
        3 => Just(Step::Commit),
        1 => Just(Step::Revoke),
        8 => stream.clone().prop_map(Step::Deliver),
        1 => stream.clone().prop_map(Step::Repeat),
        1 => stream.prop_map(Step::Lose),
        1 => Just(Step::Break),
        6 => Just(Step::Tick),
        2 => Just(Step::Stall),
        3 => worker.clone().prop_map(Step::Wake),
        1 => worker.clone().prop_map(Step::Replace),
        8 => worker.prop_map(Step::Ask),
    ]
}

/// A proxy and the control plane that it follows.
struct World {
    proxy: Proxy,
    /// The main thread's VM, then the workers'.
    vms: Vec<TestVm>,
    revision: u64,
    revoked_at: Option<u64>,
    /// Streams that were greeted, and messages on their way.
    greeted: Vec<StreamId>,
    on_its_way: BTreeMap<u32, VecDeque<Vec<u8>>>,
    /// Newest revision that was ever announced in the cache.
    announced: u64,
}

impl World {
    fn new() -> Self {
        let proxy = Proxy::new();
        drop(TestVm::new(&proxy));
        let vms = (0..=WORKERS).map(|_| TestVm::new(&proxy)).collect();
        Self {
            proxy,
            vms,
            revision: 5,
            revoked_at: None,
            greeted: Vec::new(),
            on_its_way: Default::default(),
            announced: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Commit => self.commit(agent(2, AgentStatus::Active)),
            Step::Revoke => {
                self.commit(agent(1, AgentStatus::Revoked));
                self.revoked_at.get_or_insert(self.revision);
            }
            Step::Deliver(stream) => self.deliver(stream, false),
            Step::Repeat(stream) => self.deliver(stream, true),
            Step::Lose(stream) => drop(self.arriving(stream)),
            Step::Break => {
                for id in std::mem::take(&mut self.greeted) {
                    let end = StreamEnd { status: 14, message: String::new() };
                    self.vms.iter_mut().for_each(|vm| vm.vm.stream_closed(id, &end));
                }
            }
            Step::Tick => self.tick(0),
            Step::Stall => (0..12).for_each(|_| self.tick(1)),
            Step::Wake(worker) => self.vms[worker].vm.queue_ready(),
            Step::Replace(worker) => self.vms[worker] = TestVm::new(&self.proxy),
            Step::Ask(worker) => {
                let status = self.vms[worker].status_of(1);
                let known = self.revoked_at.is_some_and(|revoked| revoked <= self.announced);
                assert!(!(known && status == 200), "worker {worker} allows what was revoked");
            }
        }
        self.listen();
    }

    fn tick(&mut self, first: usize) {
        self.proxy.advance_nanos(u64::from(TICK_MILLIS) * 1_000_000);
        self.vms[first..].iter_mut().for_each(|vm| vm.vm.tick());
        self.listen();
    }

    fn commit(&mut self, record: wire::Agent) {
        self.revision += 1;
        let changes = vec![wire::Change { change: Some(Change::Agent(record)) }];
        let body = wire::update::Body::Delta(wire::Delta { changes });
        let update = signed(&signer(), EPOCH, self.revision, body);
        for id in &self.greeted {
            self.on_its_way.entry(id.0).or_default().push_back(update.clone());
        }
    }

    /// Takes the oldest message of the `nth` stream that has any under way.
    fn arriving(&mut self, nth: usize) -> Option<(StreamId, Vec<u8>)> {
        self.on_its_way.retain(|_, messages| !messages.is_empty());
        let nth = nth % self.on_its_way.len().max(1);
        let (id, messages) = self.on_its_way.iter_mut().nth(nth)?;
        Some((StreamId(*id), messages.pop_front()?))
    }

    fn deliver(&mut self, nth: usize, again: bool) {
        let Some((id, bytes)) = self.arriving(nth) else { return };
        self.vms.iter_mut().for_each(|vm| vm.vm.stream_message(id, &bytes));
        if again {
            self.on_its_way.entry(id.0).or_default().push_back(bytes);
        }
    }

    /// The control plane answers what the proxy has said meanwhile.
    fn listen(&mut self) {
        if let Ok(Some(head)) = self.head() {
            self.announced = self.announced.max(head);
        }
        for (id, message) in self.proxy.take_all_sent() {
            let nonce = match message {
                Message::Hello(hello) => {
                    self.greeted.push(id);
                    hello.nonce
                }
                Message::Resync(resync) => resync.nonce,
                Message::Workers(_) => continue,
            };
            let first = match self.revoked_at {
                Some(_) => AgentStatus::Revoked,
                None => AgentStatus::Active,
            };
            let agents = vec![agent(1, first), agent(2, AgentStatus::Active)];
            let body = wire::Snapshot { nonce, agents, tokens: tokens() };
            let body = wire::update::Body::Snapshot(body);
            let snapshot = signed(&signer(), EPOCH, self.revision, body);
            self.on_its_way.entry(id.0).or_default().push_back(snapshot);
        }
    }

    fn head(&self) -> Result<Option<u64>, crate::cache::Unreadable> {
        let namespace = testing::config().namespace();
        let head = crate::cache::Cache::new(&namespace).head(&self.proxy.host())?;
        Ok(head.map(|head| head.position.revision.0))
    }

    /// Nothing goes wrong any more, for 15 seconds. A message that was lost
    /// shows when the next one comes, so there is one.
    fn settle(&mut self) {
        self.take(Step::Commit);
        for _ in 0..60 {
            self.tick(0);
            while self.on_its_way.values().any(|messages| !messages.is_empty()) {
                self.deliver(0, false);
                self.listen();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_revoked_is_allowed_again_and_all_comes_right_in_the_end(
        steps in prop::collection::vec(step(), 1..160),
    ) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.take(step));
        world.settle();
        prop_assert_eq!(world.head(), Ok(Some(world.revision)));
        let expected = if world.revoked_at.is_some() { 403 } else { 200 };
        for worker in 1..=WORKERS {
            prop_assert_eq!(world.vms[worker].status_of(1), expected);
            prop_assert_eq!(world.vms[worker].status_of(2), 200);
        }
    }
}
