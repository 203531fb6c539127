//! Signatures over arbitrary bytes, which the signer of `kya_core` does not make.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use kya_core::wire;
use kya_core::{PublicKey, Signer};
use prost::Message as _;

const DOMAIN: &[u8] = b"kya-update-v1\0";

/// A `SignedUpdate` of this payload, whatever it is.
pub fn signed(signer: &Signer, payload: &[u8]) -> wire::SignedUpdate {
    wire::SignedUpdate {
        key_id: signer.public_key().id().0.to_vec(),
        signature: signature(signer, &[DOMAIN, payload].concat()).to_vec(),
        payload: payload.to_vec(),
    }
}

/// A JWS in its compact form (RFC 7515 section 7.1) of this header and payload,
/// whatever they are.
pub fn jws(signer: &Signer, header: &[u8], payload: &[u8]) -> Vec<u8> {
    let signed = format!("{}.{}", base64url(header), base64url(payload));
    let signature = base64url(&signature(signer, signed.as_bytes()));
    format!("{signed}.{signature}").into_bytes()
}

/// The signature of any message.
pub fn signature(signer: &Signer, message: &[u8]) -> [u8; 64] {
    SigningKey::from_bytes(&signer.to_seed()).sign(message).to_bytes()
}

/// Base64url without padding (RFC 7515 section 2).
pub fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |at: usize| char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]);
        text.extend((0..=group.len()).map(digit));
    }
    text
}

/// Whether this is a `SignedUpdate` that `key` has signed, checked without the
/// verifier of `kya_core`.
pub fn is_signed(key: PublicKey, encoded: &[u8]) -> bool {
    let Ok(signed) = wire::SignedUpdate::decode(encoded) else { return false };
    let Ok(signature) = Signature::from_slice(&signed.signature) else { return false };
    let key = VerifyingKey::from_bytes(&key.to_bytes()).expect("a key is a key");
    key.verify_strict(&[DOMAIN, &signed.payload].concat(), &signature).is_ok()
}
