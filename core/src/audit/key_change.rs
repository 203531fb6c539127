//! How one key of the trail is followed by the next: the old one signs the new one's name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

use super::{KeyNamed, VerifierKey};
use crate::keys::Signer;

/// Keeps these signatures from being taken for any other.
const DOMAIN: &[u8] = b"kya-audit-key-v1\0";

/// Why a record does not make one key follow another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadKeyChange {
    /// It does not say what it should.
    #[error("not two verifier keys and a signature in base64")]
    Form,
    /// The old key did not sign it.
    #[error("the signature is not that of the key before")]
    Signature,
}

/// One key takes the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// Counted until then.
    pub previous: VerifierKey,
    /// Counts from then on.
    pub key: VerifierKey,
}

impl KeyNamed {
    /// The first key of a trail, which nothing vouches for.
    pub fn first(key: &VerifierKey) -> Self {
        Self { key: key.to_string(), previous: None, signature: None }
    }

    /// `key` takes the place of the key `previous`, of which `signer` is the private one.
    pub fn following(key: &VerifierKey, previous: &VerifierKey, signer: &Signer) -> Self {
        let key = key.to_string();
        let signature = BASE64.encode(signer.sign(&statement(&key)));
        Self { key, previous: Some(previous.to_string()), signature: Some(signature) }
    }

    /// What it says, if the key before signed it; nothing of the first key of a trail.
    pub fn verified(&self) -> Result<Option<KeyChange>, BadKeyChange> {
        let parse = |text: &str| text.parse::<VerifierKey>().map_err(|_| BadKeyChange::Form);
        let key = parse(&self.key)?;
        let (previous, signature) = match (&self.previous, &self.signature) {
            (None, None) => return Ok(None),
            (Some(previous), Some(signature)) => (parse(previous)?, signature),
            _ => return Err(BadKeyChange::Form),
        };
        let signature = BASE64.decode(signature).map_err(|_| BadKeyChange::Form)?;
        if !previous.key().verifies(&statement(&self.key), &signature) {
            return Err(BadKeyChange::Signature);
        }
        Ok(Some(KeyChange { previous, key }))
    }
}

fn statement(key: &str) -> Vec<u8> {
    [DOMAIN, key.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> (VerifierKey, Signer) {
        let signer = Signer::from_seed([seed; 32]);
        (VerifierKey::new("kya.test/audit", signer.public_key()).unwrap(), signer)
    }

    #[test]
    fn a_key_is_followed_by_what_it_signed() {
        let ((old, signer), (new, _)) = (key(1), key(2));
        let change = KeyChange { previous: old.clone(), key: new.clone() };
        assert_eq!(KeyNamed::following(&new, &old, &signer).verified(), Ok(Some(change)));
        assert_eq!(KeyNamed::first(&old).verified(), Ok(None));
    }

    #[test]
    fn nothing_else_is_followed() {
        let ((old, signer), (new, other)) = (key(1), key(2));
        let named = KeyNamed::following(&new, &old, &other);
        assert_eq!(named.verified(), Err(BadKeyChange::Signature));
        let mut named = KeyNamed::following(&new, &old, &signer);
        named.key = old.to_string();
        assert_eq!(named.verified(), Err(BadKeyChange::Signature));
        named.signature = None;
        assert_eq!(named.verified(), Err(BadKeyChange::Form));
    }
}
