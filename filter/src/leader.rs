//! The leader: one stream to the control plane for the whole proxy.
//!
//! It believes nothing on a new stream until a snapshot brings its nonce back
//! signed; from then on it takes exactly the next delta each time. Whatever is
//! accepted goes into the shared cache as it was signed, and every worker is
//! woken.

use kya_core::{Body, Nonce, Position, Revision, UpdateError, VerifiedUpdate, wire};
use prost::Message;

use crate::cache::{Head, RING, StoreError};
use crate::host::{Host, LogLevel, Refused, StreamId};
use crate::lease::{self, Identity, is_past};
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
/// Snapshots are asked for no more often than this.
const ASK_NANOS: u64 = 1_000 * MILLI;
/// A stream that lasted so long was a good one: the next is opened quickly.
const LASTED_NANOS: u64 = 2_000 * MILLI;
/// A head that stays ahead of the leader for so long is nobody's: another leader
/// would have been caught up with by then.
const AHEAD_NANOS: u64 = 2_000 * MILLI;
/// Ticks for which a worker may be behind before it is helped by a snapshot.
const LAG_TICKS: u32 = 4;

/// The stream's holder.
#[derive(Debug)]
pub struct Leader {
    me: Identity,
    stream: Option<Stream>,
    retry_nanos: u64,
    retry_at_nanos: u64,
    /// Connections in a row that brought nothing.
    failures: u32,
    /// Newest position that was accepted, or that this VM had verified before.
    position: Option<Position>,
    /// What this leader has stored last.
    head: Option<Head>,
    /// Since when the cache has been ahead of what is to be stored.
    ahead_since_nanos: Option<u64>,
    wants_snapshot: bool,
    asked_nanos: u64,
    lag_ticks: u32,
    roster: Roster,
}

#[derive(Debug)]
struct Stream {
    id: StreamId,
    /// When a snapshot brought this stream's first nonce back.
    proven_nanos: Option<u64>,
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
    pub fn new(me: Identity, floor: Option<Position>) -> Self {
        Self {
            me,
            stream: None,
            retry_nanos: FIRST_RETRY_NANOS,
            retry_at_nanos: 0,
            failures: 0,
            position: floor,
            head: None,
            ahead_since_nanos: None,
            wants_snapshot: false,
            asked_nanos: 0,
            lag_ticks: 0,
            roster: Roster::default(),
        }
    }

    /// Opens the stream when it is down and gives it up when it is silent, puts
    /// the cache right, asks for a snapshot where one is needed, and reports the
    /// workers when something about them changed.
    pub fn tick<H: Host>(&mut self, plugin: &Plugin<H>) {
        let now = plugin.host.now_nanos();
        self.mind_stream(plugin, now);
        if let Some(report) = self.roster.reread_all(plugin, self.position)
            && self.send_report(plugin, report)
        {
            self.roster.reported();
        }
        self.mind_cache(plugin);
        self.ask_if_wanted(plugin, now);
    }

    fn mind_stream<H: Host>(&mut self, plugin: &Plugin<H>, now: u64) {
        match &self.stream {
            // Far in the future means that the clock was set back.
            None if now >= self.retry_at_nanos
                || is_past(self.retry_at_nanos, now, LAST_RETRY_NANOS.saturating_mul(2)) =>
            {
                self.open(plugin, now);
            }
            Some(Stream { question: Some(question), .. })
                if is_past(question.asked_nanos, now, ANSWER_NANOS) =>
            {
                self.give_up(plugin, "it did not answer in time");
            }
            Some(Stream { proven_nanos: Some(proven), .. })
                if is_past(*proven, now, LASTED_NANOS) =>
            {
                self.retry_nanos = FIRST_RETRY_NANOS;
                self.failures = 0;
            }
            _ => {}
        }
    }

