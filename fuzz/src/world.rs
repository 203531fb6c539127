//! A proxy of three VMs, the control plane that it follows, and a network between
//! them that keeps everything it has ever carried.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use kya_core::NodeCredential;
use kya_core::testing::{ControlPlane, agent, signer, token};
use kya_core::wire::{self, Status, proxy_message::Message};
use kya_filter::config::Config;
use kya_filter::host::{CallId, ContextId, HttpResponse, StreamEnd, StreamId};
use kya_filter::vm::Vm;
use prost::Message as _;

pub use crate::event::Event;
use crate::proxy::{State, VmHost};

const MILLI: u64 = 1_000_000;
/// Age from which the proxy has to deny, in milliseconds.
pub const STALE: u64 = 10_000;
/// The main thread's VM, then the workers'.
const VMS: usize = 3;

/// All of it.
pub struct World {
    pub plane: ControlPlane,
    state: Rc<RefCell<State>>,
    vms: Vec<(Vm<VmHost>, VmHost)>,
    /// Every message of the control plane, as it was sent.
    carried: Vec<Vec<u8>>,
    /// For each stream, how much of what was sent on it the control plane has
    /// read, and what it has said that has not arrived.
    read: Vec<usize>,
    under_way: Vec<(u32, Vec<u8>)>,
    /// Calls that the control plane has answered in its own way.
    heard: BTreeSet<usize>,
    /// Agents 1 and 2: since when they may not act, or when they last might.
    stopped: [Option<u64>; 2],
    revoked: [bool; 2],
    /// Whose requests are which: by VM and request, the token.
    asked: Vec<(usize, u32, u8)>,
    /// By VM and agent: it has answered that the agent is revoked.
    knows: BTreeSet<(usize, u8)>,
    /// Whether the control plane alone signs: then what it decided must hold.
    pub honest: bool,
}

fn config() -> Config {
    let json = serde_json::json!({
        "control_plane_cluster": "cp",
        "pull_cluster": "cp_pull",
        "update_keys": [signer().public_key()],
        "node_credential": NodeCredential::from_random([3; 32]).reveal(),
        "max_staleness": format!("{}s", STALE / 1000),
        "fail_modes": { "unknown_token": "introspect" },
    });
    Config::parse(json.to_string().as_bytes(), |_| None).expect("a valid configuration")
}

impl World {
    /// One in which everybody knows everything.
    pub fn new(honest: bool) -> Self {
        let plane = ControlPlane::new();
        let state = Rc::new(RefCell::new(State::default()));
        state.borrow_mut().nanos = plane.unix_millis * MILLI;
        let begin = || {
            let host = VmHost::new(&state);
            (Vm::new(host.clone(), config(), None).expect("it has randomness"), host)
        };
        // The first is thrown away, as by Envoy.
        drop(begin());
        let vms = (0..VMS).map(|_| begin()).collect();
        let mut world = Self {
            plane,
            state,
            vms,
            carried: vec![],
            read: vec![],
            under_way: vec![],
            heard: BTreeSet::new(),
            stopped: [None; 2],
            revoked: [false; 2],
            asked: vec![],
            knows: BTreeSet::new(),
            honest,
        };
        for _ in 0..4 {
            world.take(Event::Tick(1));
            world.take(Event::Flow);
        }
        for vm in [1, 2] {
            world.ask(vm, 1);
            assert_eq!(world.vms[vm].1.take_forwarded().len(), 1, "not everybody knows");
        }
        world
    }

    /// The newest position and time of the control plane, and what is to be signed
    /// with.
    pub fn nonces(&self) -> Vec<Vec<u8>> {
        let state = self.state.borrow();
        let sent = state.streams.iter().rev().flat_map(|stream| stream.sent.iter().rev());
        let on_streams = sent.filter_map(|bytes| {
            match wire::ProxyMessage::decode(bytes.as_slice()).ok()?.message? {
                Message::Hello(it) => Some(it.nonce),
                Message::Resync(it) => Some(it.nonce),
                Message::Probe(it) => Some(it.nonce),
                Message::Workers(_) | Message::Chunks(_) => None,
            }
        });
        let in_calls = state.calls.iter().rev().filter_map(|call| {
            if call.path.ends_with("pull") {
                Some(wire::PullRequest::decode(call.body.as_slice()).ok()?.hello?.nonce)
            } else {
                Some(wire::IntrospectRequest::decode(call.body.as_slice()).ok()?.nonce)
            }
        });
        on_streams.take(4).chain(in_calls.take(4)).collect()
    }

    /// Something is carried, by whomever it was said.
    pub fn carry(&mut self, message: &wire::ControlMessage) -> Vec<u8> {
        let bytes = message.encode_to_vec();
        self.carried.push(bytes.clone());
        bytes
    }

