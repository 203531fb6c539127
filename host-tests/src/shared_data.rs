//! Shared data: one key-value store for every VM of a process.

use std::collections::BTreeMap;

use crate::abi::Status;

/// Keys with a value and a compare-and-swap number each, by the rules of
/// Envoy's host: a key is never deleted; a write with number 0, or to a key that
/// does not exist yet, is unconditional; every write takes the next number of
/// one process-wide sequence, in which 0 does not occur.
#[derive(Debug, Clone)]
pub struct SharedData {
    entries: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    next_cas: u32,
}

impl Default for SharedData {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), next_cas: 1 }
    }
}

impl SharedData {
    /// Value and compare-and-swap number of `key`.
    pub fn get(&self, key: &[u8]) -> Option<(&[u8], u32)> {
        self.entries.get(key).map(|(value, cas)| (value.as_slice(), *cas))
    }

    /// Writes `key`.
    ///
    /// # Errors
    /// [`Status::CasMismatch`] when the key exists and `cas` is neither 0 nor
    /// its number.
    pub fn set(&mut self, key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        if let Some((_, current)) = self.entries.get(key)
            && cas != 0
            && cas != *current
        {
            return Err(Status::CasMismatch);
        }
        self.entries.insert(key.to_vec(), (value.to_vec(), self.next_cas));
        self.next_cas = self.next_cas.checked_add(1).unwrap_or(1);
        Ok(())
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.keys().map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_with_number_0_is_unconditional() {
        let mut data = SharedData::default();
        for value in [b"a", b"b"] {
            data.set(b"k", value, 0).unwrap();
            assert_eq!(data.get(b"k").unwrap().0, value);
        }
    }

    #[test]
    fn a_missing_key_is_written_whatever_the_number() {
        let mut data = SharedData::default();
        data.set(b"k", b"a", 77).unwrap();
        assert_eq!(data.get(b"k"), Some((&b"a"[..], 1)));
    }

    #[test]
    fn a_number_counts_once() {
        let mut data = SharedData::default();
        data.set(b"k", b"a", 0).unwrap();
        let (_, cas) = data.get(b"k").unwrap();
        data.set(b"k", b"b", cas).unwrap();
        assert_eq!(data.set(b"k", b"c", cas), Err(Status::CasMismatch));
        assert_eq!(data.get(b"k").unwrap().0, b"b");
    }

    #[test]
    fn numbers_are_of_one_sequence_and_never_0() {
        let mut data = SharedData { next_cas: u32::MAX, ..SharedData::default() };
        data.set(b"a", b"", 0).unwrap();
        data.set(b"b", b"", 0).unwrap();
        assert_eq!(data.get(b"a").unwrap().1, u32::MAX);
        assert_eq!(data.get(b"b").unwrap().1, 1);
    }
}
