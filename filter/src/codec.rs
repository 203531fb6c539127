//! Records of the cache as bytes: a layout number, then little-endian numbers.

use kya_core::{Position, Revision};

/// First byte of every record of this layout; another one is not read.
const LAYOUT: u8 = 1;

/// Writes a record field by field.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(vec![LAYOUT])
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a record field by field; `None` from the first that is not there.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&LAYOUT, rest) => Some(Self(rest)),
            _ => None,
        }
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*value))
    }

    pub(crate) fn position(&mut self) -> Option<Position> {
        Some(Position { epoch: self.u64()?, revision: Revision(self.u64()?) })
    }

    pub(crate) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}
