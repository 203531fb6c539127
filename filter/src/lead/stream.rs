//! One stream to the control plane: its greeting, its questions, its messages.

use kya_core::{Monotonic, Nonce, Position, wire};
use prost::Message as _;
use wire::proxy_message::Message;

use crate::clock;
use crate::host::{Host, Refused, StreamId};
use crate::lead::channel::Channel;
use crate::lead::hello::hello;
use crate::lead::question::{self, Question};
use crate::plugin::Plugin;

const SERVICE: &str = "kya.v1.Enforcement";
const METHOD: &str = "Stream";
/// How long a question may stay unanswered.
const ANSWER_MILLIS: u64 = 5_000;
/// How long nothing at all may come: five heartbeats.
const SILENCE_MILLIS: u64 = 5_000;

/// An open stream.
#[derive(Debug)]
pub struct Stream {
    id: StreamId,
    proven: Option<Monotonic>,
    /// What a manifest, or the first heartbeat, must answer.
    question: Option<Question>,
    /// What a later heartbeat must answer.
    probe: Option<Question>,
    last_message: Monotonic,
}

impl Stream {
    /// Opens a stream and sends its greeting.
    pub fn open<H: Host>(plugin: &Plugin<H>, have: Option<Position>) -> Result<Self, Refused> {
        let question = Question::new(plugin)?;
        let cluster = plugin.config.stream_cluster().ok_or(Refused(0))?;
        let authorization = plugin.config.node_credential.authorization();
        let metadata = [("authorization", authorization.as_str())];
        let id = plugin.host.open_stream(cluster, SERVICE, METHOD, &metadata)?;
        let stream = Self {
            id,
            proven: None,
            question: Some(question),
            probe: None,
            last_message: question.asked(),
        };
        // One that cannot even be greeted on is closed again.
        stream
            .send(plugin, Message::Hello(hello(plugin, &question, have)))
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

    /// Asks for a manifest, unless a question is open.
    pub fn ask<H: Host>(&mut self, plugin: &Plugin<H>) -> Result<(), Refused> {
        if self.question.is_some() {
            return Ok(());
        }
        let question = Question::new(plugin)?;
        self.send(plugin, Message::Resync(wire::Resync { nonce: question.nonce() }))?;
        self.question = Some(question);
        Ok(())
    }

    /// Asks how the clocks stand, unless that is asked already.
    pub fn probe<H: Host>(&mut self, plugin: &Plugin<H>) -> Result<(), Refused> {
        if self.probe.is_some() {
            return Ok(());
        }
        let question = Question::new(plugin)?;
        self.send(plugin, Message::Probe(wire::Probe { nonce: question.nonce() }))?;
        self.probe = Some(question);
        Ok(())
    }

    /// A message came.
    pub fn heard<H: Host>(&mut self, plugin: &Plugin<H>) {
        self.last_message = clock::monotonic(&plugin.host);
    }

    /// Whether a question has been open for too long, or nothing has come at all.
    pub fn is_silent(&self, now: Monotonic) -> bool {
        let since = |then: Monotonic| now.0.saturating_sub(then.0);
        [self.question, self.probe]
            .iter()
            .flatten()
            .any(|question| since(question.asked()) > ANSWER_MILLIS)
            || (self.is_proven() && since(self.last_message) > SILENCE_MILLIS)
    }

    /// Whether it has been proven for longer than this.
    pub fn has_lasted(&self, millis: u64, now: Monotonic) -> bool {
        self.proven.is_some_and(|proven| now.0.saturating_sub(proven.0) > millis)
    }

    /// Ends the stream.
    pub fn reset<H: Host>(self, plugin: &Plugin<H>) {
        plugin.host.reset_stream(self.id);
    }
}

impl Channel for Stream {
    fn answers(&mut self, nonce: Nonce) -> Option<Monotonic> {
        question::answer(&mut self.question, nonce)
            .or_else(|| question::answer(&mut self.probe, nonce))
    }

    fn prove(&mut self) {
        self.proven.get_or_insert(self.last_message);
    }

    fn is_proven(&self) -> bool {
        self.proven.is_some()
    }

    fn repeats(&self) -> bool {
        false
    }
}
