//! Which key signs checkpoints, and how another takes its place.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use kya_core::Signer;
use kya_core::audit::{KeyNamed, VerifierKey};
use thiserror::Error;
use tokio::time::sleep;

use super::Trail;
use super::group::{Done, Signing, Work};
use super::writer::NotAppended;
use crate::keys::KeyFileError;
use crate::store::StoreError;

/// How often it is looked whether another server has replaced the key.
const LOOK: Duration = Duration::from_secs(2);

/// Why the key was not replaced. The one before signs on.
#[derive(Debug, Error)]
pub enum RotationError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// This server does not have the key that signs now.
    #[error(
        "the key that signs checkpoints is not in the data directory of this server: copy `audit-*.key` from the server that made it, or ask that one"
    )]
    NotHere,
    /// Somebody else has replaced it at the same time.
    #[error("the key was replaced by somebody else meanwhile")]
    Changed,
    /// It could not be written.
    #[error(transparent)]
    NotAppended(#[from] NotAppended),
}

/// Follows what other servers make of the keys, for ever.
pub(super) async fn follow(trail: Arc<Trail>) {
    loop {
        sleep(LOOK).await;
        if let Err(error) = trail.find_key().await {
            tracing::debug!(%error, "cannot look which key signs the audit trail");
        }
    }
}

impl Trail {
    /// The key that signs, by the trail; its first is made and named if there is none.
    pub(super) async fn find_key(&self) -> Result<(), StoreError> {
        let unusable = |error: KeyFileError| StoreError::Keys(error.into());
        let mut keys = self.store.keys().await?;
        if keys.is_empty() {
            let origin = self.store.head().await?.origin;
            let signer = self.keys.make().map_err(unusable)?;
            let key = named(&origin, &signer)?;
            let first = Work::Key(KeyNamed::first(&key));
            let done = self.queue.append(first).await;
            if !matches!(done, Ok(Done::At(_))) {
                self.keys.forget(key.key()).map_err(unusable)?;
            }
            keys = self.store.keys().await?;
        }
        let Some(active) = keys.last() else {
            return Err(StoreError::Corrupt("the audit trail has no key".to_owned()));
        };
        let wrong = |_| StoreError::Corrupt("a key of the audit trail".to_owned());
        let key: VerifierKey = active.verifier_key.parse().map_err(wrong)?;
        let now = self.signing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if now.is_some_and(|signing| signing.key == key) {
            return Ok(());
        }
        let found = self.keys.find(key.key()).map_err(unusable)?;
        self.metrics.audit.signs(found.is_some());
        let signing = found.map(|signer| Arc::new(Signing { signer, key: key.clone() }));
        match &signing {
            Some(_) => self.keys.publish(&key).map_err(unusable)?,
            None => tracing::warn!(
                %key,
                "the key that signs checkpoints of the audit trail is not here: other servers sign them"
            ),
        }
        *self.signing.lock().unwrap_or_else(PoisonError::into_inner) = signing;
        Ok(())
    }

    /// Has a new key sign from here on: the one before vouches for it in a record.
    /// Checkpoints that were signed before count as they did.
    ///
    /// # Errors
    /// When this server does not have the key that signs, or the trail cannot be
    /// appended to.
    pub async fn rotate_key(&self) -> Result<VerifierKey, RotationError> {
        self.find_key().await?;
        let now = self.signing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(now) = now else { return Err(RotationError::NotHere) };
        let signer = self.keys.make()?;
        let key = named(now.key.name(), &signer)?;
        let named = KeyNamed::following(&key, &now.key, &now.signer);
        match self.queue.append(Work::Key(named)).await {
            Ok(Done::At(_)) => {}
            other => {
                // What became of it is not known where the store has failed: then its
                // file stays, so that it can sign if it is the one.
                if matches!(other, Ok(_) | Err(NotAppended::Busy)) {
                    self.keys.forget(key.key())?;
                }
                other?;
                return Err(RotationError::Changed);
            }
        }
        self.find_key().await?;
        Ok(key)
    }
}

fn named(origin: &str, signer: &Signer) -> Result<VerifierKey, StoreError> {
    let key = VerifierKey::new(origin, signer.public_key());
    key.map_err(|_| StoreError::Corrupt("the origin of the audit trail".to_owned()))
}
