//! A proxy that runs the filter, and the control plane's end of its stream.

use std::collections::BTreeMap;
use std::time::Duration;

use kya_core::OpaqueToken;
use kya_core::wire::{Hello, ProxyMessage, SignedUpdate, WorkerState, proxy_message};
use prost::Message;

use super::{ControlPlane, bearer, filter};
use crate::grpc::StreamKey;
use crate::http::Outcome;
use crate::proxy::{Proxy, ProxyBuilder, StartError};
use crate::vm::VmName;

/// Virtual time within which a filter must do what it does regularly.
const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(50);

/// A sidecar: the simulated proxy, and what its filter told the control plane.
pub struct Sidecar {
    /// The proxy, for whatever a test does to it directly.
    pub proxy: Proxy,
    stream: Option<StreamKey>,
    pushed: u64,
    nonce: Vec<u8>,
    hello: Option<Hello>,
    resyncs: usize,
    workers: BTreeMap<u32, WorkerState>,
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
        Self::configured(builder, control.plugin_configuration())
    }

    /// As [`with`](Self::with), with another configuration of the plugin.
    ///
    /// # Errors
    /// [`StartError`], when the filter does not start.
    pub fn configured(
        builder: ProxyBuilder,
        plugin_configuration: impl AsRef<[u8]>,
    ) -> Result<Self, StartError> {
        Ok(Self {
            proxy: builder.start(plugin_configuration)?,
            stream: None,
            pushed: 0,
            nonce: Vec::new(),
            hello: None,
            resyncs: 0,
            workers: BTreeMap::new(),
        })
    }

    /// Starts a sidecar and brings it up to `control`.
    pub fn synced(control: &ControlPlane, workers: usize) -> Self {
        let mut sidecar = Self::start(control, workers);
        sidecar.sync(control);
        sidecar
    }

    /// Waits for a stream on which the filter said hello, and returns who holds
    /// it.
    ///
    /// # Panics
    /// When none is opened in 30 s of virtual time.
    #[track_caller]
    pub fn connect(&mut self) -> VmName {
        let before = self.stream;
        let mut found = None;
        let connected = self.proxy.advance_until(PATIENCE, STEP, |proxy| {
            found = proxy.grpc_streams().into_iter().find(|stream| Some(stream.key) != before);
            found.is_some()
        });
        assert!(connected, "the filter opened no stream; its log: {:#?}", self.proxy.log());
        let stream = found.expect("a stream was found");
        self.stream = Some(stream.key);
        self.hello = None;
        self.workers.clear();
        self.listen();
        assert!(self.hello.is_some(), "the filter says hello as it opens a stream");
        stream.vm
    }

    /// Connects and answers with the snapshot.
    #[track_caller]
    pub fn sync(&mut self, control: &ControlPlane) {
        self.connect();
        self.answer(control);
    }

    /// Sends the snapshot that the filter last asked for.
    #[track_caller]
    pub fn answer(&mut self, control: &ControlPlane) {
        self.listen();
        self.deliver(&control.snapshot(&self.nonce));
        self.pushed = control.revision();
    }

    /// Sends every delta that was not sent yet, in order.
    #[track_caller]
    pub fn push(&mut self, control: &ControlPlane) {
        for revision in self.pushed + 1..=control.revision() {
            self.deliver(&control.delta(revision));
        }
        self.pushed = control.revision();
    }

    /// Sends one update and lets every wake-up happen.
    #[track_caller]
    pub fn deliver(&mut self, update: &SignedUpdate) {
        self.deliver_bytes(&update.encode_to_vec());
    }

    /// Sends bytes where an update would be, and lets every wake-up happen.
    #[track_caller]
    pub fn deliver_bytes(&mut self, bytes: &[u8]) {
        let stream = self.stream();
        assert!(self.proxy.send(stream, bytes), "nobody listens on the stream any more");
        self.proxy.run_until_idle();
    }

    /// The stream, whether it still is open or not.
    #[track_caller]
    pub fn stream(&self) -> StreamKey {
        self.stream.expect("the sidecar has connected")
    }

    /// True while the stream is open.
    pub fn connected(&self) -> bool {
        self.proxy.grpc_streams().iter().any(|stream| Some(stream.key) == self.stream)
    }

    /// Ends the stream as a control plane that goes down does.
    pub fn lose_stream(&mut self) {
        const UNAVAILABLE: u32 = 14;
        let stream = self.stream();
        self.proxy.close(stream, UNAVAILABLE);
    }

    /// The hello of the present stream.
    #[track_caller]
    pub fn hello(&self) -> &Hello {
        self.hello.as_ref().expect("the sidecar has connected")
    }

    /// The nonce that the filter last sent.
    pub fn nonce(&mut self) -> Vec<u8> {
        self.listen();
        self.nonce.clone()
    }

    /// How often the filter asked for another snapshot.
    pub fn resyncs(&mut self) -> usize {
        self.listen();
        self.resyncs
    }

    /// What each worker slot has reported on the present stream.
    pub fn reported(&mut self) -> Vec<WorkerState> {
        self.listen();
        self.workers.values().copied().collect()
    }

    /// Waits until exactly this many workers are reported, all at this revision.
    #[track_caller]
    pub fn await_reports(&mut self, workers: usize, revision: u64) {
        let mut passed = Duration::ZERO;
        loop {
            let reported = self.reported();
            if reported.len() == workers && reported.iter().all(|one| one.revision == revision) {
                return;
            }
            assert!(passed < PATIENCE, "not {workers} at {revision}: {reported:#?}");
            self.proxy.advance(STEP);
            passed += STEP;
        }
    }

    /// Sends a request with a token through this worker.
    pub fn ask(&mut self, worker: usize, token: &OpaqueToken) -> Outcome {
        self.proxy.request(worker, &[("authorization", &bearer(token))])
    }

    /// Sends a request with a token through every worker.
    pub fn ask_all(&mut self, token: &OpaqueToken) -> Vec<Outcome> {
        (0..self.proxy.workers()).map(|worker| self.ask(worker, token)).collect()
    }

    /// Reads what the filter sent.
    #[track_caller]
    fn listen(&mut self) {
        let Some(stream) = self.stream else { return };
        for bytes in self.proxy.take_sent(stream) {
            let message = ProxyMessage::decode(bytes.as_slice()).expect("a ProxyMessage");
            match message.message.expect("a message that the protocol knows") {
                proxy_message::Message::Hello(hello) => {
                    assert!(self.hello.is_none(), "a second Hello on one stream");
                    self.nonce.clone_from(&hello.nonce);
                    self.hello = Some(hello);
                }
                _ if self.hello.is_none() => panic!("a stream starts with a Hello"),
                proxy_message::Message::Resync(resync) => {
                    assert_ne!(self.nonce, resync.nonce, "a nonce was used twice");
                    self.nonce = resync.nonce;
                    self.resyncs += 1;
                }
                proxy_message::Message::Workers(report) => {
                    if report.complete {
                        self.workers.clear();
                    }
                    self.workers.extend(report.workers.into_iter().map(|one| (one.slot, one)));
                }
            }
        }
    }
}