    /// Compares the cache with what this leader has stored in it. Another plugin,
    /// or a leader that was overtaken, may have written since.
    fn mind_cache<H: Host>(&mut self, plugin: &Plugin<H>) {
        let Some(mine) = self.head else { return };
        let there = plugin.cache.head(&plugin.host);
        if there != Ok(Some(mine)) {
            // One that is ahead is taken up when the next update is stored.
            let ahead = matches!(there, Ok(Some(there)) if there.position > mine.position);
            if !ahead && plugin.cache.restore_head(&plugin.host, mine).is_ok() {
                self.roster.wake(plugin);
            }
            self.wants_snapshot = true;
        }
        let since_snapshot = mine.position.revision.0.saturating_sub(mine.snapshot.0);
        self.wants_snapshot |= since_snapshot >= COMPACT_AFTER;
        self.lag_ticks =
            if self.roster.lags(mine.position) { self.lag_ticks.saturating_add(1) } else { 0 };
        self.wants_snapshot |= self.lag_ticks >= LAG_TICKS;
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
                let proven = stream.proven_nanos.is_some();
                return error == UpdateError::BadPayload && proven && self.announce(plugin);
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
                if stream.proven_nanos.is_none() {
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
        if let Some(report) = self.roster.reread(plugin, slots, self.position) {
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
                proven_nanos: None,
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
    fn ask_if_wanted<H: Host>(&mut self, plugin: &Plugin<H>, now: u64) {
        let due = self.wants_snapshot && is_past(self.asked_nanos, now, ASK_NANOS);
        let Some(stream) = self
            .stream
            .as_mut()
            .filter(|stream| due && stream.proven_nanos.is_some() && stream.question.is_none())
        else {
            return;
        };
        self.asked_nanos = now;
        let asked = nonce(plugin).and_then(|nonce| {
            let resync = wire::Resync { nonce: nonce.0.to_vec() };
            send(plugin, stream.id, wire::proxy_message::Message::Resync(resync))?;
            stream.question = Some(Question { nonce, asked_nanos: now });
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
        let head = Head { position, snapshot: position.revision };
        let stored = self.may_store(plugin)
            && self.stored(plugin, head, plugin.cache.store_snapshot(&plugin.host, head, bytes));
        if !stored {
            self.give_up(plugin, "its snapshot could not be stored");
            return false;
        }
        self.wants_snapshot = false;
        if let Some(stream) = &mut self.stream
            && stream.proven_nanos.is_none()
        {
            stream.proven_nanos = Some(plugin.host.now_nanos());
            plugin.host.log(
                LogLevel::Info,
                &format!("connected to the control plane at revision {}", position.revision),
            );
        }
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
            self.want_snapshot(plugin);
            return false;
        }
        let snapshot = self.head.map_or(Revision(0), |head| head.snapshot);
        let head = Head { position, snapshot };
        let stored = self.may_store(plugin)
            && self.stored(plugin, head, plugin.cache.store_delta(&plugin.host, head, bytes));
        if !stored {
            self.want_snapshot(plugin);
        }
        stored
    }

    /// The control plane has said something that this version does not
    /// understand, and that may be a denial. Announce a position that nobody can
    /// read, so that every worker denies, and ask for a snapshot, which says in
    /// known terms where things stand.
    fn announce<H: Host>(&mut self, plugin: &Plugin<H>) -> bool {
        let Some(mine) = self.head else { return false };
        let revision = mine.position.revision.next();
        let head = Head { position: Position { revision, ..mine.position }, ..mine };
        let announced = self.may_store(plugin)
            && self.stored(plugin, head, plugin.cache.advance_head(&plugin.host, head));
        self.want_snapshot(plugin);
        announced
    }

    fn want_snapshot<H: Host>(&mut self, plugin: &Plugin<H>) {
        self.wants_snapshot = true;
        self.ask_if_wanted(plugin, plugin.host.now_nanos());
    }

    /// False for a leader that was replaced and has not noticed yet: it must not
    /// overwrite what the new one stores.
    fn may_store<H: Host>(&mut self, plugin: &Plugin<H>) -> bool {
        let leads = lease::holds(&plugin.host, &plugin.cache, self.me);
        if !leads {
            self.stop(plugin);
        }
        leads
    }

    /// Takes note of what became of storing an update, and wakes the workers if
    /// it was stored.
    fn stored<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        head: Head,
        outcome: Result<(), StoreError>,
    ) -> bool {
        let now = plugin.host.now_nanos();
        let stored = match outcome {
            Ok(()) => true,
            Err(StoreError::Newer) => {
                let since = *self.ahead_since_nanos.get_or_insert(now);
                is_past(since, now, AHEAD_NANOS)
                    && plugin.cache.restore_head(&plugin.host, head).is_ok()
            }
            Err(StoreError::Contended | StoreError::Refused(_)) => false,
        };
        if !stored {
            reject(plugin, "not_stored");
            return false;
        }
        self.ahead_since_nanos = None;
        self.head = Some(head);
        self.position = Some(head.position);
        self.roster.wake(plugin);
        plugin.metrics.update_applied(&plugin.host, head.position.revision.0);
        true
    }

    fn send_report<H: Host>(&mut self, plugin: &Plugin<H>, report: wire::WorkerReport) -> bool {
        let Some(stream) = self.stream.as_ref().filter(|stream| stream.proven_nanos.is_some())
        else {
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
