//! A proxy that runs the filter, and the control plane's end of what it opens.

mod streams;

use std::collections::BTreeSet;
use std::time::Duration;

use kya_core::testing::sealed;
use kya_core::wire::{Hello, PullRequest, SignedUpdate, WorkerState};
use kya_core::wire::{WorkerReport, proxy_message::Message};
use kya_core::{OpaqueToken, Position, Revision};
use prost::Message as _;

use super::feeds::Feeds;
use super::{ControlPlane, bearer, filter};
use crate::callouts::HttpCall;
use crate::grpc::StreamKey;
use crate::http::Outcome;
use crate::proxy::{Proxy, ProxyBuilder, StartError};
use crate::vm::VmName;

/// Virtual time within which a filter must do what it does regularly.
const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(50);
/// The control plane says so often that it is there.
const BEAT_NANOS: u64 = 1_000_000_000;
/// What its clock shows when a proxy starts: that of the proxy does, too.
const START_MILLIS: u64 = 1_000_000;
/// The gRPC status of a server that goes down.
const UNAVAILABLE: u32 = 14;
/// More answers than this at one instant are a loop.
const MAX_ANSWERS: usize = 1_000;

/// A sidecar: the simulated proxy, and what its filter told the control plane.
///
/// Nothing is answered by itself: [`serve`](Self::serve) answers what was said so
/// far, and [`run`](Self::run) does that while time passes.
pub struct Sidecar {
    /// The proxy, for whatever a test does to it directly.
    pub proxy: Proxy,
    /// Whether [`serve`](Self::serve) answers on streams.
    pub serves_streams: bool,
    /// Whether [`serve`](Self::serve) answers calls.
    pub serves_calls: bool,
    feeds: Feeds,
    /// The report of the workers in the last pull.
    pulled_report: Option<WorkerReport>,
    paused: BTreeSet<VmName>,
    /// The monotonic instants of the start and of the last heartbeat.
    started: u64,
    beaten: u64,
}

impl Sidecar {
    /// How a sidecar of these tests is set up; change it and give it to
    /// [`with`](Self::with).
    pub fn builder(workers: usize) -> ProxyBuilder {
        Proxy::builder(filter())
            .workers(workers)
            .vm_id("kya")
            .plugin("kya", "kya")
            .node("sidecar-1", "payments")
            .wall_clock(START_MILLIS * 1_000_000)
    }

    /// Starts a sidecar that follows `control` and has heard nothing from it.
    pub fn start(control: &ControlPlane, workers: usize) -> Self {
        Self::with(Self::builder(workers), control).expect("the filter starts")
    }

    /// As [`start`](Self::start), with another set-up.
    ///
    /// # Errors
    /// [`StartError`], when the filter does not start.
    pub fn with(builder: ProxyBuilder, control: &ControlPlane) -> Result<Self, StartError> {
        Self::configured(builder, control.configuration().to_string())
    }

    /// As [`with`](Self::with), with another configuration of the plugin.
    ///
    /// # Errors
    /// [`StartError`], when the filter does not start.
    pub fn configured(
        builder: ProxyBuilder,
        plugin_configuration: impl AsRef<[u8]>,
    ) -> Result<Self, StartError> {
        let proxy = builder.start(plugin_configuration)?;
        let started = proxy.monotonic();
        Ok(Self {
            proxy,
            serves_streams: true,
            serves_calls: true,
            feeds: Feeds::default(),
            pulled_report: None,
            paused: BTreeSet::new(),
            started,
            beaten: started,
        })
    }

    /// Starts a sidecar and brings it up to `control`.
    pub fn synced(control: &mut ControlPlane, workers: usize) -> Self {
        let mut sidecar = Self::start(control, workers);
        sidecar.sync(control);
        sidecar
    }

    /// Waits for a stream on which the filter said hello, and returns who holds
    /// it. Nothing is answered meanwhile.
    ///
    /// # Panics
    /// When none is opened in 30 s of virtual time.
    #[track_caller]
    pub fn connect(&mut self) -> VmName {
        let known = self.feeds.keys();
        let fresh = |proxy: &Proxy| {
            proxy.grpc_streams().into_iter().find(|stream| !known.contains(&stream.key))
        };
        let connected = self.proxy.advance_until(PATIENCE, STEP, |proxy| fresh(proxy).is_some());
        assert!(connected, "the filter opened no stream; its log: {:#?}", self.proxy.log());
        let stream = fresh(&self.proxy).expect("a stream was found");
        self.listen();
        assert!(self.feeds.find(stream.key).is_some(), "it says hello as it opens a stream");
        stream.vm
    }

    /// Connects and answers until the newest state is there.
    #[track_caller]
    pub fn sync(&mut self, control: &mut ControlPlane) {
        self.connect();
        self.serve(control);
        assert_eq!(self.proxy.metric("kya.revision"), control.revision(), "it is synced");
    }

