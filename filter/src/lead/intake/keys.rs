//! Changes of the keys whose signatures count.

use kya_core::{Body, VerifiedUpdate, Verifier, wire};
use prost::Message;

use super::{Intake, Taken};
use crate::cache::MAX_KEY_CHAIN;
use crate::host::Host;
use crate::lead::channel::Channel;
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

/// Which key a `SignedUpdate` says it is signed by.
pub(super) fn signer_of(encoded: &[u8]) -> Option<Vec<u8>> {
    wire::SignedUpdate::decode(encoded).ok().map(|signed| signed.key_id)
}

/// The serial of a message that nobody has verified, if it says that it is a `Keys`
/// update.
pub(super) fn link_serial(signed: &wire::SignedUpdate) -> Option<u64> {
    match wire::Update::decode(signed.payload.as_slice()).ok()?.body? {
        wire::update::Body::Keys(keys) => Some(keys.serial),
        _ => None,
    }
}

impl Intake {
    /// The key that signs is another than the one that signed the base: as soon as
    /// that one is retired, no new worker could read the base, so it is renewed.
    pub(super) fn mind_signer(
        &mut self,
        update: &VerifiedUpdate,
        signed: &wire::SignedUpdate,
        channel: &impl Channel,
    ) {
        if let Body::Manifest { .. } | Body::Keys { .. } = update.body() {
            return;
        }
        let base_signer = self.base_signer.as_ref().filter(|_| self.fetch.is_none());
        if channel.is_proven() && base_signer.is_some_and(|by| *by != signed.key_id) {
            self.wants_manifest = true;
        }
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
