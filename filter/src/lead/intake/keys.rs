//! Changes of the keys whose signatures count.

use kya_core::{VerifiedUpdate, Verifier, wire};
use prost::Message;

use super::{Intake, Taken};
use crate::cache::MAX_KEY_CHAIN;
use crate::host::Host;
use crate::plugin::Plugin;

/// The changes of the trusted keys in the cache that lead on from the pinned ones.
pub(super) fn stored_key_chain<H: Host>(plugin: &Plugin<H>) -> Vec<Vec<u8>> {
    let Some((chain, _)) = plugin.cache.keys(&plugin.host) else { return Vec::new() };
    let mut verifier = Verifier::new(plugin.config.update_keys.iter().copied());
    let mut kept = Vec::new();
    for signed in chain {
        if verifier.verify_signed(&signed).is_ok_and(|update| verifier.learn(&update)) {
            kept.push(signed.encode_to_vec());
        }
    }
    kept
}

impl Intake {
    /// Whether this says that it is a list of keys no newer than the one that
    /// counts. Whoever signed it, there is nothing to learn from it.
    pub(super) fn knows_key_list(&self, signed: &wire::SignedUpdate) -> bool {
        let body = wire::Update::decode(signed.payload.as_slice()).ok().and_then(|it| it.body);
        matches!(body, Some(wire::update::Body::Keys(it)) if it.serial <= self.verifier.key_serial())
    }

    pub(super) fn learn<H: Host>(
        &mut self,
        plugin: &Plugin<H>,
        update: &VerifiedUpdate,
        signed: &wire::SignedUpdate,
    ) -> Taken {
        if !self.verifier.learn(update) {
            return Taken::Noted;
        }
        if self.key_chain.len() >= MAX_KEY_CHAIN {
            self.key_chain.remove(0);
        }
        self.key_chain.push(signed.encode_to_vec());
        // A VM that begins later cannot read a base that a retired key signed.
        self.wants_manifest |= self.head.is_some();
        // Workers that do not learn them cannot read what comes, and deny.
        let _ = plugin.cache.store_keys(&plugin.host, &self.key_chain);
        Taken::News
    }
}
