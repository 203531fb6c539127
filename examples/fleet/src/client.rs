//! One proxy on a stream: it says Hello, reads, and says how far its one worker is.
//!
//! It checks no signatures and no hashes: it stands for the network and the bookkeeping
//! of a proxy, and the real one is measured with real Envoys.

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use h2::{SendStream, client};
use kya_core::wire::{self, control_message, proxy_message, update};
use kya_core::{Position, Revision};
use kya_envoy::unix_ms;
use prost::Message as _;
use tokio::net::TcpStream;

use super::frames::{PREFIX, framed, next_message};
use super::state::{Has, Snapshot};

/// A window that no benchmark fills.
const WINDOW: u32 = 1 << 20;
/// Of an HTTP/2 frame: RFC 9113 section 4.1.
const FRAME_HEADER: usize = 9;

/// What a stream has heard.
#[derive(Debug, Clone, Copy)]
pub enum Heard {
    /// Nothing yet: it is saying Hello.
    Greeting {
        /// When.
        unix_ms: f64,
    },
    /// It has a state.
    State {
        /// The epoch.
        epoch: u64,
        /// The revision.
        revision: u64,
        /// When.
        unix_ms: f64,
        /// What it was sent for that; nothing where it goes on from what it had.
        snapshot: Option<Snapshot>,
    },
    /// The delta that leads to this revision, of so many bytes on the wire.
    Delta {
        /// The epoch.
        epoch: u64,
        /// The revision.
        revision: u64,
        /// Bytes, with the framing of gRPC and HTTP/2.
        bytes: usize,
        /// When.
        unix_ms: f64,
    },
}

/// One simulated proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Where the control plane listens.
    pub address: String,
    /// By which it connects.
    pub credential: String,
    /// Its name, and what its nonce is made of.
    pub number: usize,
    /// Which VM its one worker is.
    pub instance: u64,
    /// Whether it reports what it has applied.
    pub acknowledges: bool,
    /// Whether it fetches the chunks of a manifest, before which it has no state.
    pub fetches: bool,
}

impl Proxy {
    /// Follows a stream from nothing. It never ends well.
    ///
    /// # Errors
    /// Why it has ended.
    pub async fn follow(&self, heard: impl Fn(Heard)) -> Result<()> {
        self.follow_from(&mut Has::default(), heard).await
    }

    /// Follows a stream from what it has, to which it adds what comes.
    ///
    /// # Errors
    /// Why it has ended.
    pub async fn follow_from(&self, has: &mut Has, heard: impl Fn(Heard)) -> Result<()> {
        let tcp = TcpStream::connect(&self.address).await.context("cannot connect")?;
        tcp.set_nodelay(true)?;
        let (client, connection) = client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake::<_, Bytes>(tcp)
            .await?;
        tokio::select! {
            ended = connection => match ended {
                Ok(()) => bail!("the control plane closed the connection"),
                Err(error) => Err(error.into()),
            },
            ended = self.stream(client, has, heard) => ended,
        }
    }

