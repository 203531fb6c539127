//! The right edge of a growing tree: enough to append, and to know the root.

use thiserror::Error;

use super::{MAX_SIZE, Node, NodeHash};

/// The full subtrees that a tree of `size` leaves consists of, largest first: one for
/// each bit of `size` that is set. It is also called a compact range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<NodeHash>,
}

/// Something does not fit at the right edge of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadFrontier {
    /// A number of hashes that a tree of that size does not have.
    #[error("{found} hashes for a tree of {size} leaves, which has {expected}")]
    Count {
        /// Leaves of the tree.
        size: u64,
        /// Hashes that such a tree has at its edge.
        expected: u32,
        /// Hashes that were given.
        found: usize,
    },
    /// A subtree that does not begin where the tree ends, or is too large for it.
    #[error("a subtree of level {level} does not fit at leaf {size}")]
    Place {
        /// Leaves of the tree.
        size: u64,
        /// Level of the subtree.
        level: u8,
    },
}

impl Frontier {
    /// Of a tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// That of a tree of `size` leaves, from [`Frontier::nodes`].
    pub fn from_nodes(size: u64, nodes: Vec<NodeHash>) -> Result<Self, BadFrontier> {
        let expected = size.count_ones();
        if usize::try_from(expected).is_ok_and(|it| it == nodes.len()) && size <= MAX_SIZE {
            return Ok(Self { size, nodes });
        }
        Err(BadFrontier::Count { size, expected, found: nodes.len() })
    }

    /// That of a tree of `size` leaves, from [`Frontier::to_bytes`].
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, BadFrontier> {
        let (nodes, rest) = bytes.as_chunks::<32>();
        let found = nodes.len().saturating_add(rest.len().min(1));
        if !rest.is_empty() {
            return Err(BadFrontier::Count { size, expected: size.count_ones(), found });
        }
        Self::from_nodes(size, nodes.iter().map(|it| NodeHash(*it)).collect())
    }

    /// Leaves of the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the subtrees, largest first; [`Node::cover`] of all leaves names them.
    pub fn nodes(&self) -> &[NodeHash] {
        &self.nodes
    }

    /// The same, one after the other, to be kept beside the size.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.nodes.iter().flat_map(|it| it.0).collect()
    }

    /// Appends a leaf. A tree of [`MAX_SIZE`] leaves takes no more.
    pub fn push(&mut self, leaf: NodeHash) -> Result<(), BadFrontier> {
        self.push_subtree(0, leaf)
    }

    /// Appends a full subtree of `1 << level` leaves, which must begin where a subtree of
    /// that level can.
    pub fn push_subtree(&mut self, level: u8, hash: NodeHash) -> Result<(), BadFrontier> {
        let refused = BadFrontier::Place { size: self.size, level };
        let width = Node { level, index: 0 }.width();
        let size = self.size.checked_add(width).filter(|it| *it <= MAX_SIZE).ok_or(refused)?;
        let mut left = self.size.checked_shr(level.into()).unwrap_or(0);
        if self.size.checked_rem(width) != Some(0) {
            return Err(refused);
        }
        let mut hash = hash;
        while left & 1 == 1 {
            let before = self.nodes.pop().ok_or(refused)?;
            hash = NodeHash::parent(before, hash);
            left >>= 1;
        }
        self.nodes.push(hash);
        self.size = size;
        Ok(())
    }

    /// The root of the tree.
    pub fn root(&self) -> NodeHash {
        let mut nodes = self.nodes.iter().rev().copied();
        let Some(last) = nodes.next() else { return NodeHash::of_nothing() };
        nodes.fold(last, |right, left| NodeHash::parent(left, right))
    }
}