    /// Answers everything that the filter has said, and lets every wake-up happen.
    #[track_caller]
    pub fn serve(&mut self, control: &mut ControlPlane) {
        for _ in 0..MAX_ANSWERS {
            let calls = self.serves_calls && self.answer_calls(control);
            let streams = self.serves_streams && self.answer_streams(control);
            if !calls && !streams {
                return;
            }
        }
        panic!("{MAX_ANSWERS} answers in a row: the filter asks without end");
    }

    /// Lets time pass while the control plane answers, pushes what it committed,
    /// and says every second that it is there.
    #[track_caller]
    pub fn run(&mut self, control: &mut ControlPlane, duration: Duration) {
        let mut left = duration;
        while !left.is_zero() {
            let step = left.min(STEP);
            left -= step;
            self.proxy.advance(step);
            self.serve(control);
            if self.serves_streams {
                self.push(control);
                self.beat_if_due(control);
            }
        }
        self.serve(control);
    }

    /// [Runs](Self::run) until `done`.
    ///
    /// # Panics
    /// When that takes more than 30 s of virtual time.
    #[track_caller]
    pub fn run_until(
        &mut self,
        control: &mut ControlPlane,
        mut done: impl FnMut(&mut Self) -> bool,
    ) {
        let end = self.proxy.monotonic() + u64::try_from(PATIENCE.as_nanos()).expect("it fits");
        while !done(self) {
            let late = self.proxy.monotonic() > end;
            assert!(!late, "it does not happen; the log: {:#?}", self.proxy.log());
            self.run(control, STEP);
        }
    }

    /// Sends every delta that was not sent yet on the streams that were greeted.
    #[track_caller]
    pub fn push(&mut self, control: &mut ControlPlane) {
        self.set_clock(control);
        for key in self.open_streams() {
            let Some(pushed) = self.feeds.find(key).and_then(|feed| feed.pushed) else { continue };
            for revision in pushed + 1..=control.revision() {
                if let Some(delta) = control.delta(revision) {
                    self.send_on(key, &sealed(delta));
                }
            }
            self.served(key, control);
        }
    }

    /// Everything that was committed and not sent yet is lost on its way.
    pub fn lose(&mut self, control: &ControlPlane) {
        self.feeds.keys().into_iter().for_each(|key| {
            let feed = self.feeds.find(key).filter(|feed| feed.pushed.is_some());
            feed.into_iter().for_each(|feed| feed.pushed = Some(control.revision()));
        });
    }

    /// Says on every stream that was greeted that the control plane is there.
    #[track_caller]
    pub fn beat(&mut self, control: &mut ControlPlane) {
        self.set_clock(control);
        self.beaten = self.proxy.monotonic();
        for key in self.open_streams() {
            if self.feeds.find(key).is_some_and(|feed| feed.pushed.is_some()) {
                self.send_on(key, &sealed(control.heartbeat(b"")));
            }
        }
    }

    /// Sends one update on the present stream and lets every wake-up happen.
    #[track_caller]
    pub fn deliver(&mut self, update: &SignedUpdate) {
        self.deliver_bytes(&sealed(update.clone()).encode_to_vec());
    }

    /// Sends bytes where a message would be, and lets every wake-up happen.
    #[track_caller]
    pub fn deliver_bytes(&mut self, bytes: &[u8]) {
        let stream = self.stream();
        assert!(self.proxy.send(stream, bytes), "nobody listens on the stream any more");
        self.proxy.run_until_idle();
    }

    /// Takes what the filter has said and nobody has answered.
    pub fn take_said(&mut self) -> Vec<Message> {
        self.listen();
        self.feeds.inbox.drain(..).map(|(_, message)| message).collect()
    }

    /// The stream that said hello last, whether it still is open or not.
    #[track_caller]
    pub fn stream(&self) -> StreamKey {
        self.feeds.newest().expect("the sidecar has connected").key
    }

    /// True while that stream is open.
    pub fn connected(&self) -> bool {
        let newest = self.feeds.newest().map(|feed| feed.key);
        self.proxy.grpc_streams().iter().any(|stream| Some(stream.key) == newest)
    }

    /// Ends the stream as a control plane that goes down does.
    pub fn lose_stream(&mut self) {
        let stream = self.stream();
        self.proxy.close(stream, UNAVAILABLE);
        self.proxy.run_until_idle();
    }

    /// Ends every stream so.
    pub fn lose_all_streams(&mut self) {
        for key in self.open_streams() {
            self.proxy.close(key, UNAVAILABLE);
        }
        self.proxy.run_until_idle();
    }

