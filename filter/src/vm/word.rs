//! What a VM says of itself, in its slot and to the leader.

use super::Vm;
use crate::cache::records::Slot;
use crate::config::Transport;
use crate::host::{Host, LogLevel, QueueId};
use crate::lead::lease::Identity;

impl<H: Host> Vm<H> {
    /// Whether everything is cut now that the newest position ends, and was not before.
    pub(super) fn note_enforced(&mut self) -> bool {
        let position = self.worker.authority().position().unwrap_or_default();
        let is_news = self.live.condemned() == 0 && self.enforced != position;
        if is_news {
            self.enforced = position;
        }
        is_news
    }

    /// Says by which position it decides, as far as everything is cut that this ends.
    pub(super) fn publish_word(&mut self, me: Identity) {
        let worker = &self.worker;
        let (state_age, cut) = (worker.state_age(&self.plugin), self.cut);
        let word = |renewed_nanos| Slot {
            instance: me.instance,
            queue: me.queue,
            position: worker.authority().position().unwrap_or_default().min(self.enforced),
            applied_nanos: worker.applied_nanos(),
            renewed_nanos,
            challenge: worker.challenge(),
            state_age,
            cut,
        };
        let Some(slot) = self.slot.keep(&self.plugin, me, word) else { return };
        if let Ok(Some((Some(lease), _))) = self.plugin.cache.lease(&self.plugin.host) {
            self.plugin.enqueue(lease.queue, &slot.to_le_bytes());
        }
    }

    /// What it is known by, once the proxy has given it a queue.
    pub(super) fn identity(&mut self) -> Option<Identity> {
        if self.identity.is_none() {
            if self.plugin.config.transport == Transport::Http {
                // Nothing is ever put into it.
                let me = Identity { instance: self.instance, queue: QueueId(0) };
                self.identity = Some(me);
                return self.identity;
            }
            let name = self.plugin.cache.queue_name(self.instance);
            match self.plugin.host.register_queue(&name) {
                Ok(queue) => self.identity = Some(Identity { instance: self.instance, queue }),
                Err(refused) => self
                    .plugin
                    .host
                    .log(LogLevel::Error, &format!("the proxy gives no queue: {refused}")),
            }
        }
        self.identity
    }
}
