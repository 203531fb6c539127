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

/// What a record says about the key that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyStep {
    /// It is the first key of a trail.
    First,
    /// The key before signed it.
    Follows(KeyChange),
    /// The key before was lost, and nobody vouches for this one.
    Recovered(KeyChange),
}

impl KeyNamed {
    /// The first key of a trail, which nothing vouches for.
    pub fn first(key: &VerifierKey) -> Self {
        Self { key: key.to_string(), ..Self::default() }
    }

    /// `key` takes the place of the key `previous`, which is lost.
    pub fn recovered(key: &VerifierKey, previous: &VerifierKey) -> Self {
        let previous = Some(previous.to_string());
        Self { key: key.to_string(), previous, recovered: true, ..Self::default() }
    }

    /// The same, by this person and for this reason.
    pub fn by(self, actor: &str, reason: &str) -> Self {
        Self { actor: Some(actor.to_owned()), reason: Some(reason.to_owned()), ..self }
    }

    /// `key` takes the place of the key `previous`, of which `signer` is the private one.
    pub fn following(key: &VerifierKey, previous: &VerifierKey, signer: &Signer) -> Self {
        let key = key.to_string();
        let signature = BASE64.encode(signer.sign(&statement(&key)));
        let previous = Some(previous.to_string());
        Self { key, previous, signature: Some(signature), ..Self::default() }
    }

    /// What it says, if the key before signed it where it should have.
    pub fn verified(&self) -> Result<KeyStep, BadKeyChange> {
        let parse = |text: &str| text.parse::<VerifierKey>().map_err(|_| BadKeyChange::Form);
        let key = parse(&self.key)?;
        let (previous, signature) = match (&self.previous, &self.signature, self.recovered) {
            (None, None, false) => return Ok(KeyStep::First),
            (Some(previous), Some(signature), false) => (parse(previous)?, signature),
            (Some(previous), None, true) => {
                return Ok(KeyStep::Recovered(KeyChange { previous: parse(previous)?, key }));
            }
            _ => return Err(BadKeyChange::Form),
        };
        let signature = BASE64.decode(signature).map_err(|_| BadKeyChange::Form)?;
        if !previous.key().verifies(&statement(&self.key), &signature) {
            return Err(BadKeyChange::Signature);
        }
        Ok(KeyStep::Follows(KeyChange { previous, key }))
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
        let named = KeyNamed::following(&new, &old, &signer);
        assert_eq!(named.verified(), Ok(KeyStep::Follows(change.clone())));
        assert_eq!(
            named.by("operator:ada", "yearly").verified(),
            Ok(KeyStep::Follows(change.clone()))
        );
        assert_eq!(KeyNamed::first(&old).verified(), Ok(KeyStep::First));
        let recovered = KeyNamed::recovered(&new, &old);
        assert_eq!(recovered.verified(), Ok(KeyStep::Recovered(change)));
    }

    #[test]
    fn nothing_else_is_followed() {
        let ((old, signer), (new, other)) = (key(1), key(2));
        let named = KeyNamed::following(&new, &old, &other);
        assert_eq!(named.verified(), Err(BadKeyChange::Signature));
        let mut named = KeyNamed::following(&new, &old, &signer);
        named.key = old.to_string();
        assert_eq!(named.verified(), Err(BadKeyChange::Signature));
        named.recovered = true;
        assert_eq!(named.verified(), Err(BadKeyChange::Form), "signed, and said not to be");
        (named.recovered, named.signature) = (false, None);
        assert_eq!(named.verified(), Err(BadKeyChange::Form));
        named = KeyNamed::recovered(&new, &old);
        named.previous = None;
        assert_eq!(named.verified(), Err(BadKeyChange::Form));
    }
}
