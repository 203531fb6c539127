//! What a worker reads beside the state: how fresh it is, which keys count, and
//! what the workers are asked to show.

use kya_core::Body;

use super::Worker;
use crate::clock;
use crate::host::Host;
use crate::plugin::Plugin;

impl Worker {
    /// Reads how fresh the state is, and what the workers are asked to show.
    pub fn refresh<H: Host>(&mut self, plugin: &Plugin<H>) {
        self.read_fresh(plugin);
        self.read_challenge(plugin);
    }

    pub(super) fn read_fresh<H: Host>(&mut self, plugin: &Plugin<H>) {
        let Some((fresh, cas)) = plugin.cache.fresh(&plugin.host) else { return };
        if cas == self.seen_fresh {
            return;
        }
        self.learn_keys(plugin);
        let Some(update) = self.verify(plugin, &fresh.heartbeat) else { return };
        // One that speaks of a state that this VM has not got yet is read again.
        if !matches!(update.body(), Body::Heartbeat { .. })
            || self.position() < Some(update.position())
        {
            return;
        }
        self.seen_fresh = cas;
        let now = clock::monotonic(&plugin.host);
        self.freshness.anchored(fresh.anchor, now);
        self.freshness.heard(update.issued(), now);
    }

    fn read_challenge<H: Host>(&mut self, plugin: &Plugin<H>) {
        let Some(value) = plugin.cache.challenge(&plugin.host) else { return };
        if value.cas == self.seen_challenge {
            return;
        }
        self.seen_challenge = value.cas;
        self.learn_keys(plugin);
        if let Some(update) = self.verify(plugin, &value.bytes)
            && let Body::Challenge(nonce) = update.body()
            && let Some(first) = nonce.0.first_chunk()
        {
            self.challenge = u64::from_le_bytes(*first);
        }
    }

    pub(super) fn learn_keys<H: Host>(&mut self, plugin: &Plugin<H>) {
        let Some((chain, cas)) = plugin.cache.keys(&plugin.host) else { return };
        if cas == self.seen_keys {
            return;
        }
        self.seen_keys = cas;
        for signed in chain {
            // One that was learnt before may be signed by a key that is retired.
            if let Ok(update) = self.verifier.verify_signed(&signed) {
                self.verifier.learn(&update);
            }
        }
    }
}
