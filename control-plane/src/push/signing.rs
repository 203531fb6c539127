//! What the control plane says, signed.

use std::sync::{Arc, PoisonError, RwLock};

use kya_core::{
    Nonce, Position, PublicKey, Revision, Signer, TokenDigest, UnixMillis, sign_update, wire,
};
use wire::update::Body;

use crate::rotation::{Link, link};
use crate::store::{KeyAction, KeyStep, StoreError};
use crate::time::Clock;

/// The key that signs, what leads proxies to it, and the clock that it signs by.
///
/// **Invariant.** Whoever has had something signed, and then reads the chain,
/// reads everything that a proxy needs to believe it.
#[derive(Debug, Clone)]
pub(super) struct Signing {
    now: Arc<RwLock<Now>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Now {
    signer: Arc<Signer>,
    chain: Vec<Link>,
    /// Revision of the last step that is in this.
    followed: Revision,
}

impl Signing {
    #[cfg(test)]
    pub(super) fn new(signer: Arc<Signer>, clock: Arc<dyn Clock>) -> Self {
        Self::after(signer, Vec::new(), Revision::default(), clock)
    }

    /// Goes on after the step at `followed`.
    pub(super) fn after(
        signer: Arc<Signer>,
        chain: Vec<Link>,
        followed: Revision,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { now: Arc::new(RwLock::new(Now { signer, chain, followed })), clock }
    }

    /// The key that signs.
    pub(super) fn public_key(&self) -> PublicKey {
        self.signer().public_key()
    }

    /// Revision of the last step that was followed.
    pub(super) fn followed(&self) -> Revision {
        self.now.read().unwrap_or_else(PoisonError::into_inner).followed
    }

    /// The `Keys` updates after this serial, in order.
    pub(super) fn chain_after(&self, serial: u64) -> Vec<Link> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.chain.iter().filter(|link| link.serial > serial).cloned().collect()
    }

    /// Takes a step with the keys: everything from now on is signed as it says.
    pub(super) fn follow(
        &self,
        step: &KeyStep,
        find: impl FnOnce(PublicKey) -> Result<Signer, StoreError>,
    ) -> Result<(), StoreError> {
        let link = link(step.change.serial, step.change.signed.as_deref())?;
        let active = step.change.active;
        let signer = match self.public_key() == active {
            true => None,
            false => Some(find(active)?),
        };
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if step.change.action == KeyAction::Compacted {
            now.chain.clear();
        }
        now.chain.extend(link);
        if let Some(signer) = signer {
            now.signer = Arc::new(signer);
        }
        now.followed = step.committed.position.revision;
        Ok(())
    }

    /// Goes on from other keys, as the store says them in a new epoch.
    pub(super) fn begin_again(&self, signer: Arc<Signer>, chain: Vec<Link>, followed: Revision) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Now { signer, chain, followed };
    }

    fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).signer)
    }

    /// What one revision changed, with the time of its commit. Where that is
    /// ahead of the clock, as after the clock was set back, with the time now: no
    /// message may look younger than it is.
    pub(super) fn delta(
        &self,
        position: Position,
        committed: UnixMillis,
        delta: wire::Delta,
    ) -> wire::SignedUpdate {
        let at = committed.min(self.now());
        self.sign_at(position, at, Body::Delta(delta))
    }

    /// Says that the control plane was there at `at`, and that everything that it
    /// had committed by then is at `position` or before.
    pub(super) fn heartbeat(&self, position: Position, at: UnixMillis) -> wire::SignedUpdate {
        self.sign_at(position, at, Body::Heartbeat(wire::Heartbeat { nonce: Vec::new() }))
    }

    /// A heartbeat that answers a question: at that time, the position was the
    /// newest.
    pub(super) fn answer(
        &self,
        position: Position,
        at: UnixMillis,
        nonce: Nonce,
    ) -> wire::SignedUpdate {
        self.sign_at(position, at, Body::Heartbeat(wire::Heartbeat { nonce: nonce.0.to_vec() }))
    }

    /// A challenge, signed at `at`.
    pub(super) fn challenge(
        &self,
        position: Position,
        at: UnixMillis,
        nonce: Nonce,
    ) -> wire::SignedUpdate {
        self.sign_at(position, at, Body::Challenge(wire::Challenge { nonce: nonce.0.to_vec() }))
    }

    pub(super) fn manifest(
        &self,
        position: Position,
        manifest: wire::Manifest,
    ) -> wire::SignedUpdate {
        self.sign(position, Body::Manifest(manifest))
    }

    pub(super) fn introspection(
        &self,
        position: Position,
        nonce: Nonce,
        digest: TokenDigest,
        known: bool,
    ) -> wire::SignedUpdate {
        let (nonce, digest) = (nonce.0.to_vec(), digest.0.to_vec());
        self.sign(position, Body::Introspection(wire::Introspection { nonce, digest, known }))
    }

    /// Everything that this worker's VM has reported below `next` is in the trail.
    pub(super) fn audit_receipt(
        &self,
        position: Position,
        node_id: String,
        instance: u64,
        next: u64,
    ) -> wire::SignedUpdate {
        let receipt = wire::AuditReceipt { node_id, instance, next };
        self.sign(position, Body::AuditReceipt(receipt))
    }

    fn sign(&self, position: Position, body: Body) -> wire::SignedUpdate {
        self.sign_at(position, self.now(), body)
    }

    fn sign_at(&self, position: Position, at: UnixMillis, body: Body) -> wire::SignedUpdate {
        let Position { epoch, revision } = position;
        let update =
            wire::Update { epoch, revision: revision.0, unix_millis: at.0, body: Some(body) };
        sign_update(&self.signer(), &update)
    }

    fn now(&self) -> UnixMillis {
        self.clock.now().millis()
    }
}

#[cfg(test)]
mod tests {
    use kya_core::{Revision, Verifier};
    use prost::Message;

    use super::*;
    use crate::time::UnixMicros;

    #[derive(Debug)]
    struct StandingClock(u64);

    impl Clock for StandingClock {
        fn now(&self) -> UnixMicros {
            UnixMicros(self.0)
        }
    }

    #[test]
    fn a_delta_that_was_committed_in_the_future_is_no_younger_than_its_signature() {
        let signer = Arc::new(Signer::from_seed([1; 32]));
        let verifier = Verifier::new([signer.public_key()]);
        let signing = Signing::new(signer, Arc::new(StandingClock(5_000_000)));
        let position = Position { epoch: 1, revision: Revision(1) };
        for (committed, said) in [(4_000, 4_000), (5_000, 5_000), (9_000, 5_000)] {
            let signed = signing.delta(position, UnixMillis(committed), wire::Delta::default());
            let update = verifier.verify(&signed.encode_to_vec()).unwrap();
            assert_eq!(update.issued(), UnixMillis(said));
        }
    }
}
