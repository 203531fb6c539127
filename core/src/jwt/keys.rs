//! The keys that capability tokens are believed by.

use std::collections::BTreeMap;

use super::encode;
use super::error::SetupError;
use super::thumbprint::Thumbprint;
use crate::keys::PublicKey;
use crate::update::MAX_KEYS;

/// 1 to 8 Ed25519 keys by their thumbprints, which are their `kid`s. They should be
/// other keys than those that sign updates: one key, one purpose (RFC 8725 section
/// 3.12). A signature of either kind does not fit the other, since a token never
/// begins as a signed update does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapabilityKeys(BTreeMap<Thumbprint, PublicKey>);

impl CapabilityKeys {
    /// Trusts exactly these keys.
    ///
    /// # Errors
    /// [`SetupError::Keys`] when there is none, or more than 8 that differ.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, SetupError> {
        let keys: BTreeMap<_, _> = keys.into_iter().map(|key| (Thumbprint::of(key), key)).collect();
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return Err(SetupError::Keys(keys.len()));
        }
        Ok(Self(keys))
    }

    /// The key of this name, if it is trusted.
    pub fn find(&self, kid: Thumbprint) -> Option<PublicKey> {
        self.0.get(&kid).copied()
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (Thumbprint, PublicKey)> {
        self.0.iter().map(|(kid, key)| (*kid, *key))
    }
}

/// The keys as a JWK Set (RFC 7517 section 5, RFC 8037 section 2): JSON, the media
/// type of which is `application/jwk-set+json`. Others verify tokens by it.
pub fn jwks(keys: &CapabilityKeys) -> String {
    // Nothing in it needs an escape: names of this crate and base64url.
    let jwk = |(kid, key): (Thumbprint, PublicKey)| {
        let x = encode(key.to_bytes());
        format!(
            r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"{kid}","alg":"Ed25519","use":"sig"}}"#
        )
    };
    let keys: Vec<_> = keys.iter().map(jwk).collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Signer;

    fn key(n: u8) -> PublicKey {
        Signer::from_seed([n; 32]).public_key()
    }

    #[test]
    fn there_are_one_to_eight_keys() {
        assert_eq!(CapabilityKeys::new([]), Err(SetupError::Keys(0)));
        assert!(CapabilityKeys::new((1..=8).map(key)).is_ok());
        assert_eq!(CapabilityKeys::new((1..=9).map(key)), Err(SetupError::Keys(9)));
        let twice = CapabilityKeys::new([key(1), key(1)]).unwrap();
        assert_eq!(twice.iter().count(), 1);
    }

    #[test]
    fn a_key_is_found_by_its_thumbprint_alone() {
        let keys = CapabilityKeys::new([key(1), key(2)]).unwrap();
        assert_eq!(keys.find(Thumbprint::of(key(2))), Some(key(2)));
        assert_eq!(keys.find(Thumbprint::of(key(3))), None);
    }

    /// RFC 8037 appendix A.1 to A.3.
    #[test]
    fn the_key_of_rfc_8037_has_its_jwk_and_its_thumbprint() {
        let seed = super::super::decode(
            b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            super::super::Part::Header,
        );
        let signer = Signer::from_seed(seed.unwrap().try_into().unwrap());
        let document = jwks(&CapabilityKeys::new([signer.public_key()]).unwrap());
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(
            document,
            serde_json::json!({ "keys": [{
                "kty": "OKP",
                "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                "alg": "Ed25519",
                "use": "sig",
            }]})
        );
    }
}
