//! A proxy of the tests: speaks the protocol with the generated client, and
//! believes and applies updates with the code of the filter.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use hyper_util::rt::TokioIo;
use kya_control_plane::rpc::enforcement_client::EnforcementClient;
use kya_core::wire::{self, ProxyMessage, proxy_message::Message};
use kya_core::{Authority, Body, Nonce, Position, PublicKey, VerifiedUpdate, Verifier};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use super::PATIENCE;

/// What a proxy knows, in a form that can be compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    pub agents: BTreeMap<Vec<u8>, wire::Agent>,
    pub tokens: BTreeMap<Vec<u8>, wire::Token>,
}

pub struct TestProxy {
    pub say: mpsc::Sender<ProxyMessage>,
    pub known: Known,
    hear: Streaming<wire::SignedUpdate>,
    verifier: Verifier,
    authority: Authority,
    asked: Vec<Nonce>,
}

pub async fn channel(address: SocketAddr) -> Channel {
    endpoint(address).connect().await.unwrap()
}

/// A connection that takes little before it must be read.
pub async fn narrow_channel(address: SocketAddr) -> Channel {
    let window = 65_535;
    let narrow = endpoint(address).initial_stream_window_size(window);
    narrow.initial_connection_window_size(window).connect().await.unwrap()
}

fn endpoint(address: SocketAddr) -> Endpoint {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect_timeout(Duration::from_secs(5))
}

/// A channel over connections that are made like this.
pub async fn channel_through<S, F>(
    mut connect: impl FnMut() -> F + Send + 'static,
) -> Result<Channel, tonic::transport::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let connector = tower::service_fn(move |_| {
        let connecting = connect();
        async { connecting.await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://control-plane.test").connect_with_connector(connector).await
}

/// The two directions of a stream.
pub type Opened = (mpsc::Sender<ProxyMessage>, Streaming<wire::SignedUpdate>);

/// Opens a stream and says nothing yet.
pub async fn open(channel: Channel, credential: &str) -> Opened {
    try_open(channel, &[format!("Bearer {credential}").as_bytes()]).await.unwrap()
}

/// The same with these `authorization` headers, if it is let in.
pub async fn try_open(channel: Channel, authorization: &[&[u8]]) -> Result<Opened, Status> {
    let (say, said) = mpsc::channel(64);
    let mut client = EnforcementClient::new(channel).max_decoding_message_size(64 << 20);
    let mut request = Request::new(ReceiverStream::new(said));
    let mut headers = HeaderMap::new();
    for value in authorization {
        headers.append("authorization", HeaderValue::from_bytes(value).unwrap());
    }
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    Ok((say, client.stream(request).await?.into_inner()))
}

pub fn hello(node_id: &str) -> wire::Hello {
    wire::Hello {
        protocol_version: 1,
        node_id: node_id.to_owned(),
        node_cluster: "payments".to_owned(),
        filter_version: "0.1.0".to_owned(),
        nonce: vec![1; 32],
    }
}

pub fn message(message: Message) -> ProxyMessage {
    ProxyMessage { message: Some(message) }
}

impl TestProxy {
    pub async fn connect_over(
        channel: Channel,
        credential: &str,
        key: PublicKey,
        node_id: &str,
    ) -> Self {
        let (say, hear) = open(channel, credential).await;
        say.send(message(Message::Hello(hello(node_id)))).await.unwrap();
        Self {
            say,
            known: Known::default(),
            hear,
            verifier: Verifier::new([key]),
            authority: Authority::default(),
            asked: vec![Nonce([1; 32])],
        }
    }

    /// The next message, as it came.
    pub async fn hear(&mut self) -> Result<Option<wire::SignedUpdate>, Status> {
        tokio::time::timeout(PATIENCE, self.hear.message()).await.expect("a message in time")
    }

    /// The next message, verified and applied as a filter does.
    pub async fn next(&mut self) -> VerifiedUpdate {
        let signed = self.hear().await.unwrap().expect("a message and not the end");
        let update = self.verifier.verify(&signed.encode_to_vec()).unwrap();
        if let Body::Snapshot { nonce, .. } = update.body() {
            assert_eq!(*nonce, self.asked.remove(0), "answers in the order of the questions");
        }
        // This refuses a delta that does not follow without a gap. A snapshot at
        // the same position repeats what is known.
        if Some(update.position()) != self.authority.position()
            || matches!(update.body(), Body::Delta { .. })
        {
            self.authority.apply(&update).unwrap();
        }
        match wire::Update::decode(&*signed.payload).unwrap().body.unwrap() {
            wire::update::Body::Snapshot(snapshot) => {
                self.known = Known::snapshot(snapshot.agents, snapshot.tokens);
            }
            wire::update::Body::Delta(delta) => {
                delta.changes.into_iter().for_each(|change| self.known.change(change));
            }
        }
        update
    }

    pub fn position(&self) -> Position {
        self.authority.position().expect("a snapshot before")
    }

    /// Reads until this revision is applied.
    pub async fn catch_up(&mut self, revision: u64) {
        while self.position().revision.0 < revision {
            self.next().await;
        }
        assert_eq!(self.position().revision.0, revision);
    }

    pub async fn resync(&mut self, nonce: [u8; 32]) {
        self.asked.push(Nonce(nonce));
        let resync = wire::Resync { nonce: nonce.to_vec() };
        self.say.send(message(Message::Resync(resync))).await.unwrap();
    }

    /// Reports that each of these slots has applied what this proxy has.
    pub async fn report(&self, slots: &[u32], complete: bool) {
        let Position { epoch, revision } = self.position();
        let workers = slots.iter().map(|slot| worker(*slot, epoch, revision.0)).collect();
        self.say_workers(workers, complete).await;
    }

    pub async fn say_workers(&self, workers: Vec<wire::WorkerState>, complete: bool) {
        let report = wire::WorkerReport { workers, complete };
        self.say.send(message(Message::Workers(report))).await.unwrap();
    }
}

pub fn worker(slot: u32, epoch: u64, revision: u64) -> wire::WorkerState {
    let instance = 0xabc0 + u64::from(slot);
    wire::WorkerState {
        slot,
        instance,
        epoch,
        revision,
        applied_unix_nanos: 1_770_302_843_891_123_456,
    }
}

impl Known {
    fn agent(&mut self, agent: wire::Agent) {
        self.agents.insert(agent.id.clone(), agent);
    }

    fn token(&mut self, token: wire::Token) {
        self.tokens.insert(token.id.clone(), token);
    }

    fn change(&mut self, change: wire::Change) {
        match change.change.expect("a change of a known kind") {
            wire::change::Change::Agent(agent) => self.agent(agent),
            wire::change::Change::Token(token) => self.token(token),
        }
    }

    /// Applies changes as a proxy does.
    pub fn replay(changes: impl IntoIterator<Item = wire::Change>) -> Self {
        let mut known = Self::default();
        changes.into_iter().for_each(|change| known.change(change));
        known
    }

    /// What a snapshot says.
    pub fn snapshot(agents: Vec<wire::Agent>, tokens: Vec<wire::Token>) -> Self {
        let mut known = Self::default();
        agents.into_iter().for_each(|agent| known.agent(agent));
        tokens.into_iter().for_each(|token| known.token(token));
        known
    }
}
