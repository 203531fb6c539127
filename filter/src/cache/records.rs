//! The records of the cache, and their bytes.

use kya_core::{Anchor, Monotonic, Position, Revision, UnixMillis};

use crate::host::QueueId;

/// First byte of every record of this layout; another one is not read.
const LAYOUT: u8 = 2;

/// The VMs that were configured last, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// When the first was, by the monotonic clock.
    pub began_nanos: u64,
    /// Random identity of the first.
    pub first: u64,
    /// Random identity of the second, if there is one.
    pub second: Option<u64>,
}

/// The newest position, and the base from which deltas lead to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Newest position in the cache.
    pub position: Position,
    /// The manifest in the cache.
    pub base: BaseAt,
}

/// Which manifest is the base, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseAt {
    /// What it describes.
    pub position: Position,
    /// The first 8 bytes of the name of its image: two manifests of one position
    /// can differ in tokens that expired long ago.
    pub image: u64,
    /// In which of its two places it is.
    pub place: Place,
}

/// One of the two places that a manifest and each chunk have, so that the next
/// can be written while the last is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first.
    A,
    /// The second.
    B,
}

impl Place {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::A),
            1 => Some(Self::B),
            _ => None,
        }
    }
}

/// How fresh the state at the head is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// The last nonce that came back.
    pub anchor: Anchor,
    /// The newest `SignedUpdate` with a heartbeat, as it arrived.
    pub heartbeat: Vec<u8>,
}

/// Who holds the stream to the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Random identity of the VM.
    pub instance: u64,
    /// Queue by which the leader is woken.
    pub queue: QueueId,
    /// When it was last renewed, by the monotonic clock.
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
    /// When the slot was last renewed, by the monotonic clock.
    pub renewed_nanos: u64,
    /// The first 8 bytes of the nonce of the last challenge that it read.
    pub challenge: u64,
    /// Age of the state by which it decides, in milliseconds.
    pub state_age: u64,
    /// Requests that it has cut since it began.
    pub cut: u64,
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
            .position(self.position)
            .position(self.base.position)
            .u64(self.base.image)
            .u32(self.base.place.number())
            .done()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let position = reader.position()?;
        let base = BaseAt {
            position: reader.position()?,
            image: reader.u64()?,
            place: Place::from_number(reader.u32()?)?,
        };
        reader.end(Self { position, base })
    }
}

impl Fresh {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let row = Writer::new().u64(self.anchor.asked.0).u64(self.anchor.signed.0);
        row.bytes(&self.heartbeat).done()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let anchor = Anchor { asked: Monotonic(reader.u64()?), signed: UnixMillis(reader.u64()?) };
        Some(Self { anchor, heartbeat: reader.rest().to_vec() })
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
            .position(self.position)
            .u64(self.applied_nanos)
            .u64(self.renewed_nanos)
            .u64(self.challenge)
            .u64(self.state_age)
            .u64(self.cut)
            .done()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let instance = reader.u64()?;
        let queue = QueueId(reader.u32()?);
        let position = reader.position()?;
        let applied_nanos = reader.u64()?;
        let renewed_nanos = reader.u64()?;
        let (challenge, state_age, cut) = (reader.u64()?, reader.u64()?, reader.u64()?);
        reader.end(Self {
            instance,
            queue,
            position,
            applied_nanos,
            renewed_nanos,
            challenge,
            state_age,
            cut,
        })
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

    fn position(self, position: Position) -> Self {
        self.u64(position.epoch).u64(position.revision.0)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
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

    fn rest(self) -> &'a [u8] {
        self.0
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head =
        Head { position: AT, base: BaseAt { position: AT, image: 9, place: Place::B } };
    const AT: Position = Position { epoch: 3, revision: Revision(0x0102_0304_0506_0708) };

    #[test]
    fn records_are_read_as_they_were_written() {
        assert_eq!(Head::decode(&HEAD.encode()), Some(HEAD));
        let anchor = Anchor { asked: Monotonic(1), signed: UnixMillis(2) };
        for heartbeat in [vec![], vec![1, 2, 3]] {
            let fresh = Fresh { anchor, heartbeat };
            assert_eq!(Fresh::decode(&fresh.encode()), Some(fresh));
        }
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
            challenge: 13,
            state_age: 14,
            cut: 15,
        };
        assert_eq!(Slot::decode(&slot.encode()), Some(slot));
    }

    #[test]
    fn anything_else_is_not_a_record() {
        let good = HEAD.encode();
        for length in 0..good.len() {
            assert_eq!(Head::decode(&good[..length]), None);
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(Head::decode(&longer), None);
        let mut other_place = good.clone();
        other_place[41] = 2;
        assert_eq!(Head::decode(&other_place), None);
        let mut other_layout = good;
        other_layout[0] = 1;
        assert_eq!(Head::decode(&other_layout), None);
        assert_eq!(Slot::decode(b"\x02garbage from another plugin"), None);
    }
}