    async fn stream(
        &self,
        client: client::SendRequest<Bytes>,
        has: &mut Has,
        heard: impl Fn(Heard),
    ) -> Result<()> {
        let request = http::Request::post("http://kya/kya.v1.Enforcement/Stream")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", self.credential))
            .body(())?;
        let (response, mut say) = client.ready().await?.send_request(request, false)?;
        has.begin();
        heard(Heard::Greeting { unix_ms: unix_ms() });
        say.send_data(framed(&self.hello(has.position())), false)?;
        let mut body = response.await?.into_body();
        let mut buffer = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data?;
            let at = unix_ms();
            body.flow_control().release_capacity(data.len())?;
            buffer.extend_from_slice(&data);
            while let Some(message) = next_message(&mut buffer)? {
                if let Some(news) = self.take(message, at, has, &mut say)? {
                    heard(news);
                }
            }
        }
        let trailers = body.trailers().await?;
        bail!("the control plane ended the stream: {trailers:?}")
    }

    /// Takes a message, and answers it. What is new by it, if anything is.
    fn take(
        &self,
        message: Bytes,
        unix_ms: f64,
        has: &mut Has,
        say: &mut SendStream<Bytes>,
    ) -> Result<Option<Heard>> {
        let bytes = FRAME_HEADER + PREFIX + message.len();
        let base = match read(message)? {
            Said::Nothing => return Ok(None),
            Said::Challenge(word) => {
                // Whoever has no state has nothing to show.
                if let Some(at) = has.position() {
                    self.report(at, word, say)?;
                }
                return Ok(None);
            }
            Said::Delta(at) => {
                if !has.take_delta(at)? {
                    return Ok(None);
                }
                self.report(at, 0, say)?;
                let Position { epoch, revision: Revision(revision) } = at;
                return Ok(Some(Heard::Delta { epoch, revision, bytes, unix_ms }));
            }
            Said::Answer => false,
            Said::Manifest(at, manifest) => {
                has.take_manifest(at, manifest, bytes, self.fetches);
                true
            }
            Said::Chunks(chunks) => {
                has.take_chunks(&chunks, bytes)?;
                true
            }
        };
        if let Some(request) = has.request() {
            say.send_data(framed(&said(proxy_message::Message::Chunks(request))), false)?;
        }
        let snapshot = has.complete();
        if base && snapshot.is_none() {
            return Ok(None);
        }
        let at = has.position().context("it was told to go on from nothing")?;
        self.report(at, 0, say)?;
        let Position { epoch, revision: Revision(revision) } = at;
        Ok(Some(Heard::State { epoch, revision, unix_ms, snapshot }))
    }

    /// Says where it is, if it says that at all.
    fn report(&self, at: Position, word: u64, say: &mut SendStream<Bytes>) -> Result<()> {
        if self.acknowledges {
            say.send_data(framed(&report(self.instance, at, word)), false)?;
        }
        Ok(())
    }

    /// Its `node.id`.
    pub fn name(&self) -> String {
        format!("simulated-{}", self.number)
    }

    fn hello(&self, have: Option<Position>) -> wire::ProxyMessage {
        let mut nonce = vec![0; 24];
        nonce.extend(self.number.to_le_bytes());
        said(proxy_message::Message::Hello(wire::Hello {
            protocol_version: 1,
            node_id: self.name(),
            node_cluster: "simulated".to_owned(),
            filter_version: env!("CARGO_PKG_VERSION").to_owned(),
            nonce,
            have: have.map(Into::into),
            ..wire::Hello::default()
        }))
    }
}

fn said(message: proxy_message::Message) -> wire::ProxyMessage {
    wire::ProxyMessage { message: Some(message) }
}

/// That the one worker of a proxy is there, and by which word it was challenged, if it was.
fn report(instance: u64, at: Position, challenge: u64) -> wire::ProxyMessage {
    let worker = wire::WorkerState {
        slot: 0,
        instance,
        epoch: at.epoch,
        revision: at.revision.0,
        challenge,
        ..wire::WorkerState::default()
    };
    said(proxy_message::Message::Workers(wire::WorkerReport {
        workers: vec![worker],
        complete: true,
        clock_ahead_millis: 0,
    }))
}

/// What a control plane says that matters here.
#[derive(Debug)]
enum Said {
    /// The manifest of this position.
    Manifest(Position, wire::Manifest),
    /// Chunks that were asked for.
    Chunks(wire::Chunks),
    /// That it goes on from what the proxy has.
    Answer,
    /// A delta that leads to it.
    Delta(Position),
    /// A challenge, and the word that shows that it was read.
    Challenge(u64),
    /// Anything else.
    Nothing,
}

fn read(message: Bytes) -> Result<Said> {
    let message = wire::ControlMessage::decode(message)?;
    let signed = match message.message {
        Some(control_message::Message::Signed(signed)) => signed,
        Some(control_message::Message::Chunks(chunks)) => return Ok(Said::Chunks(chunks)),
        None => return Ok(Said::Nothing),
    };
    let update = wire::Update::decode(&*signed.payload)?;
    let at = Position { epoch: update.epoch, revision: Revision(update.revision) };
    Ok(match update.body {
        Some(update::Body::Manifest(manifest)) => Said::Manifest(at, manifest),
        Some(update::Body::Delta(_)) => Said::Delta(at),
        // It asks nothing but its Hello, which is what a nonce answers.
        Some(update::Body::Heartbeat(beat)) if !beat.nonce.is_empty() => Said::Answer,
        Some(update::Body::Challenge(challenge)) => {
            let word = challenge.nonce.first_chunk().context("a challenge without a nonce")?;
            Said::Challenge(u64::from_le_bytes(*word))
        }
        _ => Said::Nothing,
    })
}
