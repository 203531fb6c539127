//! Whatever the order, the loss and the repetition of what happens in one proxy:
//! nothing that the newest announced state denies is allowed, and in the end every
//! worker decides as the control plane does.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kya_core::testing::sealed;
use kya_core::wire::ProxyMessage;
use kya_core::wire::proxy_message::Message as Said;
use kya_core::{OpaqueToken, testing};
use kya_host_tests::kya::{ControlPlane, Sidecar};
use kya_host_tests::{CallKey, Event, Outcome, Profile, Schedule, StreamKey};
use proptest::prelude::*;
use prost::Message;

const WORKERS: usize = 3;
/// Agents, each with a token at first.
const AGENTS: u8 = 2;
const MAX_TOKENS: usize = 6;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Something is decided about an agent, or a token.
    Suspend(u8),
    Restore(u8),
    Revoke(u8),
    Issue(u8),
    TakeBack(usize),
    /// The control plane says that it is there.
    Beat,
    /// The next message on one of the streams arrives; or arrives and will again,
    /// is lost, or overtaken by the one after it.
    Deliver(usize),
    Repeat(usize),
    Lose(usize),
    Overtake(usize),
    /// Every stream breaks.
    Break,
    /// A call is answered, or fails.
    Answer(usize),
    Fail(usize),
    /// What the proxy does next: one of the ticks, wake-ups and timeouts.
    Turn(usize),
    /// Time passes, with ticks and wake-ups in any order.
    Pass(u64),
    /// A VM crashes and is replaced.
    Replace(usize),
    /// A request with a token at a worker.
    Ask(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let agent = || 1..=AGENTS;
    let nth = || 0..4usize;
    prop_oneof![
        2 => agent().prop_map(Step::Suspend),
        2 => agent().prop_map(Step::Restore),
        1 => agent().prop_map(Step::Revoke),
        1 => agent().prop_map(Step::Issue),
        1 => nth().prop_map(Step::TakeBack),
        1 => Just(Step::Beat),
        10 => nth().prop_map(Step::Deliver),
        1 => nth().prop_map(Step::Repeat),
        1 => nth().prop_map(Step::Lose),
        1 => nth().prop_map(Step::Overtake),
        1 => Just(Step::Break),
        4 => nth().prop_map(Step::Answer),
        1 => nth().prop_map(Step::Fail),
        10 => (0..64usize).prop_map(Step::Turn),
        2 => (50..3_000u64).prop_map(Step::Pass),
        1 => (0..=WORKERS).prop_map(Step::Replace),
        10 => (0..WORKERS, 0..MAX_TOKENS).prop_map(|(worker, token)| Step::Ask(worker, token)),
    ]
}

/// What a proxy and its control plane are to each other.
struct World {
    sidecar: Sidecar,
    control: ControlPlane,
    tokens: Vec<(OpaqueToken, u8)>,
    /// By revision: which tokens are to be allowed.
    states: BTreeMap<u64, Vec<bool>>,
    agents: BTreeMap<u8, Standing>,
    taken_back: Vec<bool>,
    /// Messages on their way, by stream. An empty queue is a stream that was
    /// greeted.
    on_its_way: BTreeMap<StreamKey, VecDeque<Vec<u8>>>,
    /// The newest revision that was ever announced.
    announced: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Active,
    Suspended,
    Revoked,
}

