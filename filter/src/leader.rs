//! The leader: one stream to the control plane for the whole proxy.
//!
//! It believes nothing on a new stream until a snapshot brings its nonce back
//! signed; from then on it takes exactly the next delta each time. Whatever is
//! accepted goes into the shared cache as it was signed, and every worker is
//! woken.

use kya_core::{Body, Nonce, Position, Revision, VerifiedUpdate, wire};
use prost::Message;

use crate::cache::{Head, RING};
use crate::host::{Host, LogLevel, Refused, StreamId};
use crate::lease::is_past;
use crate::roster::Roster;
use crate::vm::{Plugin, VERSION};

const SERVICE: &str = "kya.v1.Enforcement";
const METHOD: &str = "Stream";
const PROTOCOL_VERSION: u32 = 1;

const MILLI: u64 = 1_000_000;
/// How long a question (a nonce) may stay unanswered before the stream is given up.
const ANSWER_NANOS: u64 = 5_000 * MILLI;
const FIRST_RETRY_NANOS: u64 = 250 * MILLI;
const LAST_RETRY_NANOS: u64 = 3_000 * MILLI;
/// A snapshot further back than this is replaced, while deltas still reach it.
const COMPACT_AFTER: u64 = RING / 2;

/// The stream's holder.
#[derive(Debug)]
pub struct Leader {
    stream: Option<Stream>,
    retry_nanos: u64,
    retry_at_nanos: u64,
    /// Connections in a row that brought nothing.
    failures: u32,
    /// Newest position that was accepted, or that this VM had verified before.
    position: Option<Position>,
    snapshot: Revision,
    roster: Roster,
}

#[derive(Debug)]
struct Stream {
    id: StreamId,
    /// A snapshot has brought this stream's first nonce back.
    proven: bool,
    question: Option<Question>,
}

#[derive(Debug)]
struct Question {
    nonce: Nonce,
    asked_nanos: u64,
}

impl Leader {
    /// A leader that accepts nothing older than `floor`, which this VM verified
    /// itself.
    pub fn new(floor: Option<Position>) -> Self {
        Self {
            stream: None,
            retry_nanos: FIRST_RETRY_NANOS,
            retry_at_nanos: 0,
            failures: 0,
            position: floor,
            snapshot: Revision(0),
            roster: Roster::default(),
        }
    }

    /// Opens the stream when it is down, gives it up when it is silent, asks
    /// for a snapshot when the last is far back, and reports the workers when
    /// something about them changed.
    pub fn tick<H: Host>(&mut self, plugin: &Plugin<H>) {
        let now = plugin.host.now_nanos();
        match &self.stream {
            None if now >= self.retry_at_nanos
                || is_past(self.retry_at_nanos, now, LAST_RETRY_NANOS.saturating_mul(2)) =>
            {
                self.open(plugin, now);
            }
            None => {}
            Some(Stream { question: Some(question), .. })
                if is_past(question.asked_nanos, now, ANSWER_NANOS) =>
            {
                self.give_up(plugin, "it did not answer in time");
            }
            Some(Stream { proven: true, question: None, .. }) => {
                let newest = self.position.map_or(0, |position| position.revision.0);
                if newest.saturating_sub(self.snapshot.0) >= COMPACT_AFTER {
                    self.ask(plugin);
                }
            }
            Some(_) => {}
        }
        if let Some(report) = self.roster.reread_all(plugin)
            && self.send_report(plugin, report)
        {
            self.roster.reported();
        }
    }

