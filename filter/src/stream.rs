//! One stream to the control plane: its greeting, its questions, its messages.
//!
//! A question is a nonce that only a signed snapshot answers. There is one at a
//! time, and the first, in the greeting, is what proves the stream.

use kya_core::{Nonce, wire};
use prost::Message as _;
use wire::proxy_message::Message;

use crate::host::{Host, Refused, StreamId};
use crate::lease::is_past;
use crate::vm::{Plugin, VERSION};

const SERVICE: &str = "kya.v1.Enforcement";
const METHOD: &str = "Stream";
const PROTOCOL_VERSION: u32 = 1;
/// Longest text about the node that the protocol carries, in bytes.
const MAX_TEXT: usize = 256;
/// How long a question may stay unanswered.
const ANSWER_NANOS: u64 = 5_000_000_000;

/// An open stream.
#[derive(Debug)]
pub struct Stream {
    id: StreamId,
    /// When a snapshot brought the first nonce back.
    proven_nanos: Option<u64>,
    question: Option<Question>,
}

#[derive(Debug)]
struct Question {
    nonce: Nonce,
    asked_nanos: u64,
}

impl Stream {
    /// Opens a stream and sends its greeting.
    pub fn open<H: Host>(plugin: &Plugin<H>, now: u64) -> Result<Self, Refused> {
        let nonce = nonce(plugin)?;
        let cluster = plugin.config.stream_cluster().ok_or(Refused(0))?;
        let id = plugin.host.open_stream(cluster, SERVICE, METHOD, &[])?;
        let question = Some(Question { nonce, asked_nanos: now });
        let stream = Self { id, proven_nanos: None, question };
        let hello = wire::Hello {
            protocol_version: PROTOCOL_VERSION,
            node_id: node_text(plugin, "id"),
            node_cluster: node_text(plugin, "cluster"),
            filter_version: VERSION.to_owned(),
            nonce: nonce.0.to_vec(),
        };
        // One that cannot even be greeted on is closed again.
        stream
            .send(plugin, Message::Hello(hello))
            .inspect_err(|_| plugin.host.reset_stream(id))
            .map(|()| stream)
    }

    /// Whether this is the stream that an event is about.
    pub fn is(&self, id: StreamId) -> bool {
        self.id == id
    }

    /// Sends a message.
    pub fn send<H: Host>(&self, plugin: &Plugin<H>, message: Message) -> Result<(), Refused> {
        let message = wire::ProxyMessage { message: Some(message) };
        plugin.host.send(self.id, &message.encode_to_vec())
    }

    /// Asks for a snapshot, unless a question is open.
    pub fn ask<H: Host>(&mut self, plugin: &Plugin<H>, now: u64) -> Result<(), Refused> {
        if self.question.is_some() {
            return Ok(());
        }
        let nonce = nonce(plugin)?;
        self.send(plugin, Message::Resync(wire::Resync { nonce: nonce.0.to_vec() }))?;
        self.question = Some(Question { nonce, asked_nanos: now });
        Ok(())
    }

    /// Whether the nonce answers the open question. It is good for one answer.
    pub fn answers(&mut self, nonce: Nonce) -> bool {
        let fits = self.question.as_ref().is_some_and(|question| question.nonce == nonce);
        if fits {
            self.question = None;
        }
        fits
    }

    /// Whether a question has been open for too long.
    pub fn is_silent(&self, now: u64) -> bool {
        self.question.as_ref().is_some_and(|asked| is_past(asked.asked_nanos, now, ANSWER_NANOS))
    }

    /// The first question was answered. True the first time.
    pub fn prove(&mut self, now: u64) -> bool {
        let first = self.proven_nanos.is_none();
        self.proven_nanos.get_or_insert(now);
        first
    }

    /// Whether what comes over this stream may be believed at all.
    pub fn is_proven(&self) -> bool {
        self.proven_nanos.is_some()
    }

    /// Whether it has been proven for longer than this.
    pub fn has_lasted(&self, nanos: u64, now: u64) -> bool {
        self.proven_nanos.is_some_and(|proven| is_past(proven, now, nanos))
    }

    /// Ends the stream.
    pub fn reset<H: Host>(self, plugin: &Plugin<H>) {
        plugin.host.reset_stream(self.id);
    }
}

fn nonce<H: Host>(plugin: &Plugin<H>) -> Result<Nonce, Refused> {
    let mut bytes = [0; 32];
    plugin.host.random(&mut bytes)?;
    Ok(Nonce(bytes))
}

/// An attribute of the node, cut to what the protocol carries. Envoy 1.40 has it
/// under `xds.node`, other proxies under `node`.
fn node_text<H: Host>(plugin: &Plugin<H>, name: &str) -> String {
    let property = |path: &[&str]| plugin.host.property(path).filter(|value| !value.is_empty());
    let bytes =
        property(&["xds", "node", name]).or_else(|| property(&["node", name])).unwrap_or_default();
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    while text.len() > MAX_TEXT {
        text.pop();
    }
    text
}