impl World {
    fn new(profile: Profile, seed: u64) -> Self {
        let control = ControlPlane::default();
        let configuration = match profile {
            Profile::Envoy => control.configuration(),
            Profile::Nginx => control.pulling_configuration(),
        };
        let builder = Sidecar::builder(WORKERS).profile(profile).seed(seed);
        let mut sidecar = Sidecar::configured(builder, configuration.to_string()).unwrap();
        sidecar.proxy.set_schedule(Schedule::seeded(seed));
        let mut world = Self {
            sidecar,
            control,
            tokens: (1..=AGENTS).map(|n| (testing::token(n), n)).collect(),
            states: BTreeMap::new(),
            agents: (1..=AGENTS).map(|n| (n, Standing::Active)).collect(),
            taken_back: vec![false; AGENTS.into()],
            on_its_way: BTreeMap::new(),
            announced: 0,
        };
        world.note();
        world
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Suspend(n) => self.decide(n, Standing::Suspended),
            Step::Restore(n) => self.decide(n, Standing::Active),
            Step::Revoke(n) => self.decide(n, Standing::Revoked),
            Step::Issue(n) if self.tokens.len() < MAX_TOKENS => {
                let token = self.control.issue_token(n);
                self.tokens.push((token, n));
                self.taken_back.push(false);
                self.committed();
            }
            Step::Issue(_) => {}
            Step::TakeBack(nth) => {
                let nth = nth % self.tokens.len();
                self.control.revoke_token(&self.tokens[nth].0.clone());
                self.taken_back[nth] = true;
                self.committed();
            }
            Step::Beat => {
                let beat = sealed(self.control.heartbeat(b"")).encode_to_vec();
                self.on_its_way.values_mut().for_each(|queue| queue.push_back(beat.clone()));
            }
            Step::Deliver(nth) => self.deliver(nth, false),
            Step::Repeat(nth) => self.deliver(nth, true),
            Step::Lose(nth) => drop(self.arriving(nth)),
            Step::Overtake(nth) => {
                if let Some((key, first)) = self.arriving(nth) {
                    let queue = self.on_its_way.entry(key).or_default();
                    queue.insert(queue.len().min(1), first);
                }
            }
            Step::Break => {
                for stream in self.sidecar.proxy.grpc_streams() {
                    self.sidecar.proxy.close(stream.key, 14);
                }
            }
            Step::Answer(nth) => {
                if let Some((key, body)) = self.call(nth) {
                    self.sidecar.proxy.answer_call(key, 200, &[], &body);
                }
            }
            Step::Fail(nth) => {
                if let Some((key, _)) = self.call(nth) {
                    self.sidecar.proxy.fail_call(key);
                }
            }
            Step::Turn(nth) => {
                let events = self.sidecar.proxy.possible_events();
                // Wake-ups and ticks; a timeout would be seconds away.
                let soon: Vec<_> =
                    events.into_iter().filter(|it| !matches!(it, Event::Timeout(_))).collect();
                self.sidecar.proxy.happen(soon[nth % soon.len()]);
            }
            Step::Pass(millis) => self.sidecar.proxy.advance(Duration::from_millis(millis)),
            Step::Replace(nth) => {
                let vms = self.sidecar.proxy.vms();
                let vm = vms[nth % vms.len()];
                self.sidecar.proxy.crash(vm);
                self.sidecar.proxy.replace(vm).unwrap();
            }
            Step::Ask(worker, nth) => {
                let nth = nth % self.tokens.len();
                let allowed = self.status(worker, nth) == 200;
                // The worker decides by what was announced, or by something newer.
                let some = self
                    .states
                    .range(self.announced..)
                    .any(|(_, state)| state.get(nth).copied().unwrap_or_default());
                assert!(
                    !allowed || some,
                    "worker {worker} allows token {nth}, which {} denies",
                    self.announced
                );
            }
        }
        self.listen();
    }

    fn decide(&mut self, n: u8, standing: Standing) {
        // What is revoked stays so.
        if self.agents[&n] == Standing::Revoked {
            return;
        }
        self.agents.insert(n, standing);
        match standing {
            Standing::Active => self.control.restore(n),
            Standing::Suspended => self.control.suspend(n),
            Standing::Revoked => self.control.revoke(n),
        }
        self.committed();
    }

    fn committed(&mut self) {
        self.note();
        let delta = self.control.delta(self.control.revision()).unwrap();
        let delta = sealed(delta).encode_to_vec();
        self.on_its_way.values_mut().for_each(|queue| queue.push_back(delta.clone()));
    }

    /// What is to be allowed from this revision on.
    fn note(&mut self) {
        let tokens = self.tokens.iter().zip(&self.taken_back);
        let state = tokens.map(|((_, n), gone)| !gone && self.agents[n] == Standing::Active);
        self.states.insert(self.control.revision(), state.collect());
    }

    fn status(&mut self, worker: usize, nth: usize) -> u32 {
        match self.sidecar.ask(worker, &self.tokens[nth].0) {
            Outcome::Forwarded { .. } => 200,
            Outcome::LocalResponse(response) => response.status,
            other => panic!("{other:?}"),
        }
    }

    /// Takes the oldest message of the `nth` stream that has any under way.
    fn arriving(&mut self, nth: usize) -> Option<(StreamKey, Vec<u8>)> {
        let mut busy: Vec<_> = self.on_its_way.iter_mut().filter(|it| !it.1.is_empty()).collect();
        let nth = nth % busy.len().max(1);
        let (key, queue) = busy.get_mut(nth)?;
        Some((**key, queue.pop_front()?))
    }

    fn deliver(&mut self, nth: usize, again: bool) {
        let Some((key, bytes)) = self.arriving(nth) else { return };
        self.sidecar.proxy.send(key, &bytes);
        if again {
            self.on_its_way.entry(key).or_default().push_back(bytes);
        }
    }

    /// One of the open calls, and its answer as of now.
    fn call(&mut self, nth: usize) -> Option<(CallKey, Vec<u8>)> {
        let calls = self.sidecar.calls();
        let call = calls.get(nth % calls.len().max(1))?;
        let path = String::from_utf8_lossy(call.headers.get(":path").unwrap_or_default());
        Some((call.key, self.control.respond(&path, &call.body)))
    }

    /// The control plane answers what the proxy has said meanwhile; the answers
    /// are on their way.
    fn listen(&mut self) {
        self.sidecar.set_clock(&mut self.control);
        if let Some(position) = self.sidecar.announced() {
            self.announced = self.announced.max(position.revision.0);
        }
        let open: Vec<_> = self.sidecar.proxy.grpc_streams().iter().map(|it| it.key).collect();
        self.on_its_way.retain(|key, _| open.contains(key));
        for key in open {
            for bytes in self.sidecar.proxy.take_sent(key) {
                let message = ProxyMessage::decode(&*bytes).unwrap().message.unwrap();
                let answers = self.control.answer(&message);
                if matches!(message, Said::Hello(_)) {
                    self.on_its_way.insert(key, VecDeque::new());
                }
                let queue = self.on_its_way.entry(key).or_default();
                queue.extend(answers.iter().map(Message::encode_to_vec));
            }
        }
    }

    /// Nothing goes wrong any more, for 20 seconds.
    fn settle(&mut self) {
        for half in 0..40 {
            self.take(Step::Pass(500));
            if half % 2 == 0 {
                self.take(Step::Beat);
            }
            for _ in 0..1_000 {
                let busy = self.on_its_way.values().any(|queue| !queue.is_empty());
                if !busy && self.sidecar.calls().is_empty() {
                    break;
                }
                self.take(Step::Deliver(0));
                self.take(Step::Answer(0));
            }
        }
    }

    fn ends_well(mut self) {
        self.settle();
        let newest = self.control.revision();
        assert_eq!(self.announced, newest, "the log: {:#?}", self.sidecar.proxy.log());
        let expected = self.states[&newest].clone();
        for worker in 0..WORKERS {
            for (nth, allowed) in expected.iter().enumerate() {
                let status = self.status(worker, nth);
                assert_eq!(status == 200, *allowed, "worker {worker}, token {nth}: {status}");
            }
        }
    }
}

fn lives(profile: Profile, seed: u64, steps: Vec<Step>) {
    let mut world = World::new(profile, seed);
    steps.into_iter().for_each(|step| world.take(step));
    world.ends_well();
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(250))]

    #[test]
    fn in_envoy_nothing_denied_is_allowed_and_all_ends_well(
        seed: u64,
        steps in prop::collection::vec(step(), 1..150),
    ) {
        lives(Profile::Envoy, seed, steps);
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn in_nginx_nothing_denied_is_allowed_and_all_ends_well(
        seed: u64,
        steps in prop::collection::vec(step(), 1..100),
    ) {
        lives(Profile::Nginx, seed, steps);
    }
}
