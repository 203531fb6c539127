//! A proxy in memory, for native tests: VMs that share data, queues and
//! streams, under a clock that the test moves. Nothing happens by itself.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use kya_core::{
    AgentId, NodeCredential, OpaqueToken, Revision, Signer, TokenId, sign_update, wire,
};
use prost::Message;

use crate::config::Config;
use crate::host::{
    Header, Host, LogLevel, MetricId, MetricKind, QueueId, Refused, SharedValue, StreamId,
    WriteError,
};
use crate::request::Flow;
use crate::vm::Vm;

#[derive(Default)]
struct State {
    now: Cell<u64>,
    data: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    queues: RefCell<Vec<(String, VecDeque<Vec<u8>>)>>,
    streams: RefCell<Vec<OpenStream>>,
    metrics: RefCell<Vec<(String, u64)>>,
    randomness: Cell<u64>,
    /// Calls that the proxy refuses from now on.
    refusing: RefCell<BTreeSet<&'static str>>,
}

#[derive(Default)]
struct OpenStream {
    sent: Vec<wire::ProxyMessage>,
    reset: bool,
}

/// What the proxy did with the last request.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Exchange {
    pub(crate) headers: Vec<Header>,
    pub(crate) response: Option<(u32, BTreeMap<String, String>, String)>,
}

#[derive(Clone, Default)]
pub(crate) struct Proxy(Rc<State>);

#[derive(Clone, Default)]
pub(crate) struct MemoryHost {
    state: Rc<State>,
    exchange: Rc<RefCell<Exchange>>,
}

impl Proxy {
    pub(crate) fn new() -> Self {
        let proxy = Self::default();
        proxy.0.now.set(1_000_000_000_000);
        proxy
    }

    pub(crate) fn host(&self) -> MemoryHost {
        MemoryHost { state: self.0.clone(), exchange: Rc::default() }
    }

    pub(crate) fn advance_nanos(&self, nanos: u64) {
        self.0.now.set(self.0.now.get() + nanos);
    }

    pub(crate) fn set_back_nanos(&self, nanos: u64) {
        self.0.now.set(self.0.now.get() - nanos);
    }

    pub(crate) fn refuse(&self, call: &'static str) {
        self.0.refusing.borrow_mut().insert(call);
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.0.metrics.borrow().iter().find(|(known, _)| known == name).map_or(0, |(_, v)| *v)
    }

    /// The stream that was opened last, if it still is.
    pub(crate) fn stream(&self) -> Option<StreamId> {
        let streams = self.0.streams.borrow();
        let last = streams.last().filter(|stream| !stream.reset)?;
        let _ = last;
        Some(StreamId(streams.len() as u32))
    }

    /// Takes what was sent on every stream that is still open.
    pub(crate) fn take_all_sent(&self) -> Vec<(StreamId, wire::proxy_message::Message)> {
        let mut streams = self.0.streams.borrow_mut();
        let open = streams.iter_mut().enumerate().filter(|(_, stream)| !stream.reset);
        open.flat_map(|(index, stream)| {
            let id = StreamId(index as u32 + 1);
            std::mem::take(&mut stream.sent).into_iter().map(move |sent| (id, sent))
        })
        .filter_map(|(id, sent)| Some((id, sent.message?)))
        .collect()
    }

    /// Takes what was sent on the stream that was opened last.
    pub(crate) fn take_sent(&self) -> Vec<wire::proxy_message::Message> {
        let mut streams = self.0.streams.borrow_mut();
        let Some(stream) = streams.last_mut() else { return Vec::new() };
        std::mem::take(&mut stream.sent).into_iter().filter_map(|sent| sent.message).collect()
    }
}

impl MemoryHost {
    fn check(&self, call: &'static str) -> Result<(), Refused> {
        if self.state.refusing.borrow().contains(call) { Err(Refused(10)) } else { Ok(()) }
    }
}

impl Host for MemoryHost {
    fn now_nanos(&self) -> u64 {
        self.state.now.get()
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Refused> {
        self.check("random")?;
        for byte in bytes {
            let next =
                self.state.randomness.get().wrapping_mul(6364136223846793005).wrapping_add(1);
            self.state.randomness.set(next);
            *byte = (next >> 56) as u8;
        }
        Ok(())
    }

    fn log(&self, _level: LogLevel, _message: &str) {}

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        (path == ["node", "id"]).then(|| b"sidecar-a".to_vec())
    }

