//! The leader: one stream to the control plane for the whole proxy.
//!
//! It believes nothing on a new stream until a snapshot brings its nonce back
//! signed; from then on it takes exactly the next delta each time. Whatever is
//! accepted goes into the shared cache as it was signed, and every worker is
//! woken.

use kya_core::{Body, Position, Revision, UpdateError, VerifiedUpdate, wire};

use crate::cache::{RING, StoreError};
use crate::host::{Host, LogLevel, StreamEnd, StreamId};
use crate::lease::{self, Identity, is_past};
use crate::records::Head;
use crate::retry::Retry;
use crate::roster::Roster;
use crate::stream::Stream;
use crate::vm::Plugin;

const MILLI: u64 = 1_000_000;
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
    retry: Retry,
    /// Newest position that was accepted, or that this VM had verified before.
    position: Option<Position>,
    /// What this leader has stored last.
    head: Option<Head>,
    /// Since when the cache has been ahead of what is to be stored.
    ahead_since_nanos: Option<u64>,
    wants_snapshot: bool,
    asked_nanos: u64,
    /// A position that every worker is expected to reach, and for how many ticks
    /// one has not.
    lag_mark: Option<Position>,
    lag_ticks: u32,
    /// Updates that were not accepted.
    rejected: u32,
    roster: Roster,
}

impl Leader {
    /// A leader that accepts nothing older than `floor`, which this VM verified
    /// itself.
    pub fn new(me: Identity, floor: Option<Position>) -> Self {
        Self {
            me,
            stream: None,
            retry: Retry::default(),
            position: floor,
            head: None,
            ahead_since_nanos: None,
            wants_snapshot: false,
            asked_nanos: 0,
            lag_mark: None,
            lag_ticks: 0,
            rejected: 0,
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
            None if self.retry.is_due(now) => self.open(plugin, now),
            Some(stream) if stream.is_silent(now) => {
                self.give_up(plugin, "it did not answer in time");
            }
            Some(stream) if stream.has_lasted(LASTED_NANOS, now) => {
                self.retry = Retry::default();
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
        // Not whether every worker is at the newest position, which under a
        // stream of changes none may ever be, but whether it comes forward.
        if self.lag_mark.is_some_and(|mark| self.roster.lags(mark)) {
            self.lag_ticks = self.lag_ticks.saturating_add(1);
        } else {
            self.lag_mark = Some(mine.position);
            self.lag_ticks = 0;
        }
        self.wants_snapshot |= self.lag_ticks >= LAG_TICKS;
    }

    /// A message arrived. Says whether the cache moved.
    pub fn message<H: Host>(&mut self, plugin: &Plugin<H>, id: StreamId, bytes: &[u8]) -> bool {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.is(id)) else {
            return false;
        };
        let proven = stream.is_proven();
        let update = match plugin.verifier.verify(bytes) {
            Ok(update) => update,
            Err(error) => {
                let hint = match error {
                    UpdateError::UnknownKey => {
                        ": does `update_keys` hold what `kya-control-plane public-key` prints?"
                    }
                    _ => "",
                };
                self.reject(plugin, error.cause(), &format!("{error}{hint}"));
                return error == UpdateError::BadPayload && proven && self.announce(plugin);
            }
        };
        match update.body() {
            Body::Snapshot { nonce, .. } => {
                if !stream.answers(*nonce) {
                    self.reject(plugin, "wrong_nonce", "a snapshot that answers no open question");
                    return false;
                }
                self.accept_snapshot(plugin, &update, bytes)
            }
            Body::Delta { .. } => {
                if !proven {
                    self.reject(plugin, "unproven", "a change before the first snapshot");
                    return false;
                }
                self.accept_delta(plugin, &update, bytes)
            }
        }
    }

    /// The stream ended, from the other side or in between.
    pub fn closed<H: Host>(&mut self, plugin: &Plugin<H>, id: StreamId, end: &StreamEnd) {
        if self.stream.as_ref().is_some_and(|stream| stream.is(id)) {
            self.stream = None;
            self.retry_later(plugin, &format!("the stream ended: {end}"));
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
            stream.reset(plugin);
        }
    }

    fn open<H: Host>(&mut self, plugin: &Plugin<H>, now: u64) {
        self.roster.start_over();
        match Stream::open(plugin, now) {
            Ok(stream) => self.stream = Some(stream),
            Err(error) => self.retry_later(
                plugin,
                &format!(
                    "no stream could be opened ({error}): has the proxy a cluster of that name?"
                ),
            ),
        }
    }

    /// Asks for a snapshot if one is needed, on a proven stream and not too often.
    fn ask_if_wanted<H: Host>(&mut self, plugin: &Plugin<H>, now: u64) {
        let due = self.wants_snapshot && is_past(self.asked_nanos, now, ASK_NANOS);
        let Some(stream) = self.stream.as_mut().filter(|stream| due && stream.is_proven()) else {
            return;
        };
        self.asked_nanos = now;
        if let Err(error) = stream.ask(plugin, now) {
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
            self.reject(
                plugin,
                "not_newer",
                &format!("revision {}, older than what is enforced here", position.revision),
            );
            self.give_up(plugin, "its state is older than what is enforced here");
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
        if self.stream.as_mut().is_some_and(|stream| stream.prove(plugin.host.now_nanos())) {
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
            self.reject(plugin, "not_newer", "a change that is known already");
            return false;
        }
        let next = self.position.is_some_and(|have| {
            have.epoch == position.epoch && have.revision.next() == position.revision
        });
        if !next {
            self.reject(plugin, "gap", "changes before it are missing");
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
            self.reject(plugin, "not_stored", "the proxy did not store it");
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
        let Some(stream) = self.stream.as_ref().filter(|stream| stream.is_proven()) else {
            return false;
        };
        let sent = stream.send(plugin, wire::proxy_message::Message::Workers(report));
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
        let attempt = self.retry.failed(&plugin.host);
        let meanwhile = match self.position {
            Some(_) => "deciding by the last verified state",
            None => "no state was ever verified, so every request is denied",
        };
        if is_worth_a_line(attempt) {
            plugin.host.log(
                LogLevel::Warn,
                &format!(
                    "control plane (cluster `{}`): {why}; trying again (attempt {attempt}); {meanwhile}",
                    plugin.config.stream_cluster().unwrap_or_default()
                ),
            );
        }
    }

    /// An update is not believed, or cannot be used.
    fn reject<H: Host>(&mut self, plugin: &Plugin<H>, cause: &'static str, why: &str) {
        plugin.metrics.update_rejected(&plugin.host, cause);
        self.rejected = self.rejected.saturating_add(1);
        if is_worth_a_line(self.rejected) {
            let count = self.rejected;
            plugin.host.log(LogLevel::Warn, &format!("update refused ({count} so far): {why}"));
        }
    }
}

/// The first, second, fourth, eighth … of a kind: never silent, never a flood.
fn is_worth_a_line(count: u32) -> bool {
    count.is_power_of_two()
}
