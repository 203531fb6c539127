//! The shared-data cache: a fixed set of keys through which the VMs of one
//! proxy know the same authority.
//!
//! | key | holds | written by |
//! |---|---|---|
//! | `<ns>/leader` | [`Lease`]: who holds the stream | candidates |
//! | `<ns>/head` | [`Head`]: the newest position | leader, last |
//! | `<ns>/snapshot` | a `SignedUpdate` with a snapshot, as it arrived | leader |
//! | `<ns>/delta/<n>` | a `SignedUpdate` with the delta of a revision whose number is `n` modulo 256 | leader |
//! | `<ns>/worker/<n>` | [`Slot`]: what a worker has applied | that worker |
//!
//! Any plugin in the same VM scope can write these keys, so nothing here is
//! believed for being here: updates are kept signed and every reader verifies
//! them; `Head`, `Lease` and `Slot` are hints whose loss or forgery can delay or
//! deny, never allow.
//!
//! Keys cannot be deleted and a compare-and-swap does not protect a key that is
//! missing: the leader makes the slots empty once, and from then on they are
//! claimed by compare-and-swap.

use kya_core::{Position, Revision};

use crate::host::{Host, QueueId, Refused, SharedValue, WriteError};

/// Deltas that the cache holds. A reader further behind loads the snapshot.
pub const RING: u64 = 256;
/// Most workers of one proxy.
pub const MAX_WORKERS: u32 = 128;

/// First byte of every record of this layout; another one is not read.
const LAYOUT: u8 = 1;

/// The names of the keys.
#[derive(Debug, Clone)]
pub struct Cache {
    namespace: String,
    head: String,
    leader: String,
    snapshot: String,
}

/// The newest position, and the snapshot from which deltas lead to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Newest position in the cache.
    pub position: Position,
    /// Revision of the snapshot in the cache, of the same epoch.
    pub snapshot: Revision,
}

/// Who holds the stream to the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Random identity of the VM.
    pub instance: u64,
    /// Queue by which the leader is woken.
    pub queue: QueueId,
    /// When it was last renewed, in nanoseconds since 1970.
    pub renewed_nanos: u64,
    /// Whether that VM serves requests, and would rather not lead.
    pub serves: bool,
}

/// What a worker has applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Random identity of the VM.
    pub instance: u64,
    /// Queue by which the worker is woken.
    pub queue: QueueId,
    /// Position by which it decides; epoch 0 before the first.
    pub position: Position,
    /// When it applied it, in nanoseconds since 1970.
    pub applied_nanos: u64,
    /// When the slot was last renewed, in nanoseconds since 1970.
    pub renewed_nanos: u64,
}

impl Cache {
    /// The cache under this prefix.
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            head: format!("{namespace}/head"),
            leader: format!("{namespace}/leader"),
            snapshot: format!("{namespace}/snapshot"),
        }
    }

    /// The newest position, if a leader has stored one.
    pub fn head(&self, host: &impl Host) -> Option<Head> {
        let value = host.shared_data(&self.head).ok()??;
        Head::decode(&value.bytes)
    }

    /// Stores a snapshot, then moves the head to it.
    pub fn store_snapshot(
        &self,
        host: &impl Host,
        position: Position,
        signed: &[u8],
    ) -> Result<(), Refused> {
        host.set_shared_data(&self.snapshot, signed)?;
        let head = Head { position, snapshot: position.revision };
        host.set_shared_data(&self.head, &head.encode())
    }

    /// Stores the delta that leads to `head.position`, then moves the head to it.
    pub fn store_delta(&self, host: &impl Host, head: Head, signed: &[u8]) -> Result<(), Refused> {
        host.set_shared_data(&self.delta_key(head.position.revision), signed)?;
        host.set_shared_data(&self.head, &head.encode())
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
        match cas {
            Some(cas) => host.swap_shared_data(&self.leader, &lease.encode(), cas),
            None => Ok(host.set_shared_data(&self.leader, &lease.encode())?),
        }
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

impl Head {
    fn encode(&self) -> Vec<u8> {
        Writer::new()
            .u64(self.position.epoch)
            .u64(self.position.revision.0)
            .u64(self.snapshot.0)
            .done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let position = reader.position()?;
        let snapshot = Revision(reader.u64()?);
        reader.end(Self { position, snapshot })
    }
}

impl Lease {
    fn encode(&self) -> Vec<u8> {
        Writer::new()
            .u64(self.instance)
            .u32(self.queue.0)
            .u64(self.renewed_nanos)
            .u32(self.serves.into())
            .done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let instance = reader.u64()?;
        let queue = QueueId(reader.u32()?);
        let renewed_nanos = reader.u64()?;
        let serves = reader.u32()? != 0;
        reader.end(Self { instance, queue, renewed_nanos, serves })
    }
}

impl Slot {
    fn encode(&self) -> Vec<u8> {
        Writer::new()
            .u64(self.instance)
            .u32(self.queue.0)
            .u64(self.position.epoch)
            .u64(self.position.revision.0)
            .u64(self.applied_nanos)
            .u64(self.renewed_nanos)
            .done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let instance = reader.u64()?;
        let queue = QueueId(reader.u32()?);
        let position = reader.position()?;
        let applied_nanos = reader.u64()?;
        let renewed_nanos = reader.u64()?;
        reader.end(Self { instance, queue, position, applied_nanos, renewed_nanos })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        Self(vec![LAYOUT])
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn done(self) -> Vec<u8> {
        self.0
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&LAYOUT, rest) => Some(Self(rest)),
            _ => None,
        }
    }

    fn u64(&mut self) -> Option<u64> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }

    fn u32(&mut self) -> Option<u32> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*value))
    }

    fn position(&mut self) -> Option<Position> {
        Some(Position { epoch: self.u64()?, revision: Revision(self.u64()?) })
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position { epoch: 3, revision: Revision(0x0102_0304_0506_0708) };

    #[test]
    fn records_are_read_as_they_were_written() {
        let head = Head { position: AT, snapshot: Revision(7) };
        assert_eq!(Head::decode(&head.encode()), Some(head));
        let lease = Lease { instance: 9, queue: QueueId(4), renewed_nanos: 5, serves: true };
        assert_eq!(Lease::decode(&lease.encode()), Some(lease));
        let slot = Slot {
            instance: u64::MAX,
            queue: QueueId(2),
            position: AT,
            applied_nanos: 11,
            renewed_nanos: 12,
        };
        assert_eq!(Slot::decode(&slot.encode()), Some(slot));
    }

    #[test]
    fn anything_else_is_not_a_record() {
        let good = Head { position: AT, snapshot: Revision(7) }.encode();
        for length in 0..good.len() {
            assert_eq!(Head::decode(&good[..length]), None);
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(Head::decode(&longer), None);
        let mut other_layout = good;
        other_layout[0] = 2;
        assert_eq!(Head::decode(&other_layout), None);
        assert_eq!(Slot::decode(b"\x01garbage from another plugin"), None);
    }

    #[test]
    fn the_ring_has_a_fixed_set_of_keys() {
        let cache = Cache::new("kya/0");
        let keys: std::collections::BTreeSet<_> =
            (0..10 * RING).map(|revision| cache.delta_key(Revision(revision))).collect();
        assert_eq!(keys.len() as u64, RING);
    }
}
