//! One proxy on a stream: it says Hello, reads, and says how far its one worker is.
//!
//! It checks no signatures: it stands for the network and the bookkeeping of a
//! proxy, and the real one is measured with real Envoys.

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use h2::client;
use kya_core::wire::{self, control_message, proxy_message, update};
use kya_core::{Position, Revision};
use kya_envoy::unix_ms;
use prost::Message as _;
use tokio::net::TcpStream;

use super::frames::{PREFIX, framed, next_message};

/// A window that no benchmark fills.
const WINDOW: u32 = 1 << 20;
/// Of an HTTP/2 frame: RFC 9113 section 4.1.
const FRAME_HEADER: usize = 9;

/// What a stream has heard.
#[derive(Debug, Clone, Copy)]
pub enum Heard {
    /// Its first state.
    State {
        /// The epoch.
        epoch: u64,
        /// The revision.
        revision: u64,
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
}

impl Proxy {
    /// Follows a stream. It never ends well.
    ///
    /// # Errors
    /// Why it has ended.
    pub async fn follow(&self, heard: impl Fn(Heard)) -> Result<()> {
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
            ended = self.stream(client, heard) => ended,
        }
    }

    async fn stream(
        &self,
        client: client::SendRequest<Bytes>,
        heard: impl Fn(Heard),
    ) -> Result<()> {
        let request = http::Request::post("http://kya/kya.v1.Enforcement/Stream")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", self.credential))
            .body(())?;
        let (response, mut say) = client.ready().await?.send_request(request, false)?;
        say.send_data(framed(&self.hello()), false)?;
        let mut body = response.await?.into_body();
        let (mut buffer, mut applied) = (BytesMut::new(), None);
        while let Some(data) = body.data().await {
            let data = data?;
            let at = unix_ms();
            body.flow_control().release_capacity(data.len())?;
            buffer.extend_from_slice(&data);
            while let Some(message) = next_message(&mut buffer)? {
                let bytes = FRAME_HEADER + PREFIX + message.len();
                let Some(said) = read(&message)? else { continue };
                let (position, word) = match said {
                    Said::State(at) | Said::Delta(at) => (at, 0),
                    // Whoever has no state has nothing to show.
                    Said::Challenge(word) => match applied {
                        Some(at) => (at, word),
                        None => continue,
                    },
                };
                applied = Some(position);
                if self.acknowledges {
                    say.send_data(framed(&report(self.instance, position, word)), false)?;
                }
                let Position { epoch, revision: Revision(revision) } = position;
                match said {
                    Said::State(_) => heard(Heard::State { epoch, revision }),
                    Said::Delta(_) => heard(Heard::Delta { epoch, revision, bytes, unix_ms: at }),
                    Said::Challenge(_) => {}
                }
            }
        }
        let trailers = body.trailers().await?;
        bail!("the control plane ended the stream: {trailers:?}")
    }

    /// Its `node.id`.
    pub fn name(&self) -> String {
        format!("simulated-{}", self.number)
    }

    fn hello(&self) -> wire::ProxyMessage {
        let mut nonce = vec![0; 24];
        nonce.extend(self.number.to_le_bytes());
        said(proxy_message::Message::Hello(wire::Hello {
            protocol_version: 1,
            node_id: self.name(),
            node_cluster: "simulated".to_owned(),
            filter_version: env!("CARGO_PKG_VERSION").to_owned(),
            nonce,
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
#[derive(Debug, Clone, Copy)]
enum Said {
    /// A manifest of this position.
    State(Position),
    /// A delta that leads to it.
    Delta(Position),
    /// A challenge, and the word that shows that it was read.
    Challenge(u64),
}

fn read(message: &Bytes) -> Result<Option<Said>> {
    let message = wire::ControlMessage::decode(message.clone())?;
    let Some(control_message::Message::Signed(signed)) = message.message else {
        return Ok(None);
    };
    let update = wire::Update::decode(&*signed.payload)?;
    let at = Position { epoch: update.epoch, revision: Revision(update.revision) };
    Ok(match update.body {
        Some(update::Body::Manifest(_)) => Some(Said::State(at)),
        Some(update::Body::Delta(_)) => Some(Said::Delta(at)),
        Some(update::Body::Challenge(challenge)) => {
            let word = challenge.nonce.first_chunk().context("a challenge without a nonce")?;
            Some(Said::Challenge(u64::from_le_bytes(*word)))
        }
        _ => None,
    })
}
