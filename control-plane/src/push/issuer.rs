//! The issuer of capability tokens and its keys, as they were last read: whoever asks for
//! these has to show nothing, and must not have the store asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::store::{Issuer, Store, StoreError};

/// The issuer as of the newest change of it that is known here. It is followed with all
/// that is published, and by whoever changes it here before they are answered.
#[derive(Debug)]
pub(super) struct KnownIssuer {
    known: RwLock<Arc<Issuer>>,
    /// Whether it has to be read once more, whatever is known.
    lost: AtomicBool,
}

impl KnownIssuer {
    /// As the store has it.
    pub(super) async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self::new(store.issuer().await?))
    }

    fn new(issuer: Issuer) -> Self {
        Self { known: RwLock::new(Arc::new(issuer)), lost: AtomicBool::new(false) }
    }

    pub(super) fn get(&self) -> Arc<Issuer> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what a change has made of it, unless a newer one is known.
    pub(super) fn note(&self, issuer: Issuer) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if issuer.revision >= known.revision {
            *known = Arc::new(issuer);
        }
    }

    /// The store may be another one than it was: revisions from before say nothing.
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Reads it once more if it was lost.
    pub(super) async fn find(&self, store: &dyn Store) -> Result<(), StoreError> {
        if self.lost.load(Ordering::Acquire) {
            let issuer = Arc::new(store.issuer().await?);
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = issuer;
            self.lost.store(false, Ordering::Release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kya_core::Revision;

    use super::*;
    use crate::store::{CapabilityTokenStore as _, Cause, IssuerChange, SqliteStore};
    use crate::time::SystemClock;

    fn named(name: &str, revision: u64) -> Issuer {
        Issuer { name: Some(name.to_owned()), revision: Revision(revision), ..Issuer::default() }
    }

    #[tokio::test]
    async fn in_a_new_epoch_it_is_read_once_more_whatever_its_revision() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("kya.db");
        let store = SqliteStore::open(&path, Arc::new(SystemClock)).await.unwrap();
        let change = IssuerChange::Configure { name: "b".to_owned(), max_lifetime: 60 };
        store.change_issuer(change, Cause::default()).await.unwrap();
        let known = KnownIssuer::new(named("a", 9));
        known.find(&store).await.unwrap();
        assert_eq!(known.get().name.as_deref(), Some("a"), "it was not lost");
        known.lose();
        known.find(&store).await.unwrap();
        assert_eq!(known.get().name.as_deref(), Some("b"));
    }

    #[test]
    fn what_was_read_late_does_not_undo_what_is_newer() {
        let known = KnownIssuer::new(named("a", 3));
        known.note(named("b", 7));
        known.note(named("c", 5));
        assert_eq!(known.get().name.as_deref(), Some("b"));
    }
}
