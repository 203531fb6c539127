//! Ed25519 keys (RFC 8032) and their written form.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use thiserror::Error;

const PREFIX: &str = "ed25519:";
/// DER of a SubjectPublicKeyInfo up to the key itself (RFC 8410 section 4).
const SPKI_HEADER: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An Ed25519 public key. Written `ed25519:` and the base64 of its
/// SubjectPublicKeyInfo (RFC 8410), which is what stands between the lines of a
/// PEM file that `openssl pkey -pubout` writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// Short name of a public key: the first 8 bytes of SHA-256 over its raw 32
/// bytes. It selects a key; it proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

/// A private key that signs updates. `Debug` does not show it.
pub struct Signer(SigningKey);

/// Why a text is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It does not start with `ed25519:`.
    #[error("a public key is written `ed25519:` and the base64 of its SubjectPublicKeyInfo")]
    WrongPrefix,
    /// What follows is not standard base64 with padding.
    #[error("what follows `ed25519:` is not base64 (standard alphabet, with padding)")]
    NotBase64,
    /// The bytes are not the SubjectPublicKeyInfo of an Ed25519 key.
    #[error(
        "not the SubjectPublicKeyInfo of an Ed25519 key (RFC 8410): keys of other algorithms, private keys and raw keys are not accepted"
    )]
    NotSpki,
    /// The 32 bytes are no point of the curve, or one of small order, under
    /// which signatures prove nothing.
    #[error("the 32 bytes are not a usable Ed25519 public key")]
    NotAKey,
}

impl PublicKey {
    /// The key with these raw 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotAKey)?;
        if key.is_weak() { Err(KeyError::NotAKey) } else { Ok(Self(key)) }
    }

    /// The raw 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The key's short name.
    pub fn id(self) -> KeyId {
        let digest: [u8; 32] = Sha256::digest(self.to_bytes()).into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        KeyId([a, b, c, d, e, f, g, h])
    }

    /// True when `signature` is this key's over `message`, by the strict rules
    /// that leave one valid signature a message and no small-order key.
    pub(crate) fn verifies(self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

impl Signer {
    /// The signer with this 32-byte seed (RFC 8032's private key).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The seed, to be kept where nobody else reads it.
    pub fn to_seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The key that verifies what this one signs.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(KeyError::WrongPrefix)?;
        let der = BASE64.decode(encoded).map_err(|_| KeyError::NotBase64)?;
        let raw = der.strip_prefix(&SPKI_HEADER[..]).ok_or(KeyError::NotSpki)?;
        Self::from_bytes(raw.try_into().map_err(|_| KeyError::NotSpki)?)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut der = SPKI_HEADER.to_vec();
        der.extend_from_slice(&self.to_bytes());
        write!(f, "{PREFIX}{}", BASE64.encode(der))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public_key().id())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_openssl_writes_it() {
        // `openssl pkey -pubout` of RFC 8410's own example key (section 10.1).
        let text = "ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        let key: PublicKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(key.to_bytes()[..4], [0x19, 0xbf, 0x44, 0x09]);
    }

    #[test]
    fn what_is_no_ed25519_key_is_refused_with_the_reason() {
        for (text, error) in [
            ("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=", KeyError::WrongPrefix),
            ("ed25519:???", KeyError::NotBase64),
            (
                "ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE",
                KeyError::NotBase64,
            ),
            ("ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=", KeyError::NotSpki),
            // X25519 (1.3.101.110): the same shape, another algorithm.
            (
                "ed25519:MCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
                KeyError::NotSpki,
            ),
            ("ed25519:", KeyError::NotSpki),
        ] {
            assert_eq!(text.parse::<PublicKey>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::from_bytes(identity), Err(KeyError::NotAKey));
        assert_eq!(PublicKey::from_bytes([0; 32]), Err(KeyError::NotAKey));
    }

    #[test]
    fn a_signer_does_not_show_its_seed() {
        let shown = format!("{:?}", Signer::from_seed([0x42; 32]));
        assert!(!shown.contains("42424242"), "{shown}");
    }
}
