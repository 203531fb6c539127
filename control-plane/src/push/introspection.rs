//! Whether there is such a token: for a proxy that does not know one and wants
//! to be sure before it says so.

use kya_core::TokenDigest;
use kya_core::wire::{IntrospectRequest, SignedUpdate};

use super::Push;
use super::hello::{self, Malformed};
use super::pull::Refusal;

impl Push {
    /// Says whether there is such a token, and nothing else about it: what it may
    /// do is for the state to say, which holds it from the answer's position on.
    pub(crate) async fn introspect(
        &self,
        request: &IntrospectRequest,
    ) -> Result<SignedUpdate, Refusal> {
        let nonce = hello::nonce(&request.nonce)?;
        let digest = TokenDigest::from_slice(&request.digest).ok_or_else(|| {
            Malformed(format!("a digest has 32 bytes, this has {}", request.digest.len()))
        })?;
        self.confirm().await?;
        let look = self.images.on_a_thread(move |images| images.knows(digest.fingerprint())).await;
        let (position, known) = look
            .ok_or_else(|| Refusal::Unavailable("the control plane is shutting down".to_owned()))?;
        self.metrics.introspected();
        Ok(self.signing.introspection(position, nonce, digest, known))
    }
}
