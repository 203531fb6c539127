//! The shared-data cache: a fixed set of keys through which the VMs of one
//! proxy know the same authority.
//!
//! | key | holds | written by |
//! |---|---|---|
//! | `<ns>/boot` | [`Boot`]: the VMs that were configured last | every VM, once |
//! | `<ns>/leader` | [`Lease`]: who holds the stream | candidates |
//! | `<ns>/head` | [`Head`]: the newest position | leader, last |
//! | `<ns>/snapshot` | a `SignedUpdate` with a snapshot, as it arrived | leader |
//! | `<ns>/delta/<n>` | a `SignedUpdate` with the delta of a revision whose number is `n` modulo 256 | leader |
//! | `<ns>/worker/<n>` | [`Slot`]: what a worker has applied | that worker |
//!
//! Any plugin in the same VM scope can write these keys, so nothing here is
//! believed for being here: updates are kept signed and every reader verifies
//! them, and no reader ever goes back. What remains to such a plugin is to deny,
//! to hold back news for as long as it keeps writing, to claim another VM's
//! acknowledgement, and to replay an older signed state to a VM that has none
//! yet. Plugins that are not trusted with that need a `vm_id` of their own.
//!
//! Keys cannot be deleted and a compare-and-swap does not protect a key that is
//! missing: the leader makes the slots empty once, and from then on they are
//! claimed by compare-and-swap.

use kya_core::Revision;
use thiserror::Error;

use crate::host::{Host, Refused, SharedValue, WriteError};
use crate::records::{Boot, Head, Lease, Slot};

/// Deltas that the cache holds. A reader further behind loads the snapshot.
pub const RING: u64 = 256;
/// Most workers of one proxy.
pub const MAX_WORKERS: u32 = 128;

/// The names of the keys.
#[derive(Debug, Clone)]
pub struct Cache {
    namespace: String,
    boot: String,
    head: String,
    leader: String,
    snapshot: String,
}

/// Why something was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The cache is at a newer position already.
    #[error("the cache holds a newer position")]
    Newer,
    /// Others kept writing the same key.
    #[error("other VMs kept writing at the same time")]
    Contended,
    /// The proxy refused.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// There is a head, or may be one, that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the head of the cache cannot be read")]
pub struct Unreadable;

/// Attempts at moving the head while others do.
const ATTEMPTS: usize = 4;

