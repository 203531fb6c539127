//! A proxy of the tests: speaks the protocol with the generated client, and
//! believes and applies updates with the code of the filter.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use hyper_util::rt::TokioIo;
use kya_control_plane::rpc::enforcement_client::EnforcementClient;
use kya_core::wire::control_message::Message as Said;
use kya_core::wire::{self, ControlMessage, ProxyMessage, proxy_message::Message};
use kya_core::{Body, Manifest, Nonce, Position, PublicKey, UpdateError, VerifiedUpdate, Verifier};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use super::PATIENCE;
use super::state::{Known, State};

pub struct TestProxy {
    pub say: mpsc::Sender<ProxyMessage>,
    pub state: State,
    pub verifier: Verifier,
    hear: Streaming<ControlMessage>,
    asked: Vec<Nonce>,
    /// Deltas that came between chunks, and are not applied yet.
    waiting: VecDeque<VerifiedUpdate>,
    /// Challenges that came, and nobody has looked at.
    challenges: VecDeque<Nonce>,
    credential: String,
}

pub async fn channel(address: SocketAddr) -> Channel {
    endpoint(address).connect().await.unwrap()
}

/// A connection that takes little before it must be read.
pub async fn narrow_channel(address: SocketAddr) -> Channel {
    windows(address, 65_535).await
}

/// A connection on which not even one answer is taken before it is read.
pub async fn tight_channel(address: SocketAddr) -> Channel {
    windows(address, 64).await
}

async fn windows(address: SocketAddr, stream: u32) -> Channel {
    let endpoint = endpoint(address).initial_stream_window_size(stream);
    endpoint.initial_connection_window_size(65_535).connect().await.unwrap()
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
pub type Opened = (mpsc::Sender<ProxyMessage>, Streaming<ControlMessage>);

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
        have: None,
        configuration_hash: vec![0xc0; 32],
    }
}

pub fn message(message: Message) -> ProxyMessage {
    ProxyMessage { message: Some(message) }
}

pub fn want(image: [u8; 32], indexes: impl IntoIterator<Item = u32>) -> ProxyMessage {
    let indexes = indexes.into_iter().collect();
    message(Message::Chunks(wire::ChunkRequest { image: image.to_vec(), indexes }))
}

impl TestProxy {
    pub async fn connect_over(
        channel: Channel,
        credential: &str,
        key: PublicKey,
        hello: wire::Hello,
    ) -> Self {
        let (say, hear) = open(channel, credential).await;
        let asked = vec![Nonce(hello.nonce.as_slice().try_into().unwrap())];
        say.send(message(Message::Hello(hello))).await.unwrap();
        let (verifier, waiting) = (Verifier::new([key]), VecDeque::new());
        let credential = credential.to_owned();
        let (state, challenges) = (State::default(), VecDeque::new());
        Self { say, state, verifier, hear, asked, waiting, challenges, credential }
    }

    /// The same proxy on another stream, with what it knows.
    pub async fn reconnect(self, channel: Channel, mut hello: wire::Hello) -> Self {
        hello.have = Some(self.position().into());
        hello.nonce = vec![2; 32];
        let (say, hear) = open(channel, &self.credential).await;
        say.send(message(Message::Hello(hello))).await.unwrap();
        Self { say, hear, asked: vec![Nonce([2; 32])], ..self }
    }

    /// The next message, as it came. Challenges come at any time, and are kept for
    /// [`challenged`](Self::challenged).
    pub async fn hear(&mut self) -> Result<Option<Said>, Status> {
        loop {
            let heard = self.hear_any().await?;
            if let Some(Said::Signed(signed)) = &heard
                && let Ok(update) = self.verifier.verify_signed(signed)
                && let Body::Challenge(nonce) = update.body()
            {
                self.challenges.push_back(*nonce);
                continue;
            }
            return Ok(heard);
        }
    }

    /// The next challenge: what a worker says that has read it. Deltas that
    /// come before it wait for [`next`](Self::next).
    pub async fn challenged(&mut self) -> u64 {
        while self.challenges.is_empty() {
            let Some(Said::Signed(signed)) = self.hear_any().await.unwrap() else { continue };
            let update = self.verifier.verify_signed(&signed).unwrap();
            match update.body() {
                Body::Challenge(nonce) => self.challenges.push_back(*nonce),
                Body::Heartbeat { .. } => {}
                _ => self.waiting.push_back(update),
            }
        }
        word(self.challenges.pop_front().unwrap())
    }

    /// Reports that these slots have read a challenge, and have applied what this
    /// proxy has.
    pub async fn answer(&self, slots: &[u32], challenge: u64) {
        let Position { epoch, revision } = self.position();
        let state = |slot: &u32| wire::WorkerState {
            challenge,
            state_age_millis: 7,
            ..worker(*slot, epoch, revision.0)
        };
        self.say_workers(slots.iter().map(state).collect(), false).await;
    }