    /// Something arrives on the stream that was opened last.
    pub fn arrive(&mut self, bytes: &[u8]) {
        let last = self.state.borrow().streams.len().saturating_sub(1);
        self.deliver(last, bytes);
    }

    /// Takes an event.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Tick(ticks) => {
                for _ in 0..=ticks % 16 {
                    self.pass(250);
                    self.vms.iter_mut().for_each(|(vm, _)| vm.tick());
                    self.listen();
                    self.look();
                }
            }
            Event::Stall(millis) => self.pass(u64::from(millis)),
            Event::Flow => self.flow(),
            Event::Replay { stream, message } => {
                if let Some(bytes) = self.carried(message) {
                    self.deliver_on(stream, &bytes);
                }
            }
            Event::Say { stream, bytes } => self.deliver_on(stream, &bytes),
            Event::Answer { call, status, messages } => {
                let messages = messages.into_iter().filter_map(|message| {
                    wire::ControlMessage::decode(self.carried(message)?.as_slice()).ok()
                });
                let body = wire::PullResponse { messages: messages.collect() }.encode_to_vec();
                self.answer(call, status, Some(body));
            }
            Event::Invent { call, status, bytes } => self.answer(call, status, Some(bytes)),
            Event::Fail { call } => self.answer(call, 0, None),
            Event::Close { stream, status, why } => {
                let open = self.open(stream);
                if let Some(index) = open {
                    let vm = {
                        let mut state = self.state.borrow_mut();
                        state.streams[index].open = false;
                        state.streams[index].vm
                    };
                    let end = StreamEnd::new(status.into(), &why);
                    self.with(vm, |vm| vm.stream_closed(StreamId(index as u32), &end));
                }
            }
            Event::Commit { agent: second, status } => self.commit(second.into(), status),
            Event::Wake(vm) => self.vms[usize::from(vm) % VMS].0.queue_ready(),
            Event::Ask { vm, token } => drop(self.ask(usize::from(vm) % VMS, token % 4)),
            Event::Leave { vm, nth } => {
                let (vm, host) = &mut self.vms[usize::from(vm) % VMS];
                if let Some(context) = host.nth(nth.into()).filter(|context| host.leave(*context)) {
                    vm.request_ended(context);
                }
            }
            Event::Replace(vm) => {
                let host = VmHost::new(&self.state);
                let vm = usize::from(vm) % VMS;
                // What it had opened goes with it.
                let old = self.vms[vm].1.vm;
                let mut state = self.state.borrow_mut();
                state.streams.iter_mut().filter(|it| it.vm == old).for_each(|it| it.open = false);
                state.calls.iter_mut().filter(|it| it.vm == old).for_each(|it| it.open = false);
                drop(state);
                self.vms[vm] =
                    (Vm::new(host.clone(), config(), None).expect("it has randomness"), host);
            }
        }
        self.listen();
        self.look();
    }

    fn pass(&mut self, millis: u64) {
        self.plane.unix_millis += millis;
        self.state.borrow_mut().nanos += millis * MILLI;
    }

    fn commit(&mut self, index: usize, status: u8) {
        let status = match status % 3 {
            _ if self.revoked[index] => Status::Revoked,
            0 => Status::Active,
            1 => Status::Suspended,
            _ => Status::Revoked,
        };
        self.revoked[index] |= status == Status::Revoked;
        match (status, self.stopped[index]) {
            (Status::Active, _) => self.stopped[index] = None,
            (_, None) => self.stopped[index] = Some(self.plane.unix_millis),
            _ => {}
        }
        let delta = self.plane.commit([agent(index as u8 + 1, status)]);
        let bytes = self.carry(&kya_core::testing::sealed(delta));
        self.say(&bytes);
    }

    /// The control plane says something on every stream that it has been greeted
    /// on.
    fn say(&mut self, bytes: &[u8]) {
        for (stream, read) in self.read.iter().enumerate() {
            if *read > 0 && self.state.borrow().streams[stream].open {
                self.under_way.push((stream as u32, bytes.to_vec()));
            }
        }
    }

    /// The control plane reads what was said to it, and answers.
    fn listen(&mut self) {
        let streams = self.state.borrow().streams.len();
        self.read.resize(streams, 0);
        for stream in 0..streams {
            let sent = self.state.borrow().streams[stream].sent[self.read[stream]..].to_vec();
            self.read[stream] += sent.len();
            for bytes in sent {
                let message = wire::ProxyMessage::decode(bytes.as_slice()).expect("it is one");
                for said in self.plane.answer(&message.message.expect("it says something")) {
                    let bytes = self.carry(&said);
                    self.under_way.push((stream as u32, bytes));
                }
            }
        }
    }

    /// All that is under way arrives, and then a heartbeat.
    fn flow(&mut self) {
        for _ in 0..4 {
            self.listen();
            for (stream, bytes) in std::mem::take(&mut self.under_way) {
                self.deliver(stream as usize, &bytes);
            }
            let calls = self.state.borrow().calls.len();
            for index in 0..calls {
                if self.state.borrow().calls[index].open && self.heard.insert(index) {
                    let (path, body) = {
                        let call = &self.state.borrow().calls[index];
                        (call.path.clone(), call.body.clone())
                    };
                    let body = self.plane.respond(&path, &body);
                    if let Ok(pulled) = wire::PullResponse::decode(body.as_slice()) {
                        self.carried.extend(pulled.messages.iter().map(|it| it.encode_to_vec()));
                    }
                    self.respond(index, 200, Some(body));
                }
            }
            self.vms.iter_mut().for_each(|(vm, _)| vm.queue_ready());
            self.look();
        }
        let heartbeat = kya_core::testing::sealed(self.plane.heartbeat(b""));
        let bytes = self.carry(&heartbeat);
        self.say(&bytes);
    }

    fn carried(&self, nth: u16) -> Option<Vec<u8>> {
        let nth = usize::from(nth) % self.carried.len().max(1);
        // The newest first.
        self.carried.iter().rev().nth(nth).cloned()
    }

    fn open(&self, nth: u8) -> Option<usize> {
        let state = self.state.borrow();
        let open: Vec<_> = (0..state.streams.len()).filter(|it| state.streams[*it].open).collect();
        open.get(usize::from(nth) % open.len().max(1)).copied()
    }

    fn deliver_on(&mut self, nth: u8, bytes: &[u8]) {
        if let Some(stream) = self.open(nth) {
            self.deliver(stream, bytes);
        }
    }

    fn deliver(&mut self, stream: usize, bytes: &[u8]) {
        let vm = match self.state.borrow().streams.get(stream) {
            Some(stream) if stream.open => stream.vm,
            _ => return,
        };
        self.with(vm, |vm| vm.stream_message(StreamId(stream as u32), bytes));
    }

    fn answer(&mut self, nth: u8, status: u16, body: Option<Vec<u8>>) {
        // Most answers are good ones.
        let status = if status.is_multiple_of(4) { status } else { 200 };
        let open: Vec<_> = {
            let state = self.state.borrow();
            (0..state.calls.len()).filter(|it| state.calls[*it].open).collect()
        };
        if let Some(call) = open.get(usize::from(nth) % open.len().max(1)) {
            self.respond(*call, status, body);
        }
    }

    fn respond(&mut self, call: usize, status: u16, body: Option<Vec<u8>>) {
        let vm = {
            let mut state = self.state.borrow_mut();
            state.calls[call].open = false;
            state.calls[call].vm
        };
        let response = body.map(|body| HttpResponse { status, body });
        self.with(vm, |vm| vm.http_response(CallId(call as u32), response));
    }

    fn with(&mut self, vm: usize, work: impl FnOnce(&mut Vm<VmHost>)) {
        if let Some((vm, _)) = self.vms.iter_mut().find(|(_, host)| host.vm == vm) {
            work(vm);
        }
    }

    fn ask(&mut self, vm: usize, n: u8) -> ContextId {
        let value = format!("Bearer {}", token(n).reveal());
        let (vm, host) = &mut self.vms[vm];
        let context = host.arrive(&[(":path", "/"), ("authorization", &value)], |context| {
            vm.request(context, true)
        });
        self.asked.push((host.vm, context.0, n));
        context
    }

    /// Agents 1 and 2 ask every worker, and go away.
    pub fn probe(&mut self) {
        for (vm, n) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let context = self.ask(vm, n);
            self.look();
            let (vm, host) = &mut self.vms[vm];
            if host.leave(context) {
                vm.request_ended(context);
            }
        }
    }

    /// Looks at what became of requests.
    fn look(&mut self) {
        let now = self.plane.unix_millis;
        for (vm, host) in &mut self.vms {
            let token = |context: u32| {
                let asked = |(vm, it, _): &&(usize, u32, u8)| (*vm, *it) == (host.vm, context);
                self.asked.iter().rev().find(asked).expect("somebody asked").2
            };
            for (context, body) in host.take_answers() {
                let body = String::from_utf8(body).expect("it is text");
                if self.honest && body.contains("agent_revoked") {
                    self.knows.insert((host.vm, token(context.0)));
                }
            }
            for context in host.take_forwarded() {
                let n = token(context.0);
                if !self.honest {
                    continue;
                }
                assert!((1..=2).contains(&n), "a token passes that nobody issued");
                assert!(
                    !self.knows.contains(&(host.vm, n)),
                    "a VM forgets what it knew as revoked"
                );
                let since = self.stopped[usize::from(n) - 1];
                let late = since.is_some_and(|since| now.saturating_sub(since) > STALE);
                assert!(!late, "agent {n} passes, {STALE} ms after it was stopped");
            }
            for context in host.take_over() {
                vm.request_ended(context);
            }
        }
    }
}
