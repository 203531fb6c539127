//! Reading the Merkle tree: proofs, from the tiles that are kept.

use std::collections::HashSet;

use kya_core::audit::merkle::{BadProof, Node, NodeHash, ProofPlan, TILE_WIDTH, TileId};
use thiserror::Error;

use super::{Edge, Trail};
use crate::store::StoreError;
use crate::store::audit::TrailHead;

/// Why a proof cannot be made.
#[derive(Debug, Error)]
pub enum TreeError {
    /// There is no such proof.
    #[error(transparent)]
    Proof(#[from] BadProof),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Trail {
    /// That record `seq` is in the trail of `size` records.
    ///
    /// # Errors
    /// When the trail is not that long, or the store cannot be used.
    pub async fn inclusion(&self, seq: u64, size: u64) -> Result<Vec<NodeHash>, TreeError> {
        let index = seq.checked_sub(1).ok_or(BadProof::Range(seq, size))?;
        self.prove(ProofPlan::inclusion(index, size)?, size).await
    }

    /// That the trail of `from` records is the beginning of that of `to` records.
    ///
    /// # Errors
    /// When the trail is not that long, or the store cannot be used.
    pub async fn consistency(&self, from: u64, to: u64) -> Result<Vec<NodeHash>, TreeError> {
        self.prove(ProofPlan::consistency(from, to)?, to).await
    }

    async fn prove(&self, plan: ProofPlan, size: u64) -> Result<Vec<NodeHash>, TreeError> {
        let head = self.store.head().await?;
        if size > head.size {
            return Err(BadProof::Range(size, head.size).into());
        }
        let hashes = self.nodes(&head, plan.nodes()).await?;
        Ok(plan.proof(&hashes)?)
    }

    /// The hashes of these nodes of the tree that ends there.
    pub(crate) async fn nodes(
        &self,
        head: &TrailHead,
        nodes: &[Node],
    ) -> Result<Vec<NodeHash>, StoreError> {
        let corrupt = || StoreError::Corrupt("the tree of the audit trail".to_owned());
        let edge = Edge::from_bytes(head.size, &head.edge).ok_or_else(corrupt)?;
        let is_full = |id: &TileId| id.entries(head.size) == TILE_WIDTH;
        let full: HashSet<_> = nodes.iter().map(|node| TileId::of(*node)).filter(is_full).collect();
        let tiles = self.store.tiles(&full.into_iter().collect::<Vec<_>>()).await?;
        let hash = |node: &Node| match tiles.get(&TileId::of(*node)) {
            Some(tile) => tile.node(*node),
            None => edge.node(*node),
        };
        nodes.iter().map(|node| hash(node).ok_or_else(corrupt)).collect()
    }
}
