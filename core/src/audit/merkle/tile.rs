//! Tiles of C2SP tlog-tiles: 256 hashes of one level, kept together.

use thiserror::Error;

use super::{Frontier, Node, NodeHash};

/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 256;
/// Levels of the tree that one level of tiles stands for.
const HEIGHT: u8 = 8;

/// Which tile: the nodes from `index * 256` on, of the level `level * 8` of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Level of tiles, from 0, which holds leaves.
    pub level: u8,
    /// Place on that level, from 0.
    pub index: u64,
}

/// A tile, full or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    id: TileId,
    hashes: Vec<NodeHash>,
}

/// Bytes are not a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} bytes are not 1 to 256 hashes of 32 bytes")]
pub struct BadTile(pub usize);

impl TileId {
    /// The tile in which a node is, or from which it is computed.
    pub fn of(node: Node) -> Self {
        let within = node.level.checked_rem(HEIGHT).unwrap_or(0);
        let index = node.index >> HEIGHT.saturating_sub(within);
        Self { level: node.level.checked_div(HEIGHT).unwrap_or(0), index }
    }

    /// The node that stands at the top of it when it is full. It is the entry number
    /// `index % 256` of the tile above.
    pub fn top(self) -> Node {
        let level = self.level.saturating_add(1).saturating_mul(HEIGHT);
        Node { level, index: self.index }
    }

    /// Its first entry.
    pub fn first(self) -> Node {
        let index = self.index.saturating_mul(TILE_WIDTH as u64);
        Node { level: self.level.saturating_mul(HEIGHT), index }
    }

    /// How many entries it has in a tree of `size` leaves, at most 256.
    pub fn entries(self, size: u64) -> usize {
        let first = self.first();
        let on_level = size.checked_shr(first.level.into()).unwrap_or(0);
        let here = on_level.saturating_sub(first.index);
        usize::try_from(here).unwrap_or(TILE_WIDTH).min(TILE_WIDTH)
    }

    /// Its path in a log that is served as tlog-tiles says, with `width` entries.
    pub fn path(self, width: usize) -> String {
        let mut groups = Vec::new();
        let mut rest = self.index;
        loop {
            let group = rest.checked_rem(1000).unwrap_or(0);
            let mark = if groups.is_empty() { "" } else { "x" };
            groups.push(format!("{mark}{group:03}"));
            rest = rest.checked_div(1000).unwrap_or(0);
            if rest == 0 {
                break;
            }
        }
        groups.reverse();
        let part = if width < TILE_WIDTH { format!(".p/{width}") } else { String::new() };
        format!("tile/{}/{}{part}", self.level, groups.join("/"))
    }
}

impl Tile {
    /// A tile of these hashes, 1 to 256.
    pub fn new(id: TileId, hashes: Vec<NodeHash>) -> Result<Self, BadTile> {
        match hashes.len() {
            1..=TILE_WIDTH => Ok(Self { id, hashes }),
            other => Err(BadTile(other.saturating_mul(32))),
        }
    }

    /// The same from its bytes, which are the hashes one after the other.
    pub fn from_bytes(id: TileId, bytes: &[u8]) -> Result<Self, BadTile> {
        let (hashes, []) = bytes.as_chunks::<32>() else { return Err(BadTile(bytes.len())) };
        Self::new(id, hashes.iter().map(|it| NodeHash(*it)).collect())
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|it| it.0).collect()
    }

    /// Which tile it is.
    pub fn id(&self) -> TileId {
        self.id
    }

    /// Its entries.
    pub fn hashes(&self) -> &[NodeHash] {
        &self.hashes
    }

    /// Whether it will stay as it is.
    pub fn is_full(&self) -> bool {
        self.hashes.len() == TILE_WIDTH
    }

    /// A node that is in it or computed from it, its top included; none if the tile does
    /// not hold all that the node covers.
    pub fn node(&self, node: Node) -> Option<NodeHash> {
        let first = self.id.first();
        let up = node.level.checked_sub(first.level).filter(|it| *it <= HEIGHT)?;
        let begin = node.index.checked_shl(up.into())?.checked_sub(first.index)?;
        let begin = usize::try_from(begin).ok()?;
        let end = begin.checked_add(1usize.checked_shl(up.into())?)?;
        let mut subtree = Frontier::new();
        for hash in self.hashes.get(begin..end)? {
            subtree.push(*hash).ok()?;
        }
        match subtree.nodes() {
            [only] => Some(*only),
            _ => None,
        }
    }
}
