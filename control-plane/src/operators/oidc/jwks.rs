//! The keys of an issuer (RFC 7517, 7518, 8037), and the check of a signature by one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

/// Keys that a set may have.
const MAX_KEYS: usize = 64;
/// Characters of a `kid`.
pub(super) const MAX_KID: usize = 256;

/// An algorithm whose signatures can count: none with a shared secret, and not `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 to 8192 bits (RFC 7518 section 3.3).
    Rs256,
    /// ECDSA with P-256 and SHA-256 (RFC 7518 section 3.4).
    Es256,
    /// Ed25519 (RFC 8037 section 3.1; RFC 9864 calls it `Ed25519`).
    EdDsa,
}

/// A key that can have signed a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    public: Public,
}

#[derive(Debug, PartialEq, Eq)]
enum Public {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed (SEC 1 section 2.3.3).
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Algorithm {
    /// The algorithm that a header or a setting names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

impl Key {
    /// True if this key has signed the message.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.public {
            Public::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            Public::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok(),
            Public::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
            }
        }
    }
}

/// The keys of a set that can sign tokens. Others are passed over (RFC 7517 section 5).
///
/// # Errors
/// When it is no set, too large a one, or has no such key.
pub(super) fn read(document: &[u8]) -> Result<Vec<Key>, String> {
    let set: Set =
        serde_json::from_slice(document).map_err(|why| format!("this is no set of keys: {why}"))?;
    if set.keys.len() > MAX_KEYS {
        return Err(format!("there are {} keys, and {MAX_KEYS} are read", set.keys.len()));
    }
    let keys: Vec<Key> = set.keys.into_iter().filter_map(key).collect();
    match keys.is_empty() {
        true => Err("there is no key for RS256, ES256 or EdDSA signatures in it".to_owned()),
        false => Ok(keys),
    }
}

fn key(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let signs = jwk.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
        && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
        && jwk.kid.as_ref().is_none_or(|kid| kid.len() <= MAX_KID);
    let (algorithm, public) = match (&*jwk.kty, jwk.crv.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (number(jwk.n.as_deref()?)?, number(jwk.e.as_deref()?)?);
            let fits = (256..=1024).contains(&n.len()) && (1..=5).contains(&e.len());
            (Algorithm::Rs256, fits.then_some(Public::Rsa { n, e })?)
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (exactly_32(jwk.x.as_deref()?)?, exactly_32(jwk.y.as_deref()?)?);
            (Algorithm::Es256, Public::P256([&[4], &x[..], &y[..]].concat()))
        }
        ("OKP", Some("Ed25519")) => {
            (Algorithm::EdDsa, Public::Ed25519(exactly_32(jwk.x.as_deref()?)?))
        }
        _ => return None,
    };
    // A key for another algorithm of its kind, such as PS256, counts for that alone.
    let same = jwk.alg.is_none_or(|alg| Algorithm::from_name(&alg) == Some(algorithm));
    (signs && same).then_some(Key { kid: jwk.kid, algorithm, public })
}

/// Big-endian, without the zeros that some write in front.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn exactly_32(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_sign_by_an_algorithm_that_counts_are_read() {
        let x = URL_SAFE_NO_PAD.encode([7; 32]);
        let short = URL_SAFE_NO_PAD.encode([7; 31]);
        let ed = |more: &str| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{more}}}"#);
        let weak = URL_SAFE_NO_PAD.encode([0xff; 128]);
        let read = |key: &str| read(format!(r#"{{"keys":[{key}]}}"#).as_bytes());
        assert_eq!(read(&ed(r#","kid":"a","use":"sig","alg":"EdDSA""#)).unwrap().len(), 1);
        assert_eq!(read(&[ed(""), "7".to_owned()].join(",")).unwrap().len(), 1);
        for other in [
            ed(r#","use":"enc""#),
            ed(r#","key_ops":["encrypt"]"#),
            ed(r#","alg":"HS256""#),
            ed(r#","kid":7"#),
            format!(r#"{{"kty":"oct","k":"{x}"}}"#),
            format!(r#"{{"kty":"OKP","crv":"X25519","x":"{x}"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{short}"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-384","x":"{x}","y":"{x}"}}"#),
            format!(r#"{{"kty":"RSA","n":"{weak}","e":"AQAB"}}"#),
        ] {
            assert!(read(&other).unwrap_err().contains("no key for"), "{other}");
        }
        let many = vec![ed(""); MAX_KEYS + 1].join(",");
        assert!(read(&many).unwrap_err().contains("65 keys"));
        assert!(super::read(b"[]").is_err() && super::read(b"{}").is_err());
    }
}