impl Cache {
    /// The cache under this prefix.
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            boot: format!("{namespace}/boot"),
            head: format!("{namespace}/head"),
            leader: format!("{namespace}/leader"),
            snapshot: format!("{namespace}/snapshot"),
        }
    }

    /// The newest position; `None` if no leader has stored one.
    pub fn head(&self, host: &impl Host) -> Result<Option<Head>, Unreadable> {
        match host.shared_data(&self.head) {
            Ok(None) => Ok(None),
            Ok(Some(value)) => Head::decode(&value.bytes).map(Some).ok_or(Unreadable),
            Err(_) => Err(Unreadable),
        }
    }

    /// Stores a snapshot, then moves the head to it.
    pub fn store_snapshot(
        &self,
        host: &impl Host,
        head: Head,
        signed: &[u8],
    ) -> Result<(), StoreError> {
        host.set_shared_data(&self.snapshot, signed)?;
        self.advance_head(host, head)
    }

    /// Stores the delta that leads to `head.position`, then moves the head to it.
    pub fn store_delta(
        &self,
        host: &impl Host,
        head: Head,
        signed: &[u8],
    ) -> Result<(), StoreError> {
        host.set_shared_data(&self.delta_key(head.position.revision), signed)?;
        self.advance_head(host, head)
    }

    /// Moves the head forward. A leader that was overtaken must not move it back.
    pub fn advance_head(&self, host: &impl Host, head: Head) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(there) = host.shared_data(&self.head)? else {
                return Ok(host.set_shared_data(&self.head, &head.encode())?);
            };
            if Head::decode(&there.bytes).is_some_and(|there| there.position > head.position) {
                return Err(StoreError::Newer);
            }
            match host.swap_shared_data(&self.head, &head.encode(), there.cas) {
                Ok(()) => return Ok(()),
                Err(WriteError::Changed) => {}
                Err(WriteError::Refused(refused)) => return Err(refused.into()),
            }
        }
        Err(StoreError::Contended)
    }

    /// Puts the head right, whatever is there.
    pub fn restore_head(&self, host: &impl Host, head: Head) -> Result<(), Refused> {
        host.set_shared_data(&self.head, &head.encode())
    }

    /// The VMs that were configured last, readable or not, and the number to
    /// overwrite them with.
    pub fn boot(&self, host: &impl Host) -> Result<Option<(Option<Boot>, u32)>, Refused> {
        let value = host.shared_data(&self.boot)?;
        Ok(value.map(|value| (Boot::decode(&value.bytes), value.cas)))
    }

    /// Writes the VMs that were configured last; over `cas` if there was one.
    pub fn store_boot(
        &self,
        host: &impl Host,
        boot: &Boot,
        cas: Option<u32>,
    ) -> Result<(), WriteError> {
        write(host, &self.boot, &boot.encode(), cas)
    }

    /// The stored snapshot, unverified.
    pub fn snapshot(&self, host: &impl Host) -> Option<Vec<u8>> {
        Some(host.shared_data(&self.snapshot).ok()??.bytes)
    }

    /// What is stored where the delta of this revision would be, unverified.
    pub fn delta(&self, host: &impl Host, revision: Revision) -> Option<Vec<u8>> {
        Some(host.shared_data(&self.delta_key(revision)).ok()??.bytes)
    }

    /// The lease, readable or not, and the number to overwrite it with.
    pub fn lease(&self, host: &impl Host) -> Result<Option<(Option<Lease>, u32)>, Refused> {
        let value = host.shared_data(&self.leader)?;
        Ok(value.map(|value| (Lease::decode(&value.bytes), value.cas)))
    }

    /// Writes the lease; over `cas` if there was one.
    pub fn store_lease(
        &self,
        host: &impl Host,
        lease: &Lease,
        cas: Option<u32>,
    ) -> Result<(), WriteError> {
        write(host, &self.leader, &lease.encode(), cas)
    }

    /// Makes every slot that does not exist yet, empty.
    pub fn prepare_slots(&self, host: &impl Host) -> Result<(), Refused> {
        for slot in 0..MAX_WORKERS {
            let key = self.slot_key(slot);
            if host.shared_data(&key)?.is_none() {
                host.set_shared_data(&key, &[])?;
            }
        }
        Ok(())
    }

    /// A slot's value; `None` while the leader has not made it.
    pub fn slot(&self, host: &impl Host, slot: u32) -> Option<(Option<Slot>, u32)> {
        let SharedValue { bytes, cas } = host.shared_data(&self.slot_key(slot)).ok()??;
        Some((Slot::decode(&bytes), cas))
    }

    /// Writes a slot if it is still as it was read; `None` empties it.
    pub fn store_slot(
        &self,
        host: &impl Host,
        slot: u32,
        value: Option<&Slot>,
        cas: u32,
    ) -> Result<(), WriteError> {
        let bytes = value.map(Slot::encode).unwrap_or_default();
        host.swap_shared_data(&self.slot_key(slot), &bytes, cas)
    }

    /// Every slot that a worker holds, by number.
    pub fn slots(&self, host: &impl Host) -> Vec<(u32, Slot)> {
        (0..MAX_WORKERS)
            .map_while(|number| Some((number, self.slot(host, number)?.0)))
            .filter_map(|(number, slot)| Some((number, slot?)))
            .collect()
    }

    /// Name of the queue of a VM. The instance keeps VMs apart that live in the
    /// same proxy.
    pub fn queue_name(&self, instance: u64) -> String {
        format!("{}/queue/{instance:016x}", self.namespace)
    }

    fn delta_key(&self, revision: Revision) -> String {
        format!("{}/delta/{}", self.namespace, revision.0 % RING)
    }

    fn slot_key(&self, slot: u32) -> String {
        format!("{}/worker/{slot}", self.namespace)
    }
}

fn write(host: &impl Host, key: &str, value: &[u8], cas: Option<u32>) -> Result<(), WriteError> {
    match cas {
        Some(cas) => host.swap_shared_data(key, value, cas),
        None => Ok(host.set_shared_data(key, value)?),
    }
}

#[cfg(test)]
mod tests {
    use kya_core::Position;

    use super::*;

    #[test]
    fn a_leader_that_was_overtaken_does_not_move_the_head_back() {
        let (host, cache) = (crate::testing::Proxy::new().host(), Cache::new("kya/t"));
        let head = |revision| Head {
            position: Position { epoch: 1, revision: Revision(revision) },
            snapshot: Revision(1),
        };
        cache.store_delta(&host, head(7), b"seven").unwrap();
        assert_eq!(cache.store_delta(&host, head(6), b"six"), Err(StoreError::Newer));
        assert_eq!(cache.store_snapshot(&host, head(6), b"six"), Err(StoreError::Newer));
        assert_eq!(cache.head(&host), Ok(Some(head(7))));
        cache.store_delta(&host, head(8), b"eight").unwrap();
        assert_eq!(cache.head(&host), Ok(Some(head(8))));
    }

    #[test]
    fn the_ring_has_a_fixed_set_of_keys() {
        let cache = Cache::new("kya/0");
        let keys: std::collections::BTreeSet<_> =
            (0..10 * RING).map(|revision| cache.delta_key(Revision(revision))).collect();
        assert_eq!(keys.len() as u64, RING);
    }
}
