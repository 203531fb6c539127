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
use crate::store::audit::KeyRow;

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
    /// None was announced since the last one began to sign.
    #[error("no key was announced that could be activated")]
    NotAnnounced,
    /// The key is not lost.
    #[error(
        "the key that signs checkpoints is here, so it is not lost: announce and activate another"
    )]
    Here,
    /// Another key signs than was said to be lost.
    #[error("the key that signs checkpoints is another one: {0}")]
    OtherKey(String),
    /// Somebody else has replaced it at the same time.
    #[error("the key was replaced by somebody else meanwhile")]
    Changed,
    /// It could not be written.
    #[error(transparent)]
    NotAppended(#[from] NotAppended),
}

/// Who does something to the keys, and why: it is in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Because {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
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
        let key = parsed(active)?;
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

    /// Makes the key that is to sign next, which the one that signs now vouches for in a
    /// record. It signs nothing yet, and takes the place of one that was announced before.
    ///
    /// # Errors
    /// When this server does not have the key that signs, or the trail cannot be
    /// appended to.
    pub async fn announce_key(&self, why: &Because) -> Result<VerifierKey, RotationError> {
        let now = self.signing_now().await?;
        let signer = self.keys.make()?;
        let key = named(now.key.name(), &signer)?;
        let named = KeyNamed::following(&key, &now.key, &now.signer).by(&why.actor, &why.reason);
        self.append_key(Work::Announce(named), &key).await?;
        Ok(key)
    }

    /// Has the key sign from here on that was announced.
    ///
    /// # Errors
    /// When none was, or this server does not have it or the key that signs, or the trail
    /// cannot be appended to.
    pub async fn activate_key(&self, why: &Because) -> Result<VerifierKey, RotationError> {
        let now = self.signing_now().await?;
        let announced = self.store.announced().await?.ok_or(RotationError::NotAnnounced)?;
        let key = parsed(&announced)?;
        self.keys.find(key.key())?.ok_or(RotationError::NotHere)?;
        let named = KeyNamed::following(&key, &now.key, &now.signer).by(&why.actor, &why.reason);
        // Its file stays whatever becomes of it: it can be tried again.
        match self.queue.append(Work::Key(named)).await? {
            Done::At(_) => {}
            _ => return Err(RotationError::Changed),
        }
        self.find_key().await?;
        Ok(key)
    }

    /// Has a new key sign from here on: the one before vouches for it in a record.
    /// Checkpoints that were signed before count as they did.
    ///
    /// # Errors
    /// When this server does not have the key that signs, or the trail cannot be
    /// appended to.
    pub async fn rotate_key(&self, why: &Because) -> Result<VerifierKey, RotationError> {
        let now = self.signing_now().await?;
        let signer = self.keys.make()?;
        let key = named(now.key.name(), &signer)?;
        let named = KeyNamed::following(&key, &now.key, &now.signer).by(&why.actor, &why.reason);
        self.append_key(Work::Key(named), &key).await?;
        self.find_key().await?;
        Ok(key)
    }

    /// Has a new key sign from here on because the private half of the one that signs is
    /// lost. Nobody vouches for it, and the record says so: whoever has pinned the key
    /// before does not follow. `lost` is the short name of the key that is lost.
    ///
    /// # Errors
    /// When that key is here, or is not the one that signs, or the trail cannot be
    /// appended to.
    pub async fn recover_key(
        &self,
        lost: &str,
        why: &Because,
    ) -> Result<VerifierKey, RotationError> {
        self.find_key().await?;
        let keys = self.store.keys().await?;
        let none = || StoreError::Corrupt("the audit trail has no key".to_owned());
        let before = parsed(keys.last().ok_or_else(none)?)?;
        let id = before.id().to_string();
        if lost != id {
            return Err(RotationError::OtherKey(id));
        }
        if self.keys.find(before.key())?.is_some() {
            return Err(RotationError::Here);
        }
        let signer = self.keys.make()?;
        let key = named(before.name(), &signer)?;
        let named = KeyNamed::recovered(&key, &before).by(&why.actor, &why.reason);
        self.append_key(Work::Key(named), &key).await?;
        tracing::warn!(%key, %before, "the key of the audit trail was started anew: nobody vouches for it");
        self.find_key().await?;
        Ok(key)
    }

    /// The key that signs, if it is here.
    async fn signing_now(&self) -> Result<Arc<Signing>, RotationError> {
        self.find_key().await?;
        let now = self.signing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        now.ok_or(RotationError::NotHere)
    }

    /// Appends a record of a key that was made for it.
    async fn append_key(&self, work: Work, key: &VerifierKey) -> Result<(), RotationError> {
        let other = match self.queue.append(work).await {
            Ok(Done::At(_)) => return Ok(()),
            other => other,
        };
        // What became of it is not known where the store has failed: then its file stays,
        // so that it can sign if it is the one.
        if matches!(other, Ok(_) | Err(NotAppended::Busy)) {
            self.keys.forget(key.key())?;
        }
        other?;
        Err(RotationError::Changed)
    }
}

fn parsed(row: &KeyRow) -> Result<VerifierKey, StoreError> {
    let wrong = |_| StoreError::Corrupt("a key of the audit trail".to_owned());
    row.verifier_key.parse().map_err(wrong)
}

fn named(origin: &str, signer: &Signer) -> Result<VerifierKey, StoreError> {
    let key = VerifierKey::new(origin, signer.public_key());
    key.map_err(|_| StoreError::Corrupt("the origin of the audit trail".to_owned()))
}
