//! What the control plane says, signed.

use std::sync::Arc;

use kya_core::{Nonce, Position, Signer, TokenDigest, UnixMillis, sign_update, wire};
use wire::update::Body;

use crate::time::Clock;

/// The key that signs, and the clock that it signs by.
#[derive(Debug, Clone)]
pub(super) struct Signing {
    signer: Arc<Signer>,
    clock: Arc<dyn Clock>,
}

impl Signing {
    pub(super) fn new(signer: Arc<Signer>, clock: Arc<dyn Clock>) -> Self {
        Self { signer, clock }
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

    fn sign(&self, position: Position, body: Body) -> wire::SignedUpdate {
        self.sign_at(position, self.now(), body)
    }

    fn sign_at(&self, position: Position, at: UnixMillis, body: Body) -> wire::SignedUpdate {
        let Position { epoch, revision } = position;
        let update =
            wire::Update { epoch, revision: revision.0, unix_millis: at.0, body: Some(body) };
        sign_update(&self.signer, &update)
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
