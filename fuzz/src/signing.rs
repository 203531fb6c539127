//! Signatures over arbitrary bytes, which the signer of `kya_core` does not make.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use kya_core::wire;
use kya_core::{PublicKey, Signer};
use prost::Message as _;

const DOMAIN: &[u8] = b"kya-update-v1\0";

/// A `SignedUpdate` of this payload, whatever it is.
pub fn signed(signer: &Signer, payload: &[u8]) -> wire::SignedUpdate {
    let key = SigningKey::from_bytes(&signer.to_seed());
    wire::SignedUpdate {
        key_id: signer.public_key().id().0.to_vec(),
        signature: key.sign(&[DOMAIN, payload].concat()).to_bytes().to_vec(),
        payload: payload.to_vec(),
    }
}

/// Whether this is a `SignedUpdate` that `key` has signed, checked without the
/// verifier of `kya_core`.
pub fn is_signed(key: PublicKey, encoded: &[u8]) -> bool {
    let Ok(signed) = wire::SignedUpdate::decode(encoded) else { return false };
    let Ok(signature) = Signature::from_slice(&signed.signature) else { return false };
    let key = VerifyingKey::from_bytes(&key.to_bytes()).expect("a key is a key");
    key.verify_strict(&[DOMAIN, &signed.payload].concat(), &signature).is_ok()
}
