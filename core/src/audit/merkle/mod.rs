//! The Merkle tree over the records: RFC 6962 section 2.1, in the tiles of C2SP
//! tlog-tiles.
//!
//! The record with number `seq` is leaf `seq - 1`. A [`Node`] names a full subtree by its
//! level and its index on that level, as tlog-tiles does. What is computed here is hashes
//! of hashes; which are read, and from where, is up to whoever keeps them.

mod cover;
mod frontier;
mod proof;
mod tile;

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use cover::Cover;
pub use frontier::{BadFrontier, Frontier};
pub use proof::{BadProof, ProofPlan, verify_consistency, verify_inclusion};
pub use tile::{BadTile, TILE_WIDTH, Tile, TileId};

/// More leaves than this there are not: numbers of records are exact in every JSON parser.
pub const MAX_SIZE: u64 = 1 << 53;

/// The hash of a node of the tree; written in base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeHash(pub [u8; 32]);

/// A text is not the base64 of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a hash of the tree is written as the base64 of 32 bytes, with padding")]
pub struct BadNodeHash;

/// A full subtree: the leaves from `index << level` on, `1 << level` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// 0 for leaves, at most 53.
    pub level: u8,
    /// Place among the nodes of its level, from 0.
    pub index: u64,
}

impl NodeHash {
    /// Of a leaf, which is the canonical bytes of a record.
    pub fn leaf(canonical: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(canonical).finalize().into())
    }

    /// Of two nodes side by side.
    pub fn parent(left: Self, right: Self) -> Self {
        let mut both = [0; 65];
        if let Some((tag, rest)) = both.split_first_mut() {
            *tag = 1;
            let (a, b) = rest.split_at_mut(32);
            a.copy_from_slice(&left.0);
            b.copy_from_slice(&right.0);
        }
        Self(Sha256::digest(both).into())
    }

    /// Of a tree without leaves.
    pub fn of_nothing() -> Self {
        Self(Sha256::digest([]).into())
    }
}

impl Node {
    /// The first of its leaves.
    pub fn first(self) -> u64 {
        self.index.checked_shl(self.level.into()).unwrap_or(u64::MAX)
    }

    /// How many leaves it has.
    pub fn width(self) -> u64 {
        1u64.checked_shl(self.level.into()).unwrap_or(u64::MAX)
    }

    /// The full subtrees, largest possible, that the leaves from `first` up to but without
    /// `end` consist of, from left to right. At most 106; none if there are no such leaves
    /// or too many.
    pub fn cover(first: u64, end: u64) -> Vec<Self> {
        let mut nodes = Vec::new();
        let mut at = first;
        while at < end && end <= MAX_SIZE {
            let left = end.saturating_sub(at);
            let level = at.trailing_zeros().min(left.ilog2());
            let Ok(short) = u8::try_from(level) else { break };
            nodes.push(Self { level: short, index: at >> level });
            at = at.saturating_add(1 << level);
        }
        nodes
    }
}

impl fmt::Display for NodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl fmt::Debug for NodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeHash {
    type Err = BadNodeHash;

    fn from_str(text: &str) -> Result<Self, BadNodeHash> {
        let bytes = BASE64.decode(text).map_err(|_| BadNodeHash)?;
        bytes.try_into().map(Self).map_err(|_| BadNodeHash)
    }
}

impl Serialize for NodeHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
