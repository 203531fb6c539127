//! A proxy and its control plane, what is on its way between them, and what must
//! be true of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kya_core::wire::{self, Status, change::Change as Wire, proxy_message::Message};
use kya_core::{Decision, Position, Revision, Signer};

use super::Step;
use crate::host::{ContextId, StreamId};
use crate::request::Flow;
use crate::testing::{
    ControlPlane, HttpCall, Link, Standing, World as Driver, agent, filler, grant, held_by, sealed,
    signer, standing, token,
};

pub(super) const WORKERS: usize = 3;
/// The tokens, and the agents that hold them.
pub(super) const TOKENS: [(u8, u8); 4] = [(1, 1), (2, 2), (3, 1), (4, 2)];
/// Other tokens, so that there are several chunks.
const FILLERS: u32 = 300;

/// As many changes of keys as a cache holds, or fewer.
const MAX_ROTATIONS: u8 = 8;

/// A request that goes on.
struct Request {
    worker: usize,
    context: ContextId,
    token: u8,
}

/// A proxy and the control plane that it follows.
pub(super) struct World {
    driver: Driver,
    /// Streams that were greeted, and messages on their way.
    greeted: Vec<StreamId>,
    on_its_way: BTreeMap<u32, VecDeque<wire::ControlMessage>>,
    /// Calls on their way, with their answers.
    calls: VecDeque<(usize, HttpCall, Vec<u8>)>,
    requests: Vec<Request>,
    /// The newest position that was ever announced in the cache.
    announced: Option<Position>,
    /// The tokens that are denied at each position.
    denied: BTreeMap<Position, BTreeSet<u8>>,
    /// Those that were ever denied for good.
    forever: BTreeSet<u8>,
    /// What was decided about agents in this epoch, and whether their tokens were
    /// ended.
    agents: BTreeMap<u8, (Status, bool)>,
    /// How often the control plane has begun to sign with another key.
    rotations: u8,
}

