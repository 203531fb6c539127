//! Keeping the cache as this leader has stored it.

use kya_core::Monotonic;

use super::{Intake, LATE_MILLIS};
use crate::cache::RING;
use crate::clock;
use crate::host::Host;
use crate::plugin::Plugin;

/// A base further back than this is replaced, while deltas still reach it.
const COMPACT_AFTER: u64 = RING / 2;
/// Chunks that are looked at in one call of [`Intake::audit`].
const AUDITED: u32 = 64;

impl Intake {
    /// Compares the cache with what this leader has stored in it: another plugin,
    /// or a leader that was overtaken, may have written since. Says whether the
    /// workers are to look.
    pub fn mind<H: Host>(&mut self, plugin: &Plugin<H>) -> bool {
        let Some(mine) = self.head else { return false };
        let there = plugin.cache.head(&plugin.host);
        let mut restored = false;
        if there != Ok(Some(mine)) {
            // One that is ahead is taken up when the next update is stored.
            let ahead = matches!(there, Ok(Some(there)) if there.position > mine.position);
            restored = !ahead && plugin.cache.restore_head(&plugin.host, mine).is_ok();
            self.wants_manifest = true;
        } else {
            self.audit(plugin);
        }
        // Heartbeats do not come, whatever else does.
        let now = clock::monotonic(&plugin.host);
        let old = |then: Monotonic| now.0.saturating_sub(then.0) > LATE_MILLIS;
        self.wants_probe |= self.freshness.age(now).is_some_and(|age| age > LATE_MILLIS)
            && self.freshness.anchor().is_some_and(|anchor| old(anchor.asked));
        let since = mine.position.revision.0.saturating_sub(mine.base.position.revision.0);
        self.wants_manifest |= since >= COMPACT_AFTER && self.fetch.is_none();
        restored
    }

    /// Looks whether the next chunks of the base are there, and empties what an
    /// older base has left beside them. It gets round to all of them.
    fn audit<H: Host>(&mut self, plugin: &Plugin<H>) {
        let Some(base) = self.base.as_ref().filter(|_| self.fetch.is_none()) else { return };
        let end = self.audited_to.saturating_add(AUDITED);
        for index in self.audited_to..end {
            if base.hash(index).is_none() {
                self.audited_to = 0;
                return;
            }
            if plugin.cache.tidy_chunk(&plugin.host, base, index).is_err() {
                self.torn.insert(index);
                self.wants_manifest = true;
            }
        }
        self.audited_to = end;
    }
}
