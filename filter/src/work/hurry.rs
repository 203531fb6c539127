//! A worker that needs news asks the leader to look for them.

use kya_core::Monotonic;

use crate::clock;
use crate::config::Transport;
use crate::host::Host;
use crate::plugin::Plugin;

/// What the leader finds in its queue.
pub const HURRY: &[u8] = b"?";
/// It is asked no more often than this.
const AGAIN_MILLIS: u64 = 1_000;

/// When this worker last asked.
#[derive(Debug, Default)]
pub struct Hurry(Option<Monotonic>);

impl Hurry {
    /// Has the leader look for news, though not more often than once a second.
    pub fn ask<H: Host>(&mut self, plugin: &Plugin<H>) {
        let now = clock::monotonic(&plugin.host);
        if self.0.is_some_and(|last| now.0.saturating_sub(last.0) < AGAIN_MILLIS) {
            return;
        }
        self.0 = Some(now);
        if plugin.config.transport == Transport::Http {
            // A word that is lost is followed by another.
            let _ = plugin.cache.store_hurry(&plugin.host, now);
            return;
        }
        if let Ok(Some((Some(lease), _))) = plugin.cache.lease(&plugin.host) {
            plugin.enqueue(lease.queue, HURRY);
        }
    }
}
