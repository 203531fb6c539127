//! Shared data: one key-value store for every VM of a process.

use std::collections::BTreeMap;

use crate::abi::Status;
use crate::profile::Profile;

/// Keys with a value and a compare-and-swap number each, by the rules of the
/// [`Profile`].
///
/// Envoy's host never deletes a key; a write with number 0, or to a key that does
/// not exist yet, is unconditional; every write takes the next number of one
/// process-wide sequence, in which 0 does not occur.
///
/// `ngx_wasm_module` compares keys by their CRC-32 alone, so that two keys can be
/// one, and knows the first name only; a write must name the present number of the
/// key, which is 0 for one that does not exist and counts up by key.
#[derive(Debug, Clone)]
pub struct SharedData {
    profile: Profile,
    entries: BTreeMap<Slot, Entry>,
    next_cas: u32,
}

/// What two keys are compared by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Key(Vec<u8>),
    Checksum(u32),
}

#[derive(Debug, Clone)]
struct Entry {
    key: Vec<u8>,
    value: Vec<u8>,
    cas: u32,
}

impl Default for SharedData {
    fn default() -> Self {
        Self::new(Profile::Envoy)
    }
}

impl SharedData {
    /// An empty store.
    pub fn new(profile: Profile) -> Self {
        Self { profile, entries: BTreeMap::new(), next_cas: 1 }
    }

    /// Value and compare-and-swap number of `key`.
    pub fn get(&self, key: &[u8]) -> Option<(&[u8], u32)> {
        self.entries.get(&self.slot(key)).map(|entry| (entry.value.as_slice(), entry.cas))
    }

    /// Writes `key`.
    ///
    /// # Errors
    /// [`Status::CasMismatch`] when `cas` is not what the profile asks for.
    pub fn set(&mut self, key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        let slot = self.slot(key);
        let old = self.entries.get(&slot);
        let refused = match (self.profile, old) {
            (Profile::Envoy, Some(old)) => cas != 0 && cas != old.cas,
            (Profile::Envoy, None) => false,
            (Profile::Nginx, old) => cas != old.map_or(0, |old| old.cas),
        };
        if refused {
            return Err(Status::CasMismatch);
        }
        self.write(slot, key, value);
        Ok(())
    }

    /// Writes `key` whatever its number.
    pub(crate) fn overwrite(&mut self, key: &[u8], value: &[u8]) {
        let slot = self.slot(key);
        self.write(slot, key, value);
    }

    /// Forgets every key, as when the last VM goes.
    pub(crate) fn wipe(&mut self) {
        self.entries.clear();
    }

    /// Every key, in no order that means anything.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.values().map(|entry| entry.key.as_slice())
    }

    fn write(&mut self, slot: Slot, key: &[u8], value: &[u8]) {
        let old = self.entries.remove(&slot);
        let cas = match self.profile {
            Profile::Envoy => {
                let cas = self.next_cas;
                self.next_cas = cas.checked_add(1).unwrap_or(1);
                cas
            }
            Profile::Nginx => old.as_ref().map_or(1, |old| old.cas.wrapping_add(1)),
        };
        let key = old.map_or_else(|| key.to_vec(), |old| old.key);
        self.entries.insert(slot, Entry { key, value: value.to_vec(), cas });
    }

    fn slot(&self, key: &[u8]) -> Slot {
        match self.profile {
            Profile::Envoy => Slot::Key(key.to_vec()),
            Profile::Nginx => Slot::Checksum(crc32(key)),
        }
    }
}

/// CRC-32 as nginx, zlib and IEEE 802.3 have it.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
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

    #[test]
    fn in_nginx_a_write_names_the_present_number() {
        let mut data = SharedData::new(Profile::Nginx);
        assert_eq!(data.set(b"k", b"a", 1), Err(Status::CasMismatch), "it does not exist");
        data.set(b"k", b"a", 0).unwrap();
        assert_eq!(data.set(b"k", b"b", 0), Err(Status::CasMismatch), "0 is no wildcard");
        data.set(b"k", b"b", 1).unwrap();
        assert_eq!(data.get(b"k"), Some((&b"b"[..], 2)));
    }

    #[test]
    fn in_nginx_keys_of_one_checksum_are_one_key() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926, "the check value of CRC-32");
        assert_eq!(crc32(b"plumless"), crc32(b"buckeroo"));
        let mut nginx = SharedData::new(Profile::Nginx);
        nginx.set(b"plumless", b"1", 0).unwrap();
        assert_eq!(nginx.get(b"buckeroo"), Some((&b"1"[..], 1)));
        assert_eq!(nginx.set(b"buckeroo", b"2", 0), Err(Status::CasMismatch));
        let mut envoy = SharedData::default();
        envoy.set(b"plumless", b"1", 0).unwrap();
        assert_eq!(envoy.get(b"buckeroo"), None);
    }
}
