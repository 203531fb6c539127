//! The slot in which a worker says what it decides by.

use crate::cache::MAX_WORKERS;
use crate::cache::records::Slot;
use crate::clock;
use crate::host::{Host, LogLevel};
use crate::lead::lease::{Identity, is_past};
use crate::plugin::Plugin;

/// A slot that was not renewed for so long is free.
pub const SLOT_EXPIRY_NANOS: u64 = 5_000_000_000;

/// The slot of one worker, if it has one.
#[derive(Debug, Default)]
pub struct SlotHolder {
    slot: Option<u32>,
    warned_full: bool,
}

impl SlotHolder {
    /// Number of the slot.
    pub fn number(&self) -> Option<u32> {
        self.slot
    }

    /// Writes a worker's word into its slot, claiming one if it has none. Says
    /// which slot holds the word.
    pub fn keep<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        me: Identity,
        word: impl FnOnce(u64) -> Slot,
    ) -> Option<u32> {
        let now = clock::monotonic_nanos(&plugin.host);
        let word = word(now);
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
    pub fn release<H: Host>(&mut self, plugin: &Plugin<H>, me: Identity) {
        let Some(number) = self.slot.take() else { return };
        if let Some((Some(held), cas)) = plugin.cache.slot(&plugin.host, number)
            && held.instance == me.instance
        {
            // Changed meanwhile means that somebody else has it already.
            let _ = plugin.cache.store_slot(&plugin.host, number, None, cas);
        }
    }
}