    fn shared_data(&self, key: &str) -> Result<Option<SharedValue>, Refused> {
        self.check("shared_data")?;
        let data = self.state.data.borrow();
        Ok(data.get(key).map(|(bytes, cas)| SharedValue { bytes: bytes.clone(), cas: *cas }))
    }

    fn set_shared_data(&self, key: &str, value: &[u8]) -> Result<(), Refused> {
        self.check("set_shared_data")?;
        let mut data = self.state.data.borrow_mut();
        let cas = data.get(key).map_or(1, |(_, cas)| cas + 1);
        data.insert(key.to_owned(), (value.to_vec(), cas));
        Ok(())
    }

    fn swap_shared_data(&self, key: &str, value: &[u8], cas: u32) -> Result<(), WriteError> {
        let changed = self.state.data.borrow().get(key).is_some_and(|(_, held)| *held != cas);
        if changed { Err(WriteError::Changed) } else { Ok(self.set_shared_data(key, value)?) }
    }

    fn register_queue(&self, name: &str) -> Result<QueueId, Refused> {
        let mut queues = self.state.queues.borrow_mut();
        let index = queues.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            queues.push((name.to_owned(), VecDeque::new()));
            queues.len() - 1
        });
        Ok(QueueId(index as u32))
    }

    fn enqueue(&self, queue: QueueId, message: &[u8]) -> Result<(), Refused> {
        let mut queues = self.state.queues.borrow_mut();
        let (_, queue) = queues.get_mut(queue.0 as usize).ok_or(Refused(1))?;
        queue.push_back(message.to_vec());
        Ok(())
    }

    fn dequeue(&self, queue: QueueId) -> Result<Option<Vec<u8>>, Refused> {
        let mut queues = self.state.queues.borrow_mut();
        let (_, queue) = queues.get_mut(queue.0 as usize).ok_or(Refused(1))?;
        Ok(queue.pop_front())
    }

    fn open_stream(&self, _: &str, _: &str, _: &str) -> Result<StreamId, Refused> {
        self.check("open_stream")?;
        let mut streams = self.state.streams.borrow_mut();
        streams.push(OpenStream::default());
        Ok(StreamId(streams.len() as u32))
    }

    fn send(&self, stream: StreamId, message: &[u8]) -> Result<(), Refused> {
        self.check("send")?;
        let message = wire::ProxyMessage::decode(message).unwrap();
        self.state.streams.borrow_mut()[stream.0 as usize - 1].sent.push(message);
        Ok(())
    }

    fn reset_stream(&self, stream: StreamId) {
        self.state.streams.borrow_mut()[stream.0 as usize - 1].reset = true;
    }

    fn define_metric(&self, _: MetricKind, name: &str) -> Result<MetricId, Refused> {
        let mut metrics = self.state.metrics.borrow_mut();
        let index = metrics.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            metrics.push((name.to_owned(), 0));
            metrics.len() - 1
        });
        Ok(MetricId(index as u32))
    }

    fn increment_metric(&self, metric: MetricId, by: i64) {
        let value = &mut self.state.metrics.borrow_mut()[metric.0 as usize].1;
        *value = value.wrapping_add_signed(by);
    }

    fn record_metric(&self, metric: MetricId, value: u64) {
        self.state.metrics.borrow_mut()[metric.0 as usize].1 = value;
    }

    fn request_headers(&self) -> Result<Vec<Header>, Refused> {
        self.check("request_headers")?;
        Ok(self.exchange.borrow().headers.clone())
    }

    fn remove_request_header(&self, name: &str) -> Result<(), Refused> {
        self.check("remove_request_header")?;
        self.exchange.borrow_mut().headers.retain(|(known, _)| known != name.as_bytes());
        Ok(())
    }

    fn add_request_header(&self, name: &str, value: &str) -> Result<(), Refused> {
        self.check("add_request_header")?;
        self.exchange.borrow_mut().headers.push((name.into(), value.into()));
        Ok(())
    }

    fn respond(
        &self,
        status: u32,
        headers: &[(&str, &str)],
        body: &[u8],
        _details: &str,
    ) -> Result<(), Refused> {
        self.check("respond")?;
        let mut exchange = self.exchange.borrow_mut();
        assert!(exchange.response.is_none(), "a request was answered twice");
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        exchange.response = Some((status, headers, String::from_utf8(body.to_vec()).unwrap()));
        Ok(())
    }
}

