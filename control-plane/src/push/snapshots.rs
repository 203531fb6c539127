//! Snapshots: read once for each position, signed once for each nonce.

use std::sync::Arc;

use kya_core::{Nonce, Position, Signer, UnixSeconds, sign_update, wire};
use prost::Message;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::store::{Store, StoreError, StoredSnapshot};
use crate::time::{Clock, UnixMicros};

/// The largest message that is sent.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// A token stays in snapshots for this long after it expired, so that a proxy
/// whose clock is behind still knows it, and says "expired" and not "unknown".
const KEEP_EXPIRED_SECONDS: u64 = 3600;

/// Makes the snapshots of every stream.
#[derive(Debug)]
pub(super) struct Snapshots {
    store: Arc<dyn Store>,
    signer: Arc<Signer>,
    clock: Arc<dyn Clock>,
    /// What was read last. Streams that begin together share one reading: the
    /// lock is held while the store is read.
    latest: Mutex<Option<Arc<StoredSnapshot>>>,
}

/// Why there is no snapshot.
#[derive(Debug, Error)]
pub(super) enum SnapshotError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "a snapshot of {agents} agents and {tokens} tokens has {bytes} bytes, more than the {MAX_MESSAGE_BYTES} of a message"
    )]
    TooLarge { agents: usize, tokens: usize, bytes: usize },
    #[error("the signing task failed")]
    Lost,
}

impl Snapshots {
    pub(super) fn new(store: Arc<dyn Store>, signer: Arc<Signer>, clock: Arc<dyn Clock>) -> Self {
        Self { store, signer, clock, latest: Mutex::default() }
    }

    /// A signed snapshot that answers `nonce`, at the store's newest position.
    pub(super) async fn answer(
        &self,
        nonce: Nonce,
    ) -> Result<(Position, wire::SignedUpdate), SnapshotError> {
        let now = self.clock.now();
        let horizon = UnixSeconds(now.seconds().0.saturating_sub(KEEP_EXPIRED_SECONDS));
        let stored = self.read(horizon).await?;
        let signer = Arc::clone(&self.signer);
        let position = stored.position;
        // Large states take milliseconds to copy, encode and sign.
        let signed =
            tokio::task::spawn_blocking(move || sign(&signer, &stored, nonce, now, horizon))
                .await
                .map_err(|_| SnapshotError::Lost)??;
        Ok((position, signed))
    }

    async fn read(&self, horizon: UnixSeconds) -> Result<Arc<StoredSnapshot>, StoreError> {
        let mut latest = self.latest.lock().await;
        let head = self.store.head().await?.position;
        if let Some(snapshot) = latest.as_ref()
            && snapshot.position == head
        {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = Arc::new(self.store.snapshot(horizon).await?);
        *latest = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

fn sign(
    signer: &Signer,
    stored: &StoredSnapshot,
    nonce: Nonce,
    now: UnixMicros,
    horizon: UnixSeconds,
) -> Result<wire::SignedUpdate, SnapshotError> {
    let snapshot = wire::Snapshot {
        nonce: nonce.0.to_vec(),
        agents: stored.agents.clone(),
        // The reading may be older than this horizon.
        tokens: stored
            .tokens
            .iter()
            .filter(|token| token.expires_unix_seconds > horizon.0)
            .cloned()
            .collect(),
    };
    let (agents, tokens) = (snapshot.agents.len(), snapshot.tokens.len());
    let update = wire::Update {
        epoch: stored.position.epoch,
        revision: stored.position.revision.0,
        unix_millis: now.millis().0,
        body: Some(wire::update::Body::Snapshot(snapshot)),
    };
    let signed = sign_update(signer, &update);
    match signed.encoded_len() {
        bytes if bytes > MAX_MESSAGE_BYTES => {
            Err(SnapshotError::TooLarge { agents, tokens, bytes })
        }
        _ => Ok(signed),
    }
}
