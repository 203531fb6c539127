//! Proofs of RFC 6962 section 2.1: that a leaf is in a tree, and that one tree is the
//! beginning of another. Checked as in RFC 9162 sections 2.1.3.2 and 2.1.4.2.

use thiserror::Error;

use super::{MAX_SIZE, Node, NodeHash};

/// How a proof is made: which full subtrees must be read, and what becomes of them. The
/// reading is apart, so that it may be of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofPlan {
    /// What must be read, in the order of the proof.
    nodes: Vec<Node>,
    /// For each hash of the proof, how many of `nodes` it is made of.
    parts: Vec<usize>,
}

/// A proof does not prove it, or cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadProof {
    /// A leaf that the tree does not have, or a tree that is not the smaller one.
    #[error("no such proof: {0} is not within a tree of {1} leaves")]
    Range(u64, u64),
    /// Too few hashes, or too many.
    #[error("a proof of another length")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

impl ProofPlan {
    /// That leaf `index` is in the tree of `size` leaves (`PATH` of section 2.1.1).
    pub fn inclusion(index: u64, size: u64) -> Result<Self, BadProof> {
        if index >= size || size > MAX_SIZE {
            return Err(BadProof::Range(index, size));
        }
        // From the whole tree down to the leaf; the proof lists siblings upwards.
        let (mut first, mut end) = (0, size);
        let mut siblings = Vec::new();
        while end.saturating_sub(first) > 1 {
            let middle = split(first, end);
            if index < middle {
                siblings.push((middle, end));
                end = middle;
            } else {
                siblings.push((first, middle));
                first = middle;
            }
        }
        Ok(Self::of(siblings))
    }

    /// That the tree of `old` leaves is the beginning of that of `size` (`PROOF` of section
    /// 2.1.2). Between two trees of one size, and from an empty one, the proof is empty.
    pub fn consistency(old: u64, size: u64) -> Result<Self, BadProof> {
        if old > size || size > MAX_SIZE {
            return Err(BadProof::Range(old, size));
        }
        let (mut first, mut end) = (0, size);
        let mut siblings = Vec::new();
        if old == 0 {
            return Ok(Self::of(siblings));
        }
        // Down to where the old tree ends; its last full subtree is listed itself, unless
        // it is the whole old tree, whose root is known.
        while old < end {
            let middle = split(first, end);
            if old <= middle {
                siblings.push((middle, end));
                end = middle;
            } else {
                siblings.push((first, middle));
                first = middle;
            }
        }
        if first > 0 {
            siblings.push((first, end));
        }
        Ok(Self::of(siblings))
    }

    fn of(downwards: Vec<(u64, u64)>) -> Self {
        let (mut nodes, mut parts) = (Vec::new(), Vec::new());
        for (first, end) in downwards.into_iter().rev() {
            let cover = Node::cover(first, end);
            parts.push(cover.len());
            nodes.extend(cover);
        }
        Self { nodes, parts }
    }

    /// The full subtrees whose hashes are needed.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The proof, from the hashes of [`ProofPlan::nodes`], in their order.
    pub fn proof(&self, hashes: &[NodeHash]) -> Result<Vec<NodeHash>, BadProof> {
        let mut rest = hashes;
        let mut proof = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (these, after) = rest.split_at_checked(*part).ok_or(BadProof::Length)?;
            let mut upwards = these.iter().rev().copied();
            let last = upwards.next().ok_or(BadProof::Length)?;
            proof.push(upwards.fold(last, |right, left| NodeHash::parent(left, right)));
            rest = after;
        }
        if rest.is_empty() { Ok(proof) } else { Err(BadProof::Length) }
    }
}

/// The largest power of two below the number of leaves, from the first on.
fn split(first: u64, end: u64) -> u64 {
    let leaves = end.saturating_sub(first);
    let half = leaves.saturating_sub(1).checked_ilog2().map_or(0, |bits| 1u64 << bits);
    first.saturating_add(half)
}

/// That `leaf` is leaf `index` of the tree of `size` leaves with this root.
pub fn verify_inclusion(
    leaf: NodeHash,
    index: u64,
    size: u64,
    proof: &[NodeHash],
    root: NodeHash,
) -> Result<(), BadProof> {
    if index >= size || size > MAX_SIZE {
        return Err(BadProof::Range(index, size));
    }
    let (mut at, mut last) = (index, size.saturating_sub(1));
    let mut hash = leaf;
    for sibling in proof {
        if last == 0 {
            return Err(BadProof::Length);
        }
        if at & 1 == 1 || at == last {
            hash = NodeHash::parent(*sibling, hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = NodeHash::parent(hash, *sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(BadProof::Length);
    }
    if hash == root { Ok(()) } else { Err(BadProof::Root) }
}

/// That the tree of `old` leaves with the root `old_root` is the beginning of that of
/// `size` leaves with the root `root`.
pub fn verify_consistency(
    old: u64,
    old_root: NodeHash,
    size: u64,
    root: NodeHash,
    proof: &[NodeHash],
) -> Result<(), BadProof> {
    if old > size || size > MAX_SIZE {
        return Err(BadProof::Range(old, size));
    }
    let ends = |right: bool| if right { Ok(()) } else { Err(BadProof::Root) };
    if old == 0 || old == size {
        let known = if old == 0 { NodeHash::of_nothing() } else { root };
        return if proof.is_empty() { ends(old_root == known) } else { Err(BadProof::Length) };
    }
    let (mut at, mut last) = (old.saturating_sub(1), size.saturating_sub(1));
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    // The old tree is a full subtree of the new one: its root is where one begins.
    let (start, rest) = match proof.split_first() {
        _ if old.is_power_of_two() => (old_root, proof),
        Some((first, rest)) => (*first, rest),
        None => return Err(BadProof::Length),
    };
    let (mut old_hash, mut hash) = (start, start);
    for sibling in rest {
        if last == 0 {
            return Err(BadProof::Length);
        }
        if at & 1 == 1 || at == last {
            old_hash = NodeHash::parent(*sibling, old_hash);
            hash = NodeHash::parent(*sibling, hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = NodeHash::parent(hash, *sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(BadProof::Length);
    }
    ends(old_hash == old_root && hash == root)
}
