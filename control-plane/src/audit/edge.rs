//! The growing side of the Merkle tree: its tiles that are not full. Enough to append, to
//! know the root, and to answer for every node that no full tile holds.

use kya_core::audit::merkle::{BadFrontier, Frontier, Node, NodeHash, TILE_WIDTH, Tile, TileId};

/// The tiles that are not full in a tree of `size` leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    size: u64,
    /// By level, the lowest first; each has fewer than 256 hashes.
    levels: Vec<Vec<NodeHash>>,
}

impl Edge {
    /// That of a tree of `size` leaves, from [`Edge::to_bytes`].
    pub(crate) fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (mut rest, []) = bytes.as_chunks::<32>() else { return None };
        let mut levels = Vec::new();
        let mut on_level = size;
        while on_level > 0 {
            let count = usize::try_from(on_level % TILE_WIDTH as u64).ok()?;
            let (these, after) = rest.split_at_checked(count)?;
            levels.push(these.iter().map(|it| NodeHash(*it)).collect());
            (rest, on_level) = (after, on_level / TILE_WIDTH as u64);
        }
        rest.is_empty().then_some(Self { size, levels })
    }

    /// Its bytes, to be kept beside the size.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.levels.iter().flatten().flat_map(|it| it.0).collect()
    }

    /// Appends a leaf, and adds the tiles that are full by it to `full`.
    pub(crate) fn push(&mut self, leaf: NodeHash, full: &mut Vec<Tile>) {
        self.size += 1;
        let (mut hash, mut level) = (leaf, 0);
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() < TILE_WIDTH {
                return;
            }
            let index = (self.size >> (8 * (level + 1))) - 1;
            let id = TileId { level: u8::try_from(level).unwrap_or(u8::MAX), index };
            let Ok(tile) = Tile::new(id, std::mem::take(hashes)) else { return };
            let Some(top) = tile.node(id.top()) else { return };
            full.push(tile);
            (hash, level) = (top, level + 1);
        }
    }

    /// Root of the tree.
    ///
    /// # Errors
    /// When the tree is too large.
    pub(crate) fn root(&self) -> Result<NodeHash, BadFrontier> {
        let mut frontier = Frontier::new();
        for (level, hashes) in self.levels.iter().enumerate().rev() {
            let level = u8::try_from(8 * level).unwrap_or(u8::MAX);
            for hash in hashes {
                frontier.push_subtree(level, *hash)?;
            }
        }
        Ok(frontier.root())
    }

    /// The tile, if it is one of those that are not full and has anything in it.
    pub(crate) fn tile(&self, id: TileId) -> Option<Tile> {
        let level = usize::from(id.level);
        let is_last = self.size.checked_shr(8 * (u32::from(id.level) + 1)).unwrap_or(0) == id.index;
        let hashes = self.levels.get(level).filter(|_| is_last)?;
        Tile::new(id, hashes.clone()).ok()
    }

    /// A node that is in one of these tiles or computed from it.
    pub(crate) fn node(&self, node: Node) -> Option<NodeHash> {
        self.tile(TileId::of(node))?.node(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u64) -> NodeHash {
        NodeHash::leaf(&n.to_be_bytes())
    }

    #[test]
    fn it_has_the_root_of_the_tree_at_every_size_and_tiles_that_belong_to_it() {
        let mut edge = Edge::from_bytes(0, &[]).unwrap();
        let (mut tree, mut tiles) = (Frontier::new(), Vec::new());
        assert_eq!(edge.root().unwrap(), tree.root());
        for n in 0..70_000 {
            edge.push(leaf(n), &mut tiles);
            tree.push(leaf(n)).unwrap();
            if n % 251 == 0 || n % 256 > 253 {
                assert_eq!(edge.root().unwrap(), tree.root(), "{n}");
                let again = Edge::from_bytes(n + 1, &edge.to_bytes());
                assert_eq!(again.as_ref(), Some(&edge));
            }
        }
        // 65 536 leaves are 256 full tiles, which fill one of the next level.
        let ids: Vec<_> = tiles.iter().map(Tile::id).collect();
        assert_eq!(ids.iter().filter(|id| id.level == 0).count(), 273);
        assert_eq!(ids.iter().filter(|id| id.level == 1).count(), 1);
        for tile in &tiles {
            assert!(tile.is_full());
        }
        let node = Node { level: 0, index: 69_999 };
        assert_eq!(edge.node(node), Some(leaf(69_999)));
        assert_eq!(edge.node(Node { level: 0, index: 0 }), None, "that is in a full tile");
    }

    #[test]
    fn bytes_of_another_size_are_refused() {
        let mut edge = Edge::from_bytes(0, &[]).unwrap();
        edge.push(leaf(0), &mut Vec::new());
        let bytes = edge.to_bytes();
        assert!(Edge::from_bytes(1, &bytes).is_some());
        for (size, bytes) in [(0, &bytes[..]), (2, &bytes), (1, &bytes[1..]), (257, &bytes)] {
            assert_eq!(Edge::from_bytes(size, bytes), None, "{size}");
        }
    }
}