    async fn hear_any(&mut self) -> Result<Option<Said>, Status> {
        let heard = tokio::time::timeout(PATIENCE, self.hear.message()).await;
        let heard = heard.expect("a message in time")?;
        Ok(heard.map(|control| control.message.expect("a message of a known kind")))
    }

    /// The next message, verified if it is signed. Other keys are learnt on the way.
    pub async fn hear_verified(&mut self) -> Result<VerifiedUpdate, wire::Chunks> {
        loop {
            let signed = match self.hear().await.unwrap().expect("a message and not the end") {
                Said::Signed(signed) => signed,
                Said::Chunks(chunks) => return Err(chunks),
            };
            match self.verifier.verify_signed(&signed) {
                Ok(update) if matches!(update.body(), Body::Keys { .. }) => {
                    self.verifier.learn(&update);
                }
                // It leads from a key that is not trusted to one that is.
                Err(UpdateError::UnknownKey) if is_a_link(&signed) => {}
                verified => return Ok(verified.unwrap()),
            }
        }
    }

    /// The next signed message that is no mere sign of life, verified and applied
    /// as a filter does: with the chunks of a manifest.
    pub async fn next(&mut self) -> VerifiedUpdate {
        loop {
            let update = match self.waiting.pop_front() {
                Some(update) => update,
                None => self.hear_verified().await.expect("nobody has asked for chunks"),
            };
            match update.body() {
                Body::Heartbeat { nonce: None } => self.check_heartbeat(&update),
                Body::Heartbeat { nonce: Some(nonce) } | Body::Manifest { nonce, .. } => {
                    let asked = self.asked.remove(0);
                    assert_eq!(*nonce, asked, "answers in the order of the questions");
                    if let Body::Manifest { manifest, .. } = update.body() {
                        self.fetch(update.position(), manifest).await;
                    }
                    return update;
                }
                _ => {
                    self.state.apply(&update);
                    return update;
                }
            }
        }
    }

    /// A heartbeat comes after everything up to its position.
    fn check_heartbeat(&self, update: &VerifiedUpdate) {
        assert_eq!(Some(update.position()), self.state.authority.position());
    }

    async fn fetch(&mut self, at: Position, manifest: &Manifest) {
        let missing = self.state.missing(manifest);
        for some in missing.chunks(4096) {
            self.say.send(want(manifest.image().0, some.iter().copied())).await.unwrap();
        }
        let mut fresh = HashMap::new();
        while fresh.len() < missing.len() {
            match self.hear_verified().await {
                Ok(update) => self.waiting.push_back(update),
                Err(chunks) => {
                    assert_eq!(chunks.image, manifest.image().0);
                    assert!(!chunks.chunks.is_empty(), "the image is gone");
                    for chunk in chunks.chunks {
                        assert!(manifest.fits(chunk.index, &chunk.content));
                        fresh.insert(chunk.index, chunk.content);
                    }
                }
            }
        }
        self.state.rebase(at, manifest, fresh);
    }

    pub fn position(&self) -> Position {
        self.state.authority.position().expect("a manifest before")
    }

    pub fn known(&self) -> &Known {
        &self.state.known
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

    pub async fn probe(&mut self, nonce: [u8; 32]) {
        self.asked.push(Nonce(nonce));
        let probe = wire::Probe { nonce: nonce.to_vec() };
        self.say.send(message(Message::Probe(probe))).await.unwrap();
    }

    /// Reports that each of these slots has applied what this proxy has.
    pub async fn report(&self, slots: &[u32], complete: bool) {
        let Position { epoch, revision } = self.position();
        let workers = slots.iter().map(|slot| worker(*slot, epoch, revision.0)).collect();
        self.say_workers(workers, complete).await;
    }

    pub async fn say_workers(&self, workers: Vec<wire::WorkerState>, complete: bool) {
        let report = wire::WorkerReport { workers, complete, clock_ahead_millis: 0 };
        self.say.send(message(Message::Workers(report))).await.unwrap();
    }
}

/// What a worker says that has read the challenge of this nonce.
pub fn word(nonce: Nonce) -> u64 {
    u64::from_le_bytes(*nonce.0.first_chunk().unwrap())
}

fn is_a_link(signed: &wire::SignedUpdate) -> bool {
    let update = wire::Update::decode(&*signed.payload).unwrap();
    matches!(update.body, Some(wire::update::Body::Keys(_)))
}

pub fn worker(slot: u32, epoch: u64, revision: u64) -> wire::WorkerState {
    wire::WorkerState {
        slot,
        instance: 0xabc0 + u64::from(slot),
        epoch,
        revision,
        applied_unix_nanos: 1_770_302_843_891_123_456,
        ..Default::default()
    }
}
