//! Chunks of opaque tokens: sorted entries of 28 bytes, searched where they lie.
//!
//! An entry is the first 16 bytes of the token's SHA-256, the index of its grant
//! with the mark of revocation in the highest bit, the second of its issue, and
//! the second from which on it is expired; numbers are little-endian and of four
//! bytes (`Chunk.content` of the protocol).

use std::fmt;

use crate::time::UnixSeconds;
use crate::token::TokenDigest;

/// Bytes of one entry.
pub const ENTRY_BYTES: usize = 28;
/// Most bits of a digest that select a chunk: there are at most 131 072 chunks.
pub const MAX_TOKEN_BITS: u32 = 17;
/// Most chunks of tokens.
pub const MAX_CHUNKS: u32 = 1 << MAX_TOKEN_BITS;
const REVOKED: u32 = 1 << 31;

/// The first 16 bytes of a token's digest. Finding another token with the same
/// is as hard as inverting a 128-bit hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

/// Which grant a token stands for. Less than 2^31.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantIndex(u32);

/// What is known of an opaque token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenEntry {
    /// What it stands for.
    pub grant: GrantIndex,
    /// When it was issued.
    pub issued: UnixSeconds,
    /// It counts before this second, and not from it on.
    pub expires: UnixSeconds,
    /// Taken back before it expired.
    pub revoked: bool,
}

impl GrantIndex {
    /// The grant with this index; `None` from 2^31 on.
    pub const fn new(index: u32) -> Option<Self> {
        if index < REVOKED { Some(Self(index)) } else { None }
    }

    /// The index.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TokenDigest {
    /// The part of the digest by which tables know the token.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut first = [0; 16];
        first.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        Fingerprint(first)
    }
}

impl Fingerprint {
    /// Index of the chunk, among 2^`bits`, that holds this token.
    pub fn chunk(&self, bits: u32) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
            .checked_shr(32u32.saturating_sub(bits.min(MAX_TOKEN_BITS)))
            .unwrap_or(0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

impl TokenEntry {
    fn encode(&self, fingerprint: Fingerprint) -> [u8; ENTRY_BYTES] {
        let seconds = |at: UnixSeconds| u32::try_from(at.0).unwrap_or(u32::MAX);
        let mark = if self.revoked { REVOKED } else { 0 };
        let numbers = [self.grant.0 | mark, seconds(self.issued), seconds(self.expires)];
        let mut bytes = [0; ENTRY_BYTES];
        let content =
            fingerprint.0.into_iter().chain(numbers.into_iter().flat_map(u32::to_le_bytes));
        bytes.iter_mut().zip(content).for_each(|(to, from)| *to = from);
        bytes
    }

    fn decode(entry: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (grant, rest) = entry.get(16..)?.split_first_chunk()?;
        let (issued, rest) = rest.split_first_chunk()?;
        let (expires, _) = rest.split_first_chunk()?;
        let grant = u32::from_le_bytes(*grant);
        Some(Self {
            grant: GrantIndex(grant & !REVOKED),
            issued: UnixSeconds(u32::from_le_bytes(*issued).into()),
            expires: UnixSeconds(u32::from_le_bytes(*expires).into()),
            revoked: grant & REVOKED != 0,
        })
    }
}

/// Finds a token in the chunk that would hold it. Bytes that are no whole entry
/// are not looked at.
pub fn find(chunk: &[u8], fingerprint: Fingerprint) -> Option<TokenEntry> {
    let (entries, _) = chunk.as_chunks::<ENTRY_BYTES>();
    let at = search(entries, fingerprint).ok()?;
    TokenEntry::decode(entries.get(at)?)
}

/// Every token of a chunk.
pub fn entries(chunk: &[u8]) -> impl Iterator<Item = (Fingerprint, TokenEntry)> {
    let (entries, _) = chunk.as_chunks::<ENTRY_BYTES>();
    entries.iter().filter_map(|entry| Some((key(entry)?, TokenEntry::decode(entry)?)))
}

/// Puts a token into its chunk, in the place of what the chunk says of it.
pub(crate) fn insert(chunk: &mut Vec<u8>, fingerprint: Fingerprint, token: &TokenEntry) -> bool {
    let bytes = token.encode(fingerprint);
    let (entries, _) = chunk.as_chunks_mut::<ENTRY_BYTES>();
    match search(entries, fingerprint) {
        Ok(at) => {
            if let Some(entry) = entries.get_mut(at) {
                *entry = bytes;
            }
            false
        }
        Err(at) => {
            let start = at.saturating_mul(ENTRY_BYTES).min(chunk.len());
            chunk.splice(start..start, bytes);
            true
        }
    }
}

/// Takes every token out of a chunk that expired before `horizon`; how many.
pub(crate) fn forget_expired(chunk: &mut Vec<u8>, horizon: UnixSeconds) -> usize {
    let before = chunk.len();
    let kept: Vec<u8> = chunk
        .as_chunks::<ENTRY_BYTES>()
        .0
        .iter()
        .filter(|entry| TokenEntry::decode(entry).is_some_and(|token| token.expires >= horizon))
        .flatten()
        .copied()
        .collect();
    *chunk = kept;
    before.saturating_sub(chunk.len()) / ENTRY_BYTES
}

fn search(entries: &[[u8; ENTRY_BYTES]], fingerprint: Fingerprint) -> Result<usize, usize> {
    entries.binary_search_by(|entry| {
        entry.first_chunk::<16>().map_or(std::cmp::Ordering::Less, |key| key.cmp(&fingerprint.0))
    })
}

fn key(entry: &[u8; ENTRY_BYTES]) -> Option<Fingerprint> {
    entry.first_chunk().copied().map(Fingerprint)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
