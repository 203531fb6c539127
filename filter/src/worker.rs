//! A worker: decoded authority in one VM, and the word of what it has applied.

use kya_core::{Authority, Position, UnixSeconds, VerifiedUpdate};

use crate::cache::{MAX_WORKERS, RING};
use crate::host::{Host, LogLevel};
use crate::lease::{Identity, is_past};
use crate::records::{Head, Slot};
use crate::vm::Plugin;

/// A slot that was not renewed for so long is free.
pub const SLOT_EXPIRY_NANOS: u64 = 5_000_000_000;
/// Tokens are kept for so long after they expired, to be denied as expired.
const EXPIRED_KEPT_SECONDS: u64 = 3_600;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What one VM decides by.
#[derive(Debug, Default)]
pub struct Worker {
    authority: Authority,
    /// What it decides by while it knows of a newer state that it cannot read.
    nothing: Authority,
    /// The newest position that was announced and could not be read. It stays
    /// until it, or a newer one, is reached: a head that was set back is no
    /// reason to go on by what is known to be old.
    stuck_at: Option<Position>,
    /// The head at which reading failed last.
    failed_at: Option<Head>,
    /// There is no head, or it cannot be read: there may be news.
    blind: bool,
    applied_nanos: u64,
    slot: Option<u32>,
    warned_full: bool,
}

impl Worker {
    /// The state to decide by: the newest that could be verified, or none at
    /// all while the cache cannot be read, or is known to hold a newer state
    /// that could not be.
    pub fn authority(&self) -> &Authority {
        if self.blind || self.stuck_at.is_some() { &self.nothing } else { &self.authority }
    }

    /// The newest verified position.
    pub fn position(&self) -> Option<Position> {
        self.authority.position()
    }

    /// The slot that this worker holds.
    pub fn slot(&self) -> Option<u32> {
        self.slot
    }

    /// Brings the authority to the newest position in the cache. Cheap when it
    /// is there already. Says whether the position moved.
    ///
    /// What could not be read is tried again only when the cache has moved on,
    /// or when `retry` says so: requests must not pay for it each time.
    pub fn sync<H: Host>(&mut self, plugin: &Plugin<H>, retry: bool) -> bool {
        let Ok(Some(head)) = plugin.cache.head(&plugin.host) else {
            self.blind = true;
            return false;
        };
        self.blind = false;
        let before = self.authority.position();
        if before >= Some(head.position) || (self.failed_at == Some(head) && !retry) {
            return false;
        }
        if !self.apply_deltas(plugin, head.position) {
            self.apply_snapshot(plugin);
            self.apply_deltas(plugin, head.position);
        }
        let after = self.authority.position();
        let failed = after < Some(head.position);
        if failed && self.failed_at != Some(head) {
            plugin.host.log(
                LogLevel::Warn,
                &format!(
                    "revision {} was announced but cannot be read: denying until it can",
                    head.position.revision
                ),
            );
        }
        self.failed_at = failed.then_some(head);
        self.stuck_at = self
            .stuck_at
            .max(failed.then_some(head.position))
            .filter(|announced| after < Some(*announced));
        if after == before {
            return false;
        }
        self.applied_nanos = plugin.host.now_nanos();
        true
    }

    /// Forgets tokens that expired long ago.
    pub fn sweep<H: Host>(&mut self, plugin: &Plugin<H>) {
        let now = plugin.host.now_nanos() / NANOS_PER_SECOND;
        self.authority.forget_expired(UnixSeconds(now.saturating_sub(EXPIRED_KEPT_SECONDS)));
    }

    /// Writes into this worker's slot what it has applied, claiming a slot if
    /// it has none. Says which slot holds the word.
    pub fn keep_slot<H: Host>(&mut self, plugin: &Plugin<H>, me: Identity) -> Option<u32> {
        let now = plugin.host.now_nanos();
        let word = Slot {
            instance: me.instance,
            queue: me.queue,
            position: self.authority.position().unwrap_or_default(),
            applied_nanos: self.applied_nanos,
            renewed_nanos: now,
        };
        let (host, cache) = (&plugin.host, &plugin.cache);
        if let Some(number) = self.slot {
            if let Some((Some(held), cas)) = cache.slot(host, number)
                && held.instance == me.instance
                && cache.store_slot(host, number, Some(&word), cas).is_ok()
            {
                return self.slot;
            }
            self.slot = None;
        }
        for number in 0..MAX_WORKERS {
            // The leader has not made the slots yet: the next tick tries again.
            let (held, cas) = cache.slot(host, number)?;
            let free = held.is_none_or(|held| is_past(held.renewed_nanos, now, SLOT_EXPIRY_NANOS));
            if free && cache.store_slot(host, number, Some(&word), cas).is_ok() {
                self.slot = Some(number);
                return self.slot;
            }
        }
        if !self.warned_full {
            self.warned_full = true;
            host.log(
                LogLevel::Warn,
                "more than 128 workers: this one enforces, but is not listed and cannot acknowledge",
            );
        }
        None
    }

    /// Gives the slot back, in a VM that turns out not to serve requests.
    pub fn release_slot<H: Host>(&mut self, plugin: &Plugin<H>, me: Identity) {
        let Some(number) = self.slot.take() else { return };
        if let Some((Some(held), cas)) = plugin.cache.slot(&plugin.host, number)
            && held.instance == me.instance
        {
            // Changed meanwhile means that somebody else has it already.
            let _ = plugin.cache.store_slot(&plugin.host, number, None, cas);
        }
    }

    /// Applies the deltas that lead to `target`; false if one is not there.
    fn apply_deltas<H: Host>(&mut self, plugin: &Plugin<H>, target: Position) -> bool {
        for _ in 0..RING {
            let Some(have) = self.authority.position() else { return false };
            if have >= target {
                return true;
            }
            let next = Position { epoch: have.epoch, revision: have.revision.next() };
            let Some(bytes) = plugin.cache.delta(&plugin.host, next.revision) else {
                return false;
            };
            // Another position here means that the ring has gone round.
            let applied = verify(plugin, &bytes)
                .filter(|update| update.position() == next)
                .is_some_and(|update| self.authority.apply(&update).is_ok());
            if !applied {
                return false;
            }
        }
        self.authority.position() >= Some(target)
    }

    fn apply_snapshot<H: Host>(&mut self, plugin: &Plugin<H>) {
        if let Some(bytes) = plugin.cache.snapshot(&plugin.host)
            && let Some(update) = verify(plugin, &bytes)
        {
            // One that is not newer is no help, and no harm.
            let _ = self.authority.apply(&update);
        }
    }
}

fn verify<H: Host>(plugin: &Plugin<H>, bytes: &[u8]) -> Option<VerifiedUpdate> {
    plugin
        .verifier
        .verify(bytes)
        .inspect_err(|error| plugin.metrics.update_rejected(&plugin.host, error.cause()))
        .ok()
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
