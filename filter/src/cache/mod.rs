//! The shared-data cache: a fixed set of keys through which the VMs of one
//! proxy know the same authority.
//!
//! | key | holds | written by |
//! |---|---|---|
//! | `<ns>/boot` | [`Boot`]: the first two VMs that were configured | these two |
//! | `<ns>/leader` | [`Lease`]: who talks to the control plane | candidates |
//! | `<ns>/head` | [`Head`]: the newest position, and where its base is | leader, last |
//! | `<ns>/keys` | the `SignedUpdate`s by which the trusted keys changed | leader |
//! | `<ns>/fresh` | [`Fresh`]: the newest heartbeat | leader |
//! | `<ns>/challenge` | a `SignedUpdate` with the last challenge | leader |
//! | `<ns>/hurry` | when a worker last needed news, where there are no queues | workers |
//! | `<ns>/manifest/<a or b>` | a `SignedUpdate` with a manifest, as it arrived | leader |
//! | `<ns>/cXXXX` | a chunk, in one of its two places, see [`chunks`] | leader |
//! | `<ns>/delta/<n>` | a `SignedUpdate` with the delta of a revision whose number is `n` modulo 256 | leader |
//! | `<ns>/worker/<n>` | [`Slot`]: what a worker has applied | that worker |
//!
//! Any plugin in the same VM scope can write these keys, so nothing here is
//! believed for being here: updates are kept signed and every reader verifies
//! them, a chunk is believed for the hash that a manifest names, and no reader
//! ever goes back. What remains to such a plugin is to deny, to hold back news
//! for as long as it keeps writing, to claim another VM's acknowledgement, to make
//! an old state look fresh to a VM that the network cuts off as well, and to
//! replay an older signed state to a VM that has none yet. Plugins that are not
//! trusted with that need a `vm_id` of their own.
//!
//! Keys cannot be deleted and a compare-and-swap does not protect a key that is
//! missing: the leader makes the slots empty once, and from then on they are
//! claimed by compare-and-swap.

pub mod chunks;
pub mod records;
pub mod signal;

use kya_core::{Monotonic, Revision, wire};
use prost::Message;
use thiserror::Error;

use crate::host::{Host, Refused, SharedValue, WriteError};
use records::{Boot, Fresh, Head, Lease, Place, Slot};
pub use signal::{Raised, Signal};

/// Deltas that the cache holds. A reader further behind loads the base.
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
    fresh: String,
    signal: Signal,
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

/// Changes of the trusted keys that the cache holds, for VMs that know the pinned
/// ones.
pub const MAX_KEY_CHAIN: usize = 16;

/// Attempts at moving the head while others do.
const ATTEMPTS: usize = 4;