impl World {
    pub(super) fn new() -> Self {
        let mut driver = Driver::new(WORKERS);
        (driver.streams, driver.calls) = (Link::Held, Link::Held);
        fill(&mut driver.plane);
        let mut world = Self {
            driver,
            greeted: Vec::new(),
            on_its_way: BTreeMap::new(),
            calls: VecDeque::new(),
            requests: Vec::new(),
            announced: None,
            denied: BTreeMap::new(),
            forever: BTreeSet::new(),
            agents: BTreeMap::new(),
            rotations: 0,
        };
        world.note();
        world
    }

    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Commit => self.commit(agent(9, Status::Active)),
            Step::Suspend(n) => self.decide(n, Status::Suspended, false),
            Step::Restore(n) => self.decide(n, Status::Active, false),
            Step::Revoke(n) => self.decide(n, Status::Revoked, false),
            Step::RevokeToken(n) => {
                let holder = TOKENS[usize::from(n) - 1].1;
                self.forever.insert(n);
                self.commit(Wire::Token(wire::Token { revoked: true, ..held_by(n, holder) }));
            }
            Step::Supersede(n) => self.decide(n, Status::Active, true),
            Step::Forbid(n) => {
                self.deny_for_good(n);
                self.commit(capability(n, Status::Revoked));
            }
            Step::Halt => self.commit(fleet(Status::Suspended)),
            Step::Resume => self.commit(fleet(Status::Active)),
            Step::Burst => self.burst(),
            Step::Backup => {
                let epoch = self.driver.plane.position.epoch + 1;
                self.driver.plane.restore_backup(Position { epoch, revision: Revision(5) });
                fill(&mut self.driver.plane);
                self.agents.clear();
                self.lose_streams();
                self.note();
            }
            Step::Rotate(alone) => self.rotate(alone),
            Step::Forget => self.driver.plane.forget_deltas(),
            Step::Deliver(nth) => drop(self.deliver(nth)),
            Step::Repeat(nth) => {
                if let Some((id, message)) = self.deliver(nth) {
                    self.on_its_way.entry(id.0).or_default().push_back(message);
                }
            }
            Step::Overtake(nth) => {
                if let Some((id, message)) = self.arriving(nth) {
                    self.on_its_way.entry(id.0).or_default().push_back(message);
                }
            }
            Step::Lose(nth) => drop(self.arriving(nth)),
            Step::Break => self.lose_streams(),
            Step::Respond(nth) => self.end_call(nth, true),
            Step::Fail(nth) => self.end_call(nth, false),
            Step::Tick => self.tick(0),
            Step::Stall => (0..12).for_each(|_| self.tick(1)),
            Step::Wake(vm) => self.wake(vm),
            Step::Replace(vm) => {
                self.driver.replace(vm);
                self.calls.retain(|(owner, ..)| *owner != vm);
                self.requests.retain(|request| request.worker != vm);
            }
            Step::Ask(worker, n) => {
                if let Some(context) = self.begin(worker, n) {
                    self.driver.vms[worker].end(context);
                }
            }
            Step::Begin(worker, n) => {
                if let Some(context) = self.begin(worker, n) {
                    self.requests.push(Request { worker, context, token: n });
                }
            }
            Step::Upstream(nth) => {
                if let Some(&Request { worker, context, .. }) = self.requests.get(nth) {
                    let vm = &mut self.driver.vms[worker];
                    if vm.exchange(context).standing == Standing::Forwarded {
                        vm.upstream_responds(context);
                    }
                }
            }
            Step::End(nth) => {
                if nth < self.requests.len() {
                    let Request { worker, context, .. } = self.requests.swap_remove(nth);
                    self.driver.vms[worker].end(context);
                }
            }
        }
        self.listen();
    }

    /// A request arrives; it goes on only if no state that was announced denies
    /// it.
    fn begin(&mut self, worker: usize, n: u8) -> Option<ContextId> {
        let (context, flow) = self.driver.vms[worker].begin_with(&token(n));
        if flow != Flow::Continue {
            self.driver.vms[worker].settle();
            return None;
        }
        let announced = self.announced.expect("allowed without a state");
        assert!(
            !self.denied[&announced].contains(&n),
            "worker {worker} allows token {n}, which {announced:?} denies",
        );
        Some(context)
    }

    /// What was never denied is in flight, and `after_wake` (or a tick) what this
    /// worker's state denies is not.
    fn check_in_flight(&mut self, worker: usize, after_wake: bool) {
        let ended: BTreeSet<_> =
            self.driver.vms[worker].settle().into_iter().map(|(context, _)| context).collect();
        let position = self.driver.vms[worker].vm.worker().authority().position();
        let denied = position.map(|position| &self.denied[&position]);
        self.requests.retain(|request| {
            if request.worker != worker {
                return true;
            }
            let cut = ended.contains(&request.context);
            let n = request.token;
            if after_wake && denied.is_some_and(|denied| denied.contains(&n)) {
                assert!(cut, "worker {worker} lets a request go on, denied at {position:?}");
            }
            if self.denied.values().all(|denied| !denied.contains(&n)) {
                assert!(!cut, "worker {worker} cuts a request that nothing denies");
            }
            !cut
        });
    }

    fn allows(&mut self, n: u8) -> bool {
        let seconds = self.driver.wall_seconds();
        matches!(self.driver.plane.decide(&token(n), seconds), Decision::Allow { .. })
    }

    /// Takes note of what is denied at the present position of the control plane.
    fn note(&mut self) {
        let denied = TOKENS.iter().map(|(n, _)| *n).filter(|n| !self.allows(*n)).collect();
        self.denied.insert(self.driver.plane.position, denied);
    }

    /// Something is decided about an agent, as a control plane does: what was
    /// revoked stays so, and a not-before does not go back.
    fn decide(&mut self, n: u8, status: Status, supersede: bool) {
        let (known, superseded) = self.agents.get(&n).copied().unwrap_or((Status::Active, false));
        let status = if known == Status::Revoked { known } else { status };
        let superseded = superseded || supersede;
        self.agents.insert(n, (status, superseded));
        if status == Status::Revoked || superseded {
            self.deny_for_good(n);
        }
        let issued = held_by(n, n).issued_unix_seconds;
        let not_before_unix_seconds = if superseded { issued } else { 0 };
        let status = status.into();
        let in_flight = 0;
        self.commit(standing(n, wire::Standing { status, not_before_unix_seconds, in_flight }));
    }

    fn deny_for_good(&mut self, holder: u8) {
        let held = TOKENS.iter().filter(|(_, by)| *by == holder).map(|(n, _)| *n);
        self.forever.extend(held);
    }

    fn commit(&mut self, record: Wire) {
        self.send_all(record);
        self.note();
    }

    fn burst(&mut self) {
        let denied = self.denied[&self.driver.plane.position].clone();
        for _ in 0..140 {
            self.send_all(grant(9));
            self.denied.insert(self.driver.plane.position, denied.clone());
        }
    }

    fn rotate(&mut self, alone: bool) {
        if self.rotations >= MAX_ROTATIONS {
            return;
        }
        let key = |n| if n == 0 { signer() } else { Signer::from_seed([100 + n; 32]) };
        let (last, next) = (key(self.rotations), key(self.rotations + 1));
        self.rotations += 1;
        let keys: &[&Signer] = if alone { &[&next] } else { &[&last, &next] };
        let announced = self.driver.plane.rotate(key(self.rotations), keys);
        self.push(announced);
    }

    fn send_all(&mut self, record: Wire) {
        let delta = self.driver.plane.commit([record]);
        self.push(delta);
    }

    fn push(&mut self, signed: wire::SignedUpdate) {
        for id in &self.greeted {
            self.on_its_way.entry(id.0).or_default().push_back(sealed(signed.clone()));
        }
    }

    fn tick(&mut self, first: usize) {
        self.driver.pass_tick();
        if self.driver.plane.unix_millis.is_multiple_of(1_000) {
            let heartbeat = self.driver.plane.heartbeat(b"");
            self.push(heartbeat);
        }
        for vm in first..=WORKERS {
            self.driver.vms[vm].vm.tick();
            self.check_in_flight(vm, true);
        }
        self.listen();
    }

    fn wake(&mut self, vm: usize) {
        self.driver.vms[vm].vm.queue_ready();
        // Before its first tick a VM has no queue.
        let ticked = self.driver.vms[vm].vm.is_known();
        self.check_in_flight(vm, ticked);
    }

    /// Takes the oldest message of the `nth` stream that has any under way.
    fn arriving(&mut self, nth: usize) -> Option<(StreamId, wire::ControlMessage)> {
        self.on_its_way.retain(|_, messages| !messages.is_empty());
        let nth = nth % self.on_its_way.len().max(1);
        let (id, messages) = self.on_its_way.iter_mut().nth(nth)?;
        Some((StreamId(*id), messages.pop_front()?))
    }

    fn deliver(&mut self, nth: usize) -> Option<(StreamId, wire::ControlMessage)> {
        let (id, message) = self.arriving(nth)?;
        if let Some(vm) = self.driver.send_raw(id, &message) {
            self.check_in_flight(vm, false);
        }
        Some((id, message))
    }

    fn lose_streams(&mut self) {
        self.greeted.clear();
        self.driver.break_streams();
    }

    fn end_call(&mut self, nth: usize, answered: bool) {
        let nth = nth % self.calls.len().max(1);
        let Some((vm, call, body)) = self.calls.remove(nth) else { return };
        match answered {
            true => self.driver.vms[vm].answer_http(call.id, 200, &body),
            false => self.driver.vms[vm].fail_http(call.id),
        }
        self.check_in_flight(vm, false);
    }

    /// The control plane answers what the proxy has said meanwhile, and the answer
    /// is on its way.
    fn listen(&mut self) {
        if let Some(head) = self.driver.head() {
            self.announced = self.announced.max(Some(head.position));
        }
        for (id, message) in self.driver.take_said() {
            if matches!(message, Message::Hello(_)) {
                self.greeted.push(id);
            }
            let answers = self.driver.plane.answer(&message);
            self.on_its_way.entry(id.0).or_default().extend(answers);
        }
        for (vm, call) in self.driver.take_called() {
            let body = self.driver.plane.respond(&call.headers[":path"], &call.body);
            self.calls.push_back((vm, call, body));
        }
    }

    /// Nothing goes wrong any more for 15 seconds. That all workers agree is not
    /// enough: what was lost on its way, such as a base under a new key, is asked for
    /// again only when the question has been open for five.
    pub(super) fn settle(&mut self) {
        for _ in 0..60 {
            self.tick(0);
            let mut quiet = false;
            // What is under way already, one message a round, and what it gives rise to.
            let under_way: usize = self.on_its_way.values().map(VecDeque::len).sum();
            for _ in 0..under_way + 4_000 {
                quiet = self.deliver(0).is_none() && self.calls.is_empty();
                self.end_call(0, true);
                (0..=WORKERS).for_each(|vm| self.wake(vm));
                self.listen();
                if quiet {
                    break;
                }
            }
            assert!(quiet, "they talk without end");
        }
    }

    /// Every worker decides as the control plane does, except that one may remember
    /// what was denied for good before a backup was put back. A new worker
    /// remembers nothing.
    pub(super) fn check_the_end(&mut self) {
        let newest = self.driver.plane.position;
        assert_eq!(self.driver.head().map(|head| head.position), Some(newest));
        for begun_now in [false, true] {
            for worker in 1..=WORKERS {
                if begun_now {
                    self.driver.replace(worker);
                }
                for (n, _) in TOKENS {
                    let allows = self.driver.vms[worker].status_with(&token(n)) == 200;
                    let remembers =
                        !begun_now && newest.epoch > 1 && self.forever.contains(&n) && !allows;
                    assert!(
                        allows == self.allows(n) || remembers,
                        "worker {worker} (new: {begun_now}) and token {n} at {newest:?}",
                    );
                }
            }
        }
    }
}

fn fill(plane: &mut ControlPlane) {
    plane.chunks_a_message = 3;
    plane.chunks_a_pull = 3;
    for (n, holder) in TOKENS {
        plane.record(Wire::Token(held_by(n, holder)));
    }
    (0..FILLERS).for_each(|n| plane.record(Wire::Token(filler(n))));
}

fn fleet(status: Status) -> Wire {
    let standing = wire::Standing { status: status.into(), ..Default::default() };
    Wire::Fleet(wire::Fleet { standing: Some(standing) })
}

fn capability(n: u8, status: Status) -> Wire {
    let standing = Some(wire::Standing { status: status.into(), ..Default::default() });
    let agent_id = crate::testing::agent_id(n).to_bytes().into();
    Wire::Capability(wire::Capability { agent_id, action: "pay".to_owned(), standing })
}