/// A VM and the host that it sees.
pub(crate) struct TestVm {
    pub(crate) vm: Vm<MemoryHost>,
    host: MemoryHost,
}

impl TestVm {
    pub(crate) fn new(proxy: &Proxy) -> Self {
        Self::with(proxy, config())
    }

    pub(crate) fn with(proxy: &Proxy, config: Config) -> Self {
        let host = proxy.host();
        Self { vm: Vm::new(host.clone(), config).unwrap(), host }
    }

    pub(crate) fn request(&mut self, headers: &[(&str, &str)]) -> (Flow, Exchange) {
        let headers = headers.iter().map(|(n, v)| (n.as_bytes().into(), v.as_bytes().into()));
        *self.host.exchange.borrow_mut() = Exchange { headers: headers.collect(), response: None };
        let flow = self.vm.request();
        (flow, self.host.exchange.borrow().clone())
    }

    /// The status of the answer to a request with token `n`; 200 if forwarded.
    pub(crate) fn status_of(&mut self, n: u8) -> u32 {
        let value = format!("Bearer {}", token(n).reveal());
        match self.request(&[("authorization", &value)]) {
            (Flow::Continue, Exchange { response: None, .. }) => 200,
            (Flow::Stop, Exchange { response: Some((status, ..)), .. }) => status,
            other => panic!("neither forwarded nor answered: {other:?}"),
        }
    }
}

pub(crate) fn config() -> Config {
    let json = serde_json::json!({
        "control_plane_cluster": "cp",
        "pull_cluster": "cp_pull",
        "update_keys": [signer().public_key()],
        "node_credential": NodeCredential::from_random([1; 32]).reveal(),
    });
    Config::parse(json.to_string().as_bytes(), |_| None).expect("a valid configuration")
}

pub(crate) fn signer() -> Signer {
    Signer::from_seed([1; 32])
}

pub(crate) fn agent_id(n: u8) -> AgentId {
    AgentId::from_bytes([n; 16])
}

pub(crate) fn token(n: u8) -> OpaqueToken {
    OpaqueToken::from_random([n; 32])
}

pub(crate) fn agent(n: u8, status: wire::AgentStatus) -> wire::Agent {
    wire::Agent { id: agent_id(n).to_bytes().into(), status: status.into() }
}

/// Tokens 1 and 2, held by agents 1 and 2.
pub(crate) fn tokens() -> Vec<wire::Token> {
    let token = |n| wire::Token {
        digest: token(n).digest().0.into(),
        id: TokenId::from_bytes([n; 16]).to_bytes().into(),
        agent_id: agent_id(n).to_bytes().into(),
        expires_unix_seconds: 1_000_000,
        revoked: false,
    };
    [1, 2].map(token).into()
}

/// A signed snapshot in which agents 1 and 2 are active and hold tokens 1 and 2.
pub(crate) fn snapshot(revision: u64, nonce: &[u8]) -> Vec<u8> {
    let snapshot = wire::Snapshot {
        nonce: nonce.into(),
        agents: [1, 2].map(|n| agent(n, wire::AgentStatus::Active)).into(),
        tokens: tokens(),
    };
    signed(&signer(), 1, revision, wire::update::Body::Snapshot(snapshot))
}

/// A signed delta that sets the status of an agent.
pub(crate) fn delta(revision: u64, subject: u8, status: wire::AgentStatus) -> Vec<u8> {
    let change = wire::change::Change::Agent(agent(subject, status));
    let delta = wire::Delta { changes: vec![wire::Change { change: Some(change) }] };
    signed(&signer(), 1, revision, wire::update::Body::Delta(delta))
}

pub(crate) fn signed(
    signer: &Signer,
    epoch: u64,
    revision: u64,
    body: wire::update::Body,
) -> Vec<u8> {
    let update = wire::Update { epoch, revision, unix_millis: 0, body: Some(body) };
    sign_update(signer, &update).encode_to_vec()
}

pub(crate) fn revision(position: Option<kya_core::Position>) -> Option<u64> {
    position.map(|position| position.revision).map(|Revision(revision)| revision)
}
