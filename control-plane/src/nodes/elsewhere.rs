//! Registrations that other servers revoke: what runs under them ends here, too.

use std::time::Duration;

use kya_core::Position;
use tokio::time::{MissedTickBehavior, interval};

use super::{NodeAccess, NodeName};
use crate::store::{NODE_REVOKED, StoreError};

/// Events read at a time.
const BATCH: u32 = 256;

/// Up to which event everything was looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looked {
    position: Position,
    event: u64,
}

impl NodeAccess {
    /// Where to begin: from before the first proxy is let in.
    pub(crate) async fn looked(&self) -> Result<Looked, StoreError> {
        let position = self.store.head().await?.position;
        Ok(Looked { position, event: self.store.newest_event().await? })
    }

    /// Ends the sessions of whatever other servers revoke, for ever. Where no other
    /// server can it returns at once.
    pub(crate) async fn follow_others(&self, mut looked: Looked, every: Duration) {
        let mut commits = self.store.commits();
        if !commits.are_shared() {
            return;
        }
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = commits.next() => {}
            }
            if let Err(error) = self.look(&mut looked).await {
                tracing::debug!(%error, "cannot see what other servers have revoked; looking again");
            }
        }
    }

    async fn look(&self, looked: &mut Looked) -> Result<(), StoreError> {
        let now = self.looked().await?;
        if now.position.epoch != looked.position.epoch {
            // The log may be another one, which counts some events a second time:
            // every stream of the epoch before ends, and is checked when it returns.
            *looked = Looked { event: looked.event.min(now.event), ..now };
        }
        while looked.event < now.event {
            let events = self.store.events_after(looked.event, BATCH).await?;
            let Some(last) = events.last() else { return Ok(()) };
            looked.event = last.sequence;
            for event in events.iter().filter(|event| event.action == NODE_REVOKED) {
                if let Ok(name) = event.subject.parse::<NodeName>() {
                    self.was_revoked(&name);
                }
            }
        }
        Ok(())
    }
}