    /// A message arrived. Says whether the cache moved.
    pub fn message<H: Host>(&mut self, plugin: &Plugin<H>, id: StreamId, bytes: &[u8]) -> bool {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.id == id) else {
            return false;
        };
        let update = match plugin.verifier.verify(bytes) {
            Ok(update) => update,
            Err(error) => {
                reject(plugin, error.cause());
                return false;
            }
        };
        match update.body() {
            Body::Snapshot { nonce, .. } => {
                if stream.question.as_ref().is_none_or(|question| question.nonce != *nonce) {
                    reject(plugin, "wrong_nonce");
                    return false;
                }
                // A nonce is good for one answer.
                stream.question = None;
                self.accept_snapshot(plugin, &update, bytes)
            }
            Body::Delta { .. } => {
                if !stream.proven {
                    reject(plugin, "unproven");
                    return false;
                }
                self.accept_delta(plugin, &update, bytes)
            }
        }
    }

    /// The stream ended, from the other side or in between.
    pub fn closed<H: Host>(&mut self, plugin: &Plugin<H>, id: StreamId, status: u32) {
        if self.stream.as_ref().is_some_and(|stream| stream.id == id) {
            self.stream = None;
            self.retry_later(plugin, &format!("the stream ended with gRPC status {status}"));
        }
    }

    /// These workers have written new words into their slots: pass them on.
    pub fn report<H: Host>(&mut self, plugin: &Plugin<H>, slots: &[u32]) {
        if let Some(report) = self.roster.reread(plugin, slots) {
            self.send_report(plugin, report);
        }
    }

    /// Ends the stream, because another VM leads now.
    pub fn stop<H: Host>(&mut self, plugin: &Plugin<H>) {
        if let Some(stream) = self.stream.take() {
            plugin.host.reset_stream(stream.id);
        }
    }

    fn open<H: Host>(&mut self, plugin: &Plugin<H>, now: u64) {
        let opened = nonce(plugin).and_then(|nonce| {
            let cluster = &plugin.config.control_plane_cluster;
            let id = plugin.host.open_stream(cluster, SERVICE, METHOD)?;
            let hello = wire::Hello {
                protocol_version: PROTOCOL_VERSION,
                node_id: text_property(plugin, "id"),
                node_cluster: text_property(plugin, "cluster"),
                filter_version: VERSION.to_owned(),
                nonce: nonce.0.to_vec(),
            };
            self.stream = Some(Stream {
                id,
                proven: false,
                question: Some(Question { nonce, asked_nanos: now }),
            });
            send(plugin, id, wire::proxy_message::Message::Hello(hello))
        });
        if let Err(error) = opened {
            self.give_up(plugin, &format!("no stream could be opened: {error}"));
        }
        self.roster.start_over();
    }

    /// Asks for a snapshot on the open stream, one question at a time.
    fn ask<H: Host>(&mut self, plugin: &Plugin<H>) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.question.is_none()) else {
            return;
        };
        let asked = nonce(plugin).and_then(|nonce| {
            let resync = wire::Resync { nonce: nonce.0.to_vec() };
            send(plugin, stream.id, wire::proxy_message::Message::Resync(resync))?;
            stream.question = Some(Question { nonce, asked_nanos: plugin.host.now_nanos() });
            Ok(())
        });
        if let Err(error) = asked {
            self.give_up(plugin, &format!("a question could not be sent: {error}"));
        }
    }

    fn accept_snapshot<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        update: &VerifiedUpdate,
        bytes: &[u8],
    ) -> bool {
        let position = update.position();
        if Some(position) < self.position {
            reject(plugin, "not_newer");
            self.give_up(
                plugin,
                &format!(
                    "it offers revision {}, older than what is enforced here",
                    position.revision
                ),
            );
            return false;
        }
        if plugin.cache.store_snapshot(&plugin.host, position, bytes).is_err() {
            reject(plugin, "not_stored");
            self.give_up(plugin, "the proxy did not store a snapshot");
            return false;
        }
        if let Some(stream) = &mut self.stream {
            if !stream.proven {
                plugin.host.log(
                    LogLevel::Info,
                    &format!("connected to the control plane at revision {}", position.revision),
                );
            }
            stream.proven = true;
        }
        self.retry_nanos = FIRST_RETRY_NANOS;
        self.failures = 0;
        self.snapshot = position.revision;
        self.accepted(plugin, position);
        true
    }

    fn accept_delta<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        update: &VerifiedUpdate,
        bytes: &[u8],
    ) -> bool {
        let position = update.position();
        if Some(position) <= self.position {
            reject(plugin, "not_newer");
            return false;
        }
        let next = self.position.is_some_and(|have| {
            have.epoch == position.epoch && have.revision.next() == position.revision
        });
        if !next {
            reject(plugin, "gap");
            self.ask(plugin);
            return false;
        }
        let head = Head { position, snapshot: self.snapshot };
        if plugin.cache.store_delta(&plugin.host, head, bytes).is_err() {
            reject(plugin, "not_stored");
            self.ask(plugin);
            return false;
        }
        self.accepted(plugin, position);
        true
    }

    fn accepted<H: Host>(&mut self, plugin: &Plugin<H>, position: Position) {
        self.position = Some(position);
        self.roster.wake(plugin);
        plugin.metrics.update_applied(&plugin.host, position.revision.0);
    }

    fn send_report<H: Host>(&mut self, plugin: &Plugin<H>, report: wire::WorkerReport) -> bool {
        let Some(stream) = self.stream.as_ref().filter(|stream| stream.proven) else {
            return false;
        };
        let sent = send(plugin, stream.id, wire::proxy_message::Message::Workers(report));
        if let Err(error) = &sent {
            self.give_up(plugin, &format!("a report could not be sent: {error}"));
        }
        sent.is_ok()
    }

    fn give_up<H: Host>(&mut self, plugin: &Plugin<H>, why: &str) {
        self.stop(plugin);
        self.retry_later(plugin, why);
    }

    fn retry_later<H: Host>(&mut self, plugin: &Plugin<H>, why: &str) {
        self.failures = self.failures.saturating_add(1);
        // The first, second, fourth, eighth … in a row: never silent, never a flood.
        if self.failures.is_power_of_two() {
            plugin.host.log(
                LogLevel::Warn,
                &format!(
                    "control plane (cluster `{}`): {why}; trying again (attempt {}), deciding by the last verified state",
                    plugin.config.control_plane_cluster, self.failures
                ),
            );
        }
        // Up to a quarter more, so that proxies do not come back in step.
        let mut random = [0; 8];
        let _ = plugin.host.random(&mut random);
        let jitter = u64::from_le_bytes(random).checked_rem(self.retry_nanos / 4).unwrap_or(0);
        let wait = self.retry_nanos.saturating_add(jitter);
        self.retry_at_nanos = plugin.host.now_nanos().saturating_add(wait);
        self.retry_nanos = self.retry_nanos.saturating_mul(2).min(LAST_RETRY_NANOS);
    }
}

fn nonce<H: Host>(plugin: &Plugin<H>) -> Result<Nonce, Refused> {
    let mut bytes = [0; 32];
    plugin.host.random(&mut bytes)?;
    Ok(Nonce(bytes))
}

fn send<H: Host>(
    plugin: &Plugin<H>,
    id: StreamId,
    message: wire::proxy_message::Message,
) -> Result<(), Refused> {
    let message = wire::ProxyMessage { message: Some(message) };
    plugin.host.send(id, &message.encode_to_vec())
}

/// An attribute of the node, cut to what the protocol carries. Envoy 1.40 has it
/// under `xds.node`, other proxies under `node`.
fn text_property<H: Host>(plugin: &Plugin<H>, name: &str) -> String {
    let property = |path: &[&str]| plugin.host.property(path).filter(|value| !value.is_empty());
    let bytes =
        property(&["xds", "node", name]).or_else(|| property(&["node", name])).unwrap_or_default();
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    while text.len() > 256 {
        text.pop();
    }
    text
}

fn reject<H: Host>(plugin: &Plugin<H>, cause: &'static str) {
    plugin.metrics.update_rejected(&plugin.host, cause);
}
