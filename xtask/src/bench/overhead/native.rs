//! A capability token as Envoy's `jwt_authn` takes it.
//!
//! kya writes the algorithm as `Ed25519` (RFC 9864). Envoy knows the same algorithm by its
//! older name only, `EdDSA`. So the claims of a token are signed anew, under that name and
//! by a key of the benchmark.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};

const KEY: [u8; 32] = [7; 32];
/// As long as the thumbprints by which kya names keys.
const KEY_ID: &str = "overhead-overhead-overhead-overhead-overhea";

/// A token with the claims of this one.
pub(super) fn signed_anew(token: &str) -> Result<String> {
    let claims = token.split('.').nth(1).context("not a JWT")?;
    let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{KEY_ID}"}}"#);
    let signed = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header));
    let signature = SigningKey::from_bytes(&KEY).sign(signed.as_bytes());
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
}

/// The key, as a JWK Set (RFC 8037).
pub(super) fn jwks() -> String {
    let key = SigningKey::from_bytes(&KEY).verifying_key();
    let x = URL_SAFE_NO_PAD.encode(key.to_bytes());
    format!(
        r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"{KEY_ID}","x":"{x}"}}]}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_claims_of_the_token_and_a_signature_of_the_key() {
        let token = signed_anew("aGVhZGVy.eyJpc3MiOiJ4In0.c2ln").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert!(signed.ends_with(".eyJpc3MiOiJ4In0"), "{signed}");
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
        let set: serde_json::Value = serde_json::from_str(&jwks()).unwrap();
        let x = URL_SAFE_NO_PAD.decode(set["keys"][0]["x"].as_str().unwrap()).unwrap();
        let key = ed25519_dalek::VerifyingKey::from_bytes(&x.try_into().unwrap()).unwrap();
        key.verify_strict(signed.as_bytes(), &signature).unwrap();
        assert!(signed_anew("nothing").is_err());
    }
}
