//! The image: all authority of a control plane, kept in the chunks in which it
//! travels.
//!
//! A change touches one chunk, so the next manifest differs from the last in few
//! hashes, and a proxy fetches few chunks. Chunks are shared between manifests
//! for as long as they are the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;

use crate::change::Change;
use crate::decision::{TokenTable, Unreadable};
use crate::ids::{AgentId, CapabilityId, PolicyId, PrincipalId};
use crate::manifest::{ImageId, MAX_RECORD_BITS, Manifest, chunk_hash};
use crate::table::{self, Fingerprint, GrantIndex, MAX_TOKEN_BITS, TokenEntry};
use crate::time::UnixSeconds;
use crate::wire;

/// Tokens are spread over twice as many chunks when there are more than this in
/// a chunk on average: 3.5 KB, which is what a look-up copies.
const TOKENS_A_CHUNK: usize = 128;
/// Records likewise. A large one counts once more for each 512 bytes, so that
/// no chunk of them comes near to what a proxy takes.
const RECORDS_A_CHUNK: usize = 256;
const LARGE_BYTES: usize = 512;

/// All authority, in chunks.
#[derive(Debug, Default)]
pub struct Image {
    token_bits: u32,
    record_bits: u32,
    tokens: Vec<TokenChunk>,
    records: Vec<RecordChunk>,
    token_count: usize,
    /// How many records there are, large ones counted several times.
    record_weight: usize,
}

/// An image as it was when it was published.
#[derive(Debug, Clone)]
pub struct PublishedImage {
    manifest: Manifest,
    id: ImageId,
    chunks: Vec<Arc<Vec<u8>>>,
}

/// A record that is not what the protocol allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record is not one of the protocol")]
pub struct BadRecord;

#[derive(Debug, Default, Clone)]
struct TokenChunk {
    content: Arc<Vec<u8>>,
    /// While it is that of the content.
    hash: Option<[u8; 32]>,
}

#[derive(Debug, Default)]
struct RecordChunk {
    records: BTreeMap<RecordKey, wire::Change>,
    /// While it is what the records say.
    published: Option<(Arc<Vec<u8>>, [u8; 32])>,
}

/// What a record is about, in the order in which records stand in a chunk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum RecordKey {
    Fleet,
    Issuer,
    Principal(PrincipalId),
    Policy(PolicyId),
    Agent(AgentId),
    Capability(AgentId, String),
    Grant(AgentId, GrantIndex),
    RevokedCapability(CapabilityId, UnixSeconds),
}

impl Image {
    /// An image of nothing.
    pub fn new() -> Self {
        let (tokens, records) = (vec![TokenChunk::default()], vec![RecordChunk::default()]);
        Self { tokens, records, ..Self::default() }
    }

    /// Takes a record in the place of what was said before.
    pub fn apply(&mut self, record: &wire::Change) -> Result<(), BadRecord> {
        let key = match Change::from_wire(record).ok_or(BadRecord)? {
            Change::Token(fingerprint, token) => {
                self.put_token(fingerprint, &token);
                return Ok(());
            }
            Change::Fleet(_) => RecordKey::Fleet,
            Change::Principal(id, _) => RecordKey::Principal(id),
            Change::Policy(id, ..) => RecordKey::Policy(id),
            Change::Agent(id, _) => RecordKey::Agent(id),
            Change::Capability(id, action, _) => {
                RecordKey::Capability(id, action.as_str().to_owned())
            }
            Change::Grant(index, grant) => RecordKey::Grant(grant.agent(), index),
            Change::Issuer(_) => RecordKey::Issuer,
            Change::RevokedCapability(id, expires) => RecordKey::RevokedCapability(id, expires),
        };
        self.put_record(key, record.clone());
        Ok(())
    }

    /// Every record but those of tokens.
    pub fn records(&self) -> impl Iterator<Item = &wire::Change> {
        self.records.iter().flat_map(|chunk| chunk.records.values())
    }

    /// How many tokens there are.
    pub fn token_count(&self) -> usize {
        self.token_count
    }

    /// Takes out the tokens that expired before `horizon`, and what says of such
    /// that they were taken back, looking at no more than `limit` chunks from the one
    /// at `cursor` on. Returns where to go on.
    pub fn forget_expired(&mut self, horizon: UnixSeconds, cursor: usize, limit: usize) -> usize {
        for chunk in self.tokens.iter_mut().skip(cursor).take(limit) {
            let expired = |(_, token): (_, TokenEntry)| token.expires < horizon;
            if table::entries(&chunk.content).any(expired) {
                let gone = table::forget_expired(Arc::make_mut(&mut chunk.content), horizon);
                self.token_count = self.token_count.saturating_sub(gone);
                chunk.hash = None;
            }
        }
        // Behind the chunks of tokens come those of records.
        let next = cursor.saturating_add(limit);
        let (first, end) = (self.tokens.len().max(cursor), next.saturating_sub(self.tokens.len()));
        let first = first.saturating_sub(self.tokens.len());
        for chunk in self.records.iter_mut().take(end).skip(first) {
            let gone = chunk.forget_expired(horizon);
            self.record_weight = self.record_weight.saturating_sub(gone);
        }
        if next >= self.tokens.len().saturating_add(self.records.len()) { 0 } else { next }
    }

    /// The image as it is now.
    pub fn publish(&mut self) -> PublishedImage {
        let mut hashes = Vec::new();
        let mut chunks = Vec::new();
        for chunk in &mut self.tokens {
            hashes.extend(chunk.hash.get_or_insert_with(|| chunk_hash(&chunk.content)).as_slice());
            chunks.push(Arc::clone(&chunk.content));
        }
        for chunk in &mut self.records {
            let (content, hash) = chunk.publish();
            hashes.extend(hash);
            chunks.push(content);
        }
        // The bits are those by which the chunks were made, so that they fit.
        let manifest = Manifest::new(self.token_bits, self.record_bits, hashes);
        let manifest = manifest.unwrap_or_else(Manifest::of_nothing);
        PublishedImage { id: manifest.image(), manifest, chunks }
    }