    /// The hello of the present stream.
    #[track_caller]
    pub fn hello(&self) -> &Hello {
        &self.feeds.newest().expect("the sidecar has connected").hello
    }

    /// The nonce with which the filter last asked for a manifest.
    #[track_caller]
    pub fn nonce(&mut self) -> Vec<u8> {
        self.listen();
        self.feeds.newest().expect("the sidecar has connected").nonce.clone()
    }

    /// How often the filter asked for another manifest.
    pub fn resyncs(&mut self) -> usize {
        self.listen();
        self.feeds.resyncs
    }

    /// What each worker slot has reported on the present stream.
    pub fn reported(&mut self) -> Vec<WorkerState> {
        self.listen();
        self.feeds.newest().into_iter().flat_map(|feed| feed.workers.values().copied()).collect()
    }

    /// What the last pull that was answered said of the workers.
    pub fn pulled_report(&self) -> Vec<WorkerState> {
        self.pulled_report.iter().flat_map(|report| report.workers.clone()).collect()
    }

    /// [Runs](Self::run) until exactly this many workers are reported, all at the
    /// newest revision.
    #[track_caller]
    pub fn await_reports(&mut self, control: &mut ControlPlane, workers: usize) {
        let newest = control.revision();
        self.run_until(control, |sidecar| {
            let reported = sidecar.reported();
            reported.len() == workers && reported.iter().all(|one| one.revision == newest)
        });
    }

    /// Holds a VM's thread up: it hears nothing, and takes no turn.
    pub fn pause(&mut self, vm: VmName) {
        self.proxy.pause(vm);
        self.paused.insert(vm);
    }

    /// Lets a VM's thread go on.
    pub fn resume(&mut self, vm: VmName) {
        self.proxy.resume(vm);
        self.paused.remove(&vm);
    }

    /// The calls that wait for an answer, of VMs that could hear one.
    pub fn calls(&self) -> Vec<HttpCall> {
        let calls = self.proxy.http_calls().into_iter();
        calls
            .filter(|call| !self.paused.contains(&call.vm) && !self.proxy.failed(call.vm))
            .collect()
    }

    /// Those of them that ask for the state, or about a token.
    pub fn questions(&self) -> Vec<HttpCall> {
        let reports: Option<&[u8]> = Some(b"/v1/enforcement/audit");
        let calls = self.calls().into_iter();
        calls.filter(|call| call.headers.get(":path") != reports).collect()
    }

    /// The newest position that the leader has announced in shared data: what the
    /// workers must not fall behind.
    pub fn announced(&self) -> Option<Position> {
        let data = self.proxy.shared_data();
        let head = data.keys().find(|key| key.ends_with(b"/head"))?;
        let (value, _) = data.get(head)?;
        let number = |at: usize| Some(u64::from_le_bytes(*value.get(at..)?.first_chunk()?));
        // Behind the number of the layout.
        Some(Position { epoch: number(1)?, revision: Revision(number(9)?) })
    }

    /// Sends a request with a token through this worker.
    pub fn ask(&mut self, worker: usize, token: &OpaqueToken) -> Outcome {
        self.proxy.request(worker, &[("authorization", &bearer(token))])
    }

    /// Sends a request with a token through every worker.
    pub fn ask_all(&mut self, token: &OpaqueToken) -> Vec<Outcome> {
        (0..self.proxy.workers()).map(|worker| self.ask(worker, token)).collect()
    }

    /// The control plane's clock runs as fast as the monotonic one.
    pub fn set_clock(&self, control: &mut ControlPlane) {
        let since = self.proxy.monotonic() - self.started;
        control.unix_millis = START_MILLIS + since / 1_000_000;
    }

    fn answer_streams(&mut self, control: &mut ControlPlane) -> bool {
        self.listen();
        let paused = self.paused_streams();
        let at = self.feeds.inbox.iter().position(|(key, _)| !paused.contains(key));
        let Some((key, message)) = at.and_then(|at| self.feeds.inbox.remove(at)) else {
            return false;
        };
        self.push(control);
        for answer in control.answer(&message) {
            self.send_on(key, &answer);
        }
        if matches!(message, Message::Hello(_) | Message::Resync(_)) {
            self.served(key, control);
        }
        true
    }

    fn answer_calls(&mut self, control: &mut ControlPlane) -> bool {
        self.set_clock(control);
        let Some(call) = self.calls().into_iter().next() else { return false };
        let path = String::from_utf8_lossy(call.headers.get(":path").unwrap_or_default());
        if let Ok(PullRequest { workers: Some(report), .. }) = PullRequest::decode(&*call.body)
            && path.ends_with("/pull")
        {
            self.pulled_report = Some(report);
        }
        let body = control.respond(&path, &call.body);
        self.proxy.answer_call(call.key, 200, &[], &body);
        self.proxy.run_until_idle();
        true
    }
}
