//! Chunks in the cache. Each has two places, so that a new manifest can be made
//! complete while the last one is read: a chunk of the new one is written over
//! the place that does not hold what the last one names.
//!
//! A key is the prefix and `/c` and four characters, which are the index of the
//! chunk and the place. Four bytes in a row are what a CRC-32 keeps apart, so
//! that a proxy that compares keys by that alone (ngx_wasm_module) takes none of
//! them for another.

use kya_core::Manifest;

use crate::cache::Cache;
use crate::cache::records::Place;
use crate::host::{Host, Refused, SharedValue};

/// Characters of six bits each, in the order of their values.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

/// Where a chunk was found, and the number of the value: while that is the same,
/// the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// In which place.
    pub place: Place,
    /// Compare-and-swap number of the value.
    pub cas: u32,
}

/// A chunk that a manifest names is not in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn;

impl Cache {
    /// What is stored for a chunk in a place, not compared with its hash.
    pub fn chunk_at(&self, host: &impl Host, index: u32, place: Place) -> Option<SharedValue> {
        host.shared_data(&self.chunk_key(index, place)).ok()?
    }

    /// The chunk that a manifest names, wherever it is, and whether it had to be
    /// hashed: one that was found before and has not been written since need not
    /// be.
    pub fn chunk(
        &self,
        host: &impl Host,
        manifest: &Manifest,
        index: u32,
        before: Option<Found>,
    ) -> Option<(Vec<u8>, Found)> {
        let first = before.map_or(Place::A, |found| found.place);
        for place in [first, first.other()] {
            let Some(value) = self.chunk_at(host, index, place) else { continue };
            let found = Found { place, cas: value.cas };
            if before == Some(found) || manifest.fits(index, &value.bytes) {
                return Some((value.bytes, found));
            }
        }
        None
    }

    /// Stores a chunk beside the one that `base` names.
    pub fn store_chunk(
        &self,
        host: &impl Host,
        base: Option<&Manifest>,
        index: u32,
        content: &[u8],
    ) -> Result<(), Refused> {
        let holds = |place| {
            let held = self.chunk_at(host, index, place);
            held.zip(base).is_some_and(|(held, base)| base.fits(index, &held.bytes))
        };
        let place = if holds(Place::A) { Place::B } else { Place::A };
        host.set_shared_data(&self.chunk_key(index, place), content)
    }

    /// Empties the place of a chunk that does not hold what `base` names, if it
    /// holds anything: a key cannot be removed, but its memory can.
    pub fn tidy_chunk(&self, host: &impl Host, base: &Manifest, index: u32) -> Result<(), Torn> {
        let (_, found) = self.chunk(host, base, index, None).ok_or(Torn)?;
        let other = found.place.other();
        if self.chunk_at(host, index, other).is_some_and(|value| !value.bytes.is_empty()) {
            // Nothing is lost if it stays.
            let _ = host.set_shared_data(&self.chunk_key(index, other), &[]);
        }
        Ok(())
    }

    fn chunk_key(&self, index: u32, place: Place) -> String {
        let number = index.wrapping_mul(2) | place.number();
        let mut key = String::with_capacity(self.namespace().len().saturating_add(6));
        key.push_str(self.namespace());
        key.push_str("/c");
        for shift in [18u32, 12, 6, 0] {
            let digit = number.checked_shr(shift).unwrap_or(0) & 63;
            let digit = usize::try_from(digit).ok().and_then(|digit| DIGITS.get(digit));
            key.push(char::from(digit.copied().unwrap_or(b'0')));
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kya_core::{Image, wire};

    use super::*;
    use crate::testing::{Proxy, token};

    /// Two manifests of one chunk of tokens, which differ in it.
    fn manifests() -> [kya_core::PublishedImage; 2] {
        let mut image = Image::new();
        [1, 2].map(|n| {
            let token = wire::Token { digest: token(n).digest().0.into(), ..Default::default() };
            let change = Some(wire::change::Change::Token(token));
            image.apply(&wire::Change { change }).unwrap();
            image.publish()
        })
    }

    #[test]
    fn no_two_chunks_share_a_key_and_no_two_keys_share_a_crc() {
        let cache = Cache::new("kya/01234567");
        let mut keys = BTreeSet::new();
        let mut sums = BTreeSet::new();
        for index in 0..kya_core::table::MAX_CHUNKS {
            for place in Place::BOTH {
                let key = cache.chunk_key(index, place);
                sums.insert(crc32fast::hash(key.as_bytes()));
                keys.insert(key);
            }
        }
        let expected = 2 * kya_core::table::MAX_CHUNKS as usize;
        assert_eq!((keys.len(), sums.len()), (expected, expected));
    }

    #[test]
    fn a_chunk_of_the_next_manifest_does_not_replace_that_of_the_last() {
        let (host, cache) = (Proxy::new().host(), Cache::new("kya/t"));
        let [old, new] = manifests();
        let content = |image: &kya_core::PublishedImage| image.chunk(0).unwrap().to_vec();
        cache.store_chunk(&host, None, 0, &content(&old)).unwrap();
        cache.store_chunk(&host, Some(old.manifest()), 0, &content(&new)).unwrap();
        for image in [&old, &new] {
            let (found, at) = cache.chunk(&host, image.manifest(), 0, None).unwrap();
            assert_eq!(found, content(image));
            assert_eq!(cache.chunk(&host, image.manifest(), 0, Some(at)).unwrap().1, at);
        }
        cache.store_chunk(&host, Some(new.manifest()), 0, b"the one after").unwrap();
        assert!(cache.chunk(&host, new.manifest(), 0, None).is_some());
        assert!(cache.chunk(&host, old.manifest(), 0, None).is_none());
    }

    #[test]
    fn what_another_plugin_wrote_over_a_chunk_is_not_taken_for_it() {
        let (host, cache) = (Proxy::new().host(), Cache::new("kya/t"));
        let [_, image] = manifests();
        cache.store_chunk(&host, None, 0, image.chunk(0).unwrap()).unwrap();
        let (_, at) = cache.chunk(&host, image.manifest(), 0, None).unwrap();
        host.set_shared_data(&cache.chunk_key(0, at.place), b"forged").unwrap();
        assert_eq!(cache.chunk(&host, image.manifest(), 0, Some(at)), None);
    }

    #[test]
    fn tidying_keeps_the_chunk_of_the_base_alone() {
        let (host, cache) = (Proxy::new().host(), Cache::new("kya/t"));
        let [old, new] = manifests();
        cache.store_chunk(&host, None, 0, old.chunk(0).unwrap()).unwrap();
        cache.store_chunk(&host, Some(old.manifest()), 0, new.chunk(0).unwrap()).unwrap();
        assert_eq!(cache.tidy_chunk(&host, new.manifest(), 0), Ok(()));
        assert_eq!(cache.tidy_chunk(&host, old.manifest(), 0), Err(Torn));
        assert!(cache.chunk(&host, new.manifest(), 0, None).is_some());
        assert_eq!(cache.chunk_at(&host, 0, Place::A).unwrap().bytes, b"");
    }
}
