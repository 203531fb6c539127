//! The keys whose signatures count now.

use std::collections::BTreeMap;

use crate::keys::{KeyId, PublicKey};

/// Keys by their ids: those that an operator pinned, or those that took their
/// place by a signed update.
#[derive(Debug, Clone)]
pub(crate) struct KeyRing {
    serial: u64,
    keys: BTreeMap<KeyId, PublicKey>,
}

impl KeyRing {
    pub(crate) fn pinned(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self { serial: 0, keys: by_id(keys) }
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn find(&self, id: &[u8]) -> Option<&PublicKey> {
        self.keys.get(&KeyId(id.try_into().ok()?))
    }

    /// Says whether the keys are others now.
    pub(crate) fn replace(&mut self, serial: u64, keys: &[PublicKey]) -> bool {
        let newer = serial > self.serial && !keys.is_empty();
        if newer {
            *self = Self { serial, keys: by_id(keys.iter().copied()) };
        }
        newer
    }
}

fn by_id(keys: impl IntoIterator<Item = PublicKey>) -> BTreeMap<KeyId, PublicKey> {
    keys.into_iter().map(|key| (key.id(), key)).collect()
}
