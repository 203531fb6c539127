//! The hashes that stand for a run of leaves that are not shown.

use super::{MAX_SIZE, Node, NodeHash};

/// The largest full subtrees that a run of leaves consists of, with their hashes, as the
/// run grows: those that [`Node::cover`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    first: u64,
    end: u64,
    nodes: Vec<(Node, NodeHash)>,
}

impl Cover {
    /// Of no leaves, where the leaf `first` comes next.
    pub fn starting_at(first: u64) -> Self {
        Self { first, end: first, nodes: Vec::new() }
    }

    /// The first leaf, and the one that comes next.
    pub fn range(&self) -> (u64, u64) {
        (self.first, self.end)
    }

    /// Appends a leaf; a tree of [`MAX_SIZE`] leaves takes no more.
    pub fn push(&mut self, leaf: NodeHash) {
        let Some(end) = self.end.checked_add(1).filter(|it| *it <= MAX_SIZE) else { return };
        let (mut node, mut hash) = (Node { level: 0, index: self.end }, leaf);
        while node.index & 1 == 1
            && let Some((left, left_hash)) = self.nodes.pop_if(|it| it.0.level == node.level)
        {
            node = Node { level: left.level.saturating_add(1), index: left.index >> 1 };
            hash = NodeHash::parent(left_hash, hash);
        }
        self.nodes.push((node, hash));
        self.end = end;
    }

    /// The hashes, from left to right.
    pub fn hashes(&self) -> impl Iterator<Item = NodeHash> {
        self.nodes.iter().map(|it| it.1)
    }
}
