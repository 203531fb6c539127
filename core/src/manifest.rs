//! Manifests: all authority at one position, by the hashes of its chunks.

use sha2::{Digest, Sha256};

use crate::change::Change;
use crate::table::{Fingerprint, MAX_TOKEN_BITS};
use crate::wire;
use prost::Message;

/// Most bits that select a chunk of records: there are at most 4096.
pub(crate) const MAX_RECORD_BITS: u32 = 12;
/// The largest chunk that a receiver takes, in bytes.
pub const MAX_CHUNK_BYTES: usize = 1024 * 1024;
const HASH_BYTES: usize = 32;

/// SHA-256 over the hashes of a manifest: the name of what it describes. The
/// same authority has the same name, whoever asks and whenever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageId(pub [u8; 32]);

/// The hashes by which chunks are believed.
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest {
    token_bits: u32,
    record_bits: u32,
    hashes: Vec<u8>,
}

impl Manifest {
    /// Reads a manifest; `None` if its parts do not fit together.
    pub(crate) fn from_wire(manifest: wire::Manifest) -> Option<Self> {
        let wire::Manifest { token_bits, record_bits, chunk_hashes, .. } = manifest;
        Self::new(token_bits, record_bits, chunk_hashes)
    }

    pub(crate) fn new(token_bits: u32, record_bits: u32, hashes: Vec<u8>) -> Option<Self> {
        let manifest = Self { token_bits, record_bits, hashes };
        let fits = token_bits <= MAX_TOKEN_BITS
            && record_bits <= MAX_RECORD_BITS
            && manifest.hashes.len() == manifest.count().checked_mul(HASH_BYTES)?;
        fits.then_some(manifest)
    }

    /// The manifest of an image that holds nothing.
    pub(crate) fn of_nothing() -> Self {
        let hashes = [chunk_hash(&[]), chunk_hash(&[])].concat();
        Self { token_bits: 0, record_bits: 0, hashes }
    }

    /// How many chunks there are.
    pub fn count(&self) -> usize {
        self.token_chunks().saturating_add(self.record_chunks())
    }

    /// How many of them hold tokens; they come first.
    pub fn token_chunks(&self) -> usize {
        1usize.checked_shl(self.token_bits).unwrap_or(usize::MAX)
    }

    fn record_chunks(&self) -> usize {
        1usize.checked_shl(self.record_bits).unwrap_or(usize::MAX)
    }

    /// Indexes of the chunks that hold records.
    pub fn records(&self) -> impl Iterator<Item = u32> + use<> {
        let index = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        index(self.token_chunks())..index(self.count())
    }

    /// Index of the chunk that would hold this token.
    pub fn token_chunk(&self, fingerprint: Fingerprint) -> u32 {
        fingerprint.chunk(self.token_bits)
    }

    /// The hash of a chunk; `None` if there is none of this index.
    pub fn hash(&self, index: u32) -> Option<&[u8; HASH_BYTES]> {
        let (hashes, _) = self.hashes.as_chunks::<HASH_BYTES>();
        hashes.get(usize::try_from(index).ok()?)
    }

    /// Whether this is the chunk of that index.
    pub fn fits(&self, index: u32, content: &[u8]) -> bool {
        // Whatever else is in its place is not worth a hash of all of it.
        content.len() <= MAX_CHUNK_BYTES
            && self.hash(index).is_some_and(|hash| *hash == chunk_hash(content))
    }

    /// The chunks that are not the same in `older`, or all of them if tokens or
    /// records are spread otherwise.
    pub fn changed_since<'a>(
        &'a self,
        older: Option<&'a Self>,
    ) -> impl Iterator<Item = u32> + use<'a> {
        let older = older.filter(|older| {
            older.token_bits == self.token_bits && older.record_bits == self.record_bits
        });
        let count = u32::try_from(self.count()).unwrap_or(u32::MAX);
        (0..count).filter(move |index| older.is_none_or(|it| it.hash(*index) != self.hash(*index)))
    }

    /// The name of what it describes.
    pub fn image(&self) -> ImageId {
        ImageId(Sha256::digest(&self.hashes).into())
    }

    /// The manifest as it travels, in answer to `nonce`.
    pub fn to_wire(&self, nonce: &[u8]) -> wire::Manifest {
        wire::Manifest {
            nonce: nonce.to_vec(),
            token_bits: self.token_bits,
            record_bits: self.record_bits,
            chunk_hashes: self.hashes.clone(),
        }
    }
}

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Manifest(2^{} + 2^{} chunks)", self.token_bits, self.record_bits)
    }
}

impl ImageId {
    /// Its first 8 bytes as a number (little-endian): enough to tell two images of
    /// one control plane apart.
    pub fn short(&self) -> u64 {
        self.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }

    /// The id with these bytes, if there are 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// The hash by which a chunk is named.
pub fn chunk_hash(content: &[u8]) -> [u8; HASH_BYTES] {
    Sha256::digest(content).into()
}

/// Reads a chunk of records; `None` if any part of it is not understood.
pub fn records(content: &[u8]) -> Option<Vec<Change>> {
    Change::all_from_wire(&wire::Records::decode(content).ok()?.records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(contents: [&[u8]; 3]) -> Manifest {
        let hashes = contents.iter().flat_map(|content| chunk_hash(content)).collect();
        Manifest::new(1, 0, hashes).unwrap()
    }

    #[test]
    fn the_number_of_hashes_must_fit_the_bits() {
        assert!(Manifest::new(1, 0, vec![0; 96]).is_some());
        for (token_bits, record_bits, bytes) in [
            (1, 0, 95),
            (1, 0, 97),
            (1, 0, 128),
            (0, 0, 32),
            (18, 0, 32),
            (0, 13, 32),
            (u32::MAX, u32::MAX, 0),
            (63, 63, 0),
        ] {
            assert!(Manifest::new(token_bits, record_bits, vec![0; bytes]).is_none());
        }
    }

    #[test]
    fn a_chunk_fits_by_its_hash_and_its_place() {
        let manifest = manifest([b"a", b"b", b"r"]);
        assert!(manifest.fits(0, b"a") && manifest.fits(1, b"b") && manifest.fits(2, b"r"));
        assert!(!manifest.fits(0, b"b") && !manifest.fits(3, b"a") && !manifest.fits(0, b""));
        assert_eq!(manifest.records().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn only_what_changed_is_named_unless_the_spread_is_another() {
        let (old, new) = (manifest([b"a", b"b", b"r"]), manifest([b"a", b"c", b"r"]));
        let changed = |new: &Manifest, old| new.changed_since(old).collect::<Vec<_>>();
        assert_eq!(changed(&new, Some(&old)), [1]);
        assert_eq!(changed(&new, None), [0, 1, 2]);
        let other = Manifest::new(0, 1, new.hashes.clone()).unwrap();
        assert_eq!(changed(&other, Some(&old)), [0, 1, 2]);
        assert_ne!(old.image(), new.image());
    }

    #[test]
    fn a_chunk_with_a_record_that_is_not_understood_is_not_read_at_all() {
        use wire::change::Change as Wire;
        let good = wire::Change {
            change: Some(Wire::Grant(wire::Grant {
                index: 1,
                agent_id: vec![1; 16],
                ..Default::default()
            })),
        };
        let encode = |records| wire::Records { records }.encode_to_vec();
        assert_eq!(records(&encode(vec![good.clone()])).map(|all| all.len()), Some(1));
        assert_eq!(records(&encode(vec![good, wire::Change { change: None }])), None);
        assert_eq!(records(b"\xff"), None);
        assert_eq!(records(b""), Some(vec![]));
    }
}
