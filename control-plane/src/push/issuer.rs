//! The issuer of capability tokens and its keys, as they were last read: whoever asks for
//! these has to show nothing, and must not have the store asked.

use std::sync::{Arc, PoisonError, RwLock};

use crate::store::{Issuer, Store, StoreError};

/// The issuer as of the newest change of it that is known here. It is followed with all
/// that is published, and by whoever changes it here before they are answered.
#[derive(Debug)]
pub(super) struct KnownIssuer(RwLock<Arc<Issuer>>);

impl KnownIssuer {
    /// As the store has it.
    pub(super) async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self(RwLock::new(Arc::new(store.issuer().await?))))
    }

    pub(super) fn get(&self) -> Arc<Issuer> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what a change has made of it, unless a newer one is known.
    pub(super) fn note(&self, issuer: Issuer) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if issuer.revision >= known.revision {
            *known = Arc::new(issuer);
        }
    }

    /// Reads it once more, whatever was known.
    pub(super) async fn begin_again(&self, store: &dyn Store) -> Result<(), StoreError> {
        let issuer = Arc::new(store.issuer().await?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = issuer;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kya_core::Revision;

    use super::*;

    #[test]
    fn what_was_read_late_does_not_undo_what_is_newer() {
        let named = |name: &str, revision| Issuer {
            name: Some(name.to_owned()),
            revision: Revision(revision),
            ..Issuer::default()
        };
        let known = KnownIssuer(RwLock::new(Arc::new(named("a", 3))));
        known.note(named("b", 7));
        known.note(named("c", 5));
        assert_eq!(known.get().name.as_deref(), Some("b"));
    }
}