    fn put_token(&mut self, fingerprint: Fingerprint, token: &TokenEntry) {
        let index = usize::try_from(fingerprint.chunk(self.token_bits)).unwrap_or(usize::MAX);
        let Some(chunk) = self.tokens.get_mut(index) else { return };
        chunk.hash = None;
        if table::insert(Arc::make_mut(&mut chunk.content), fingerprint, token) {
            self.token_count = self.token_count.saturating_add(1);
        }
        let room = self.tokens.len().saturating_mul(TOKENS_A_CHUNK);
        if self.token_count > room && self.token_bits < MAX_TOKEN_BITS {
            self.spread_tokens(self.token_bits.saturating_add(1));
        }
    }

    fn spread_tokens(&mut self, bits: u32) {
        let count = 1usize.checked_shl(bits).unwrap_or(usize::MAX);
        let old = std::mem::replace(&mut self.tokens, vec![TokenChunk::default(); count]);
        self.token_bits = bits;
        // Entries come in order, so that each is added at the end of its chunk.
        for (fingerprint, token) in old.iter().flat_map(|chunk| table::entries(&chunk.content)) {
            let index = usize::try_from(fingerprint.chunk(bits)).unwrap_or(usize::MAX);
            if let Some(chunk) = self.tokens.get_mut(index) {
                table::insert(Arc::make_mut(&mut chunk.content), fingerprint, &token);
            }
        }
    }

    fn put_record(&mut self, key: RecordKey, record: wire::Change) {
        let index = key.chunk(self.record_bits);
        let Some(chunk) = self.records.get_mut(index) else { return };
        chunk.published = None;
        self.record_weight = self.record_weight.saturating_add(weight(&record));
        if let Some(before) = chunk.records.insert(key, record) {
            self.record_weight = self.record_weight.saturating_sub(weight(&before));
        }
        let room = self.records.len().saturating_mul(RECORDS_A_CHUNK);
        if self.record_weight > room && self.record_bits < MAX_RECORD_BITS {
            let bits = self.record_bits.saturating_add(1);
            let count = 1usize.checked_shl(bits).unwrap_or(usize::MAX);
            let fresh = std::iter::repeat_with(RecordChunk::default).take(count).collect();
            let old = std::mem::replace(&mut self.records, fresh);
            self.record_bits = bits;
            for (key, record) in old.into_iter().flat_map(|chunk| chunk.records) {
                if let Some(chunk) = self.records.get_mut(key.chunk(bits)) {
                    chunk.records.insert(key, record);
                }
            }
        }
    }
}

/// What the control plane itself decides by: the image is its table.
impl TokenTable for &Image {
    fn find(&mut self, fingerprint: Fingerprint) -> Result<Option<TokenEntry>, Unreadable> {
        let index = usize::try_from(fingerprint.chunk(self.token_bits)).map_err(|_| Unreadable)?;
        let chunk = self.tokens.get(index).ok_or(Unreadable)?;
        Ok(table::find(&chunk.content, fingerprint))
    }
}

/// How many ordinary records a record counts for.
fn weight(record: &wire::Change) -> usize {
    record.encoded_len().checked_div(LARGE_BYTES).unwrap_or(0).saturating_add(1)
}

impl RecordChunk {
    /// Forgets which expired tokens were taken back. Returns the weight of what is gone.
    fn forget_expired(&mut self, horizon: UnixSeconds) -> usize {
        let first = RecordKey::RevokedCapability(CapabilityId::from_bytes([0; 16]), UnixSeconds(0));
        let expired = |key: &RecordKey| matches!(key, RecordKey::RevokedCapability(_, expires) if *expires < horizon);
        let keys = self.records.range(first..).map(|(key, _)| key);
        let gone: Vec<_> = keys.filter(|key| expired(key)).cloned().collect();
        if !gone.is_empty() {
            self.published = None;
        }
        gone.iter().filter_map(|key| self.records.remove(key)).map(|it| weight(&it)).sum()
    }

    fn publish(&mut self) -> (Arc<Vec<u8>>, [u8; 32]) {
        let make = || {
            let records = self.records.values().cloned().collect();
            let content = wire::Records { records }.encode_to_vec();
            let hash = chunk_hash(&content);
            (Arc::new(content), hash)
        };
        self.published.get_or_insert_with(make).clone()
    }
}

impl RecordKey {
    /// All records about an agent are in one chunk, by the last two bytes of its
    /// id; those about the fleet are in the first.
    fn chunk(&self, bits: u32) -> usize {
        let id = match self {
            Self::Fleet | Self::Issuer => return 0,
            Self::Principal(id) => id.to_bytes(),
            Self::Policy(id) => id.to_bytes(),
            Self::RevokedCapability(id, _) => id.to_bytes(),
            Self::Agent(id) | Self::Capability(id, _) | Self::Grant(id, _) => id.to_bytes(),
        };
        let [.., high, low] = id;
        let mask = 1u16.checked_shl(bits).map_or(u16::MAX, |count| count.saturating_sub(1));
        usize::from(u16::from_be_bytes([high, low]) & mask)
    }
}

impl PublishedImage {
    /// The name of what it holds.
    pub fn id(&self) -> ImageId {
        self.id
    }

    /// The hashes of its chunks.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The content of a chunk; `None` if there is none of this index.
    pub fn chunk(&self, index: u32) -> Option<&Arc<Vec<u8>>> {
        self.chunks.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
