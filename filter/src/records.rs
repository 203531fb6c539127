//! The records of the cache, and their bytes.

use kya_core::{Position, Revision};

use crate::host::QueueId;

/// First byte of every record of this layout; another one is not read.
const LAYOUT: u8 = 1;

/// The VMs that were configured last, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// When the first was, in nanoseconds since 1970.
    pub began_nanos: u64,
    /// Random identity of the first.
    pub first: u64,
    /// Random identity of the second, if there is one.
    pub second: Option<u64>,
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
    /// Whether that VM is the one that had best lead.
    pub preferred: bool,
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

impl Boot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let row = Writer::new().u64(self.began_nanos).u64(self.first);
        self.second.into_iter().fold(row, Writer::u64).done()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let began_nanos = reader.u64()?;
        let first = reader.u64()?;
        let second = reader.u64();
        reader.end(Self { began_nanos, first, second })
    }
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new()
            .u64(self.position.epoch)
            .u64(self.position.revision.0)
            .u64(self.snapshot.0)
            .done()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let position = reader.position()?;
        let snapshot = Revision(reader.u64()?);
        reader.end(Self { position, snapshot })
    }
}

impl Lease {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new()
            .u64(self.instance)
            .u32(self.queue.0)
            .u64(self.renewed_nanos)
            .u32(self.preferred.into())
            .done()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let instance = reader.u64()?;
        let queue = QueueId(reader.u32()?);
        let renewed_nanos = reader.u64()?;
        let preferred = reader.u32()? != 0;
        reader.end(Self { instance, queue, renewed_nanos, preferred })
    }
}

impl Slot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new()
            .u64(self.instance)
            .u32(self.queue.0)
            .u64(self.position.epoch)
            .u64(self.position.revision.0)
            .u64(self.applied_nanos)
            .u64(self.renewed_nanos)
            .done()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let instance = reader.u64()?;
        let queue = QueueId(reader.u32()?);
        let position = reader.position()?;
        let applied_nanos = reader.u64()?;
        let renewed_nanos = reader.u64()?;
        reader.end(Self { instance, queue, position, applied_nanos, renewed_nanos })
    }
}

/// Writes a record field by field: little-endian numbers behind the layout's.
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

/// Reads a record field by field; `None` from the first that is not there.
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
        for second in [None, Some(3)] {
            let boot = Boot { began_nanos: 1, first: 2, second };
            assert_eq!(Boot::decode(&boot.encode()), Some(boot));
        }
        let lease = Lease { instance: 9, queue: QueueId(4), renewed_nanos: 5, preferred: true };
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
}