impl Cache {
    /// The cache under this prefix, without its signal.
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            boot: format!("{namespace}/boot"),
            head: format!("{namespace}/head"),
            leader: format!("{namespace}/leader"),
            fresh: format!("{namespace}/fresh"),
            signal: Signal::default(),
        }
    }

    /// The same with the signal by which a VM sees cheaply that the head moved.
    #[must_use]
    pub fn with_signal(self, host: &impl Host) -> Self {
        let signal = Signal::define(host, &self.namespace);
        Self { signal, ..self }
    }

    /// The signal.
    pub fn signal(&self) -> &Signal {
        &self.signal
    }

    /// Prefix of every key.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The newest position; `None` if no leader has stored one.
    pub fn head(&self, host: &impl Host) -> Result<Option<Head>, Unreadable> {
        match host.shared_data(&self.head) {
            Ok(None) => Ok(None),
            Ok(Some(value)) => Head::decode(&value.bytes).map(Some).ok_or(Unreadable),
            Err(_) => Err(Unreadable),
        }
    }

    /// Stores the delta that leads to this revision.
    pub fn store_delta(
        &self,
        host: &impl Host,
        revision: Revision,
        signed: &[u8],
    ) -> Result<(), Refused> {
        host.set_shared_data(&self.delta_key(revision), signed)
    }

    /// Stores a manifest.
    pub fn store_manifest(
        &self,
        host: &impl Host,
        place: Place,
        signed: &[u8],
    ) -> Result<(), Refused> {
        host.set_shared_data(&self.manifest_key(place), signed)
    }

    /// What is stored where a manifest would be, unverified.
    pub fn manifest(&self, host: &impl Host, place: Place) -> Option<Vec<u8>> {
        Some(host.shared_data(&self.manifest_key(place)).ok()??.bytes)
    }

    /// Stores how fresh the state is.
    pub fn store_fresh(&self, host: &impl Host, fresh: &Fresh) -> Result<(), Refused> {
        host.set_shared_data(&self.fresh, &fresh.encode())
    }

    /// How fresh the state is said to be, and the number of the value.
    pub fn fresh(&self, host: &impl Host) -> Option<(Fresh, u32)> {
        let value = host.shared_data(&self.fresh).ok()??;
        Some((Fresh::decode(&value.bytes)?, value.cas))
    }

    /// Stores the updates by which the trusted keys changed, in order.
    pub fn store_keys(&self, host: &impl Host, chain: &[Vec<u8>]) -> Result<(), Refused> {
        let chain = wire::PullResponse {
            messages: chain.iter().filter_map(|signed| signed_message(signed)).collect(),
        };
        host.set_shared_data(&self.key("keys"), &chain.encode_to_vec())
    }

    /// The updates by which the trusted keys changed, unverified, and the number
    /// of the value.
    pub fn keys(&self, host: &impl Host) -> Option<(Vec<wire::SignedUpdate>, u32)> {
        let value = host.shared_data(&self.key("keys")).ok()??;
        let chain = wire::PullResponse::decode(value.bytes.as_slice()).ok()?;
        let signed = chain.messages.into_iter().filter_map(|message| match message.message? {
            wire::control_message::Message::Signed(signed) => Some(signed),
            wire::control_message::Message::Chunks(_) => None,
        });
        Some((signed.take(MAX_KEY_CHAIN).collect(), value.cas))
    }

    /// Stores a challenge for every worker.
    pub fn store_challenge(&self, host: &impl Host, signed: &[u8]) -> Result<(), Refused> {
        host.set_shared_data(&self.key("challenge"), signed)
    }

    /// The last challenge, unverified, and the number of the value.
    pub fn challenge(&self, host: &impl Host) -> Option<SharedValue> {
        host.shared_data(&self.key("challenge")).ok()?
    }

    /// Says that a worker needs news.
    pub fn store_hurry(&self, host: &impl Host, now: Monotonic) -> Result<(), Refused> {
        host.set_shared_data(&self.key("hurry"), &now.0.to_le_bytes())
    }

    /// The number of the last word that a worker needs news; 0 if there was none.
    pub fn hurry(&self, host: &impl Host) -> u32 {
        host.shared_data(&self.key("hurry")).ok().flatten().map_or(0, |value| value.cas)
    }

    /// Moves the head forward. A leader that was overtaken must not move it back.
    pub fn advance_head(&self, host: &impl Host, head: Head) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(there) = host.shared_data(&self.head)? else {
                return Ok(self.restore_head(host, head)?);
            };
            if Head::decode(&there.bytes).is_some_and(|there| there.position > head.position) {
                return Err(StoreError::Newer);
            }
            match host.swap_shared_data(&self.head, &head.encode(), there.cas) {
                Ok(()) => {
                    self.signal.raise(host, &head);
                    return Ok(());
                }
                Err(WriteError::Changed) => {}
                Err(WriteError::Refused(refused)) => return Err(refused.into()),
            }
        }
        Err(StoreError::Contended)
    }

    /// Puts the head right, whatever is there.
    pub fn restore_head(&self, host: &impl Host, head: Head) -> Result<(), Refused> {
        host.set_shared_data(&self.head, &head.encode())?;
        self.signal.raise(host, &head);
        Ok(())
    }

    /// The VMs that were configured last, readable or not, and the number to
    /// overwrite them with.
    pub fn boot(&self, host: &impl Host) -> Result<Option<(Option<Boot>, u32)>, Refused> {
        let value = host.shared_data(&self.boot)?;
        Ok(value.map(|value| (Boot::decode(&value.bytes), value.cas)))
    }

    /// Writes the VMs that were configured first; over `cas` if there was one.
    pub fn store_boot(
        &self,
        host: &impl Host,
        boot: &Boot,
        cas: Option<u32>,
    ) -> Result<(), WriteError> {
        write(host, &self.boot, &boot.encode(), cas)
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

    fn manifest_key(&self, place: Place) -> String {
        self.key(match place {
            Place::A => "manifest/a",
            Place::B => "manifest/b",
        })
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }

    fn delta_key(&self, revision: Revision) -> String {
        format!("{}/delta/{}", self.namespace, revision.0 % RING)
    }

    fn slot_key(&self, slot: u32) -> String {
        format!("{}/worker/{slot}", self.namespace)
    }
}

fn signed_message(encoded: &[u8]) -> Option<wire::ControlMessage> {
    let signed = wire::SignedUpdate::decode(encoded).ok()?;
    Some(wire::ControlMessage { message: Some(wire::control_message::Message::Signed(signed)) })
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
            base: records::BaseAt { position: Position::default(), image: 0, place: Place::A },
        };
        cache.advance_head(&host, head(7)).unwrap();
        assert_eq!(cache.advance_head(&host, head(6)), Err(StoreError::Newer));
        assert_eq!(cache.head(&host), Ok(Some(head(7))));
        cache.advance_head(&host, head(8)).unwrap();
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
