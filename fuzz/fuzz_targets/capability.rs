//! Capability tokens: arbitrary bytes in place of one, and arbitrary headers and
//! claims that the trusted key has signed. What is believed says what any reader of
//! JSON finds in it, is signed, and would not be if one byte of it were another; a
//! cache answers as a verifier does, and nothing counts when its time is over.
#![no_main]

use kya_core::jwt::{
    CapabilityError, CapabilityKeys, CapabilityVerifier, DEFAULT_LIFETIME, MAX_ACTORS,
    MAX_AUDIENCE, MAX_TOKEN_BYTES, Presentation, Thumbprint, VerifiedCache, VerifiedCapability,
    check, mint, parse,
};
use kya_core::{Signer, UnixSeconds};
use kya_fuzz::signing::{base64url, jws};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const ISSUER: &str = "https://kya.example";
const CLAIMS: &str = r#"{"iss":"https://kya.example","sub":"agt_01081G81860W40J2GB1G6GW3RG","aud":"payments","client_id":"agt_01081G81860W40J2GB1G6GW3RG","exp":1770003600,"iat":1770000000,"jti":"cap_0H289H858P2WC1J6GV3GEHW7S0","scope":"payments.read"}"#;

/// What is believed, by another reader of JSON.
fn agrees(capability: &VerifiedCapability, header: Option<&[u8]>, claims: Option<&[u8]>) {
    if let Some(header) = header {
        let header: Value = serde_json::from_slice(header).unwrap();
        assert_eq!(header.as_object().map(|header| header.len()), Some(3));
        assert!(header["alg"] == "Ed25519" || header["alg"] == "EdDSA");
        assert!(header["typ"].as_str().unwrap().to_lowercase().ends_with("at+jwt"));
        assert!(header["kid"].is_string());
    }
    let Some(text) = claims else { return };
    let read: Value = serde_json::from_slice(text).unwrap();
    let claims = capability.claims();
    assert_eq!(read["iss"], ISSUER);
    assert_eq!(read["sub"], claims.agent.to_string());
    assert_eq!(read["client_id"], claims.agent.to_string());
    assert_eq!(read["jti"], claims.id.to_string());
    assert_eq!(read["scope"], claims.scope.as_str());
    assert_eq!(read["exp"].as_u64(), Some(claims.expires.0));
    assert_eq!(read["iat"].as_u64(), Some(claims.issued.0));
    assert_eq!(read["act"].is_null(), claims.actors.is_empty());
    assert_eq!(read["cnf"]["jkt"].is_null(), claims.confirmation.is_none());
    assert_eq!(read["cnf"].is_null(), claims.confirmation.is_none());
    let one = [read["aud"].clone()];
    let services = read["aud"].as_array().map_or(one.as_slice(), Vec::as_slice);
    assert!(services.iter().eq(claims.audience.iter()));
}

fn is_bounded(capability: &VerifiedCapability) {
    let claims = capability.claims();
    assert!((1..=DEFAULT_LIFETIME).contains(&claims.lifetime().unwrap()));
    assert!(claims.not_before < claims.expires);
    assert!((1..=MAX_AUDIENCE).contains(&claims.audience.len()));
    assert!(claims.actors.len() <= MAX_ACTORS);
    let allows = |name: &str| name.parse().map_or(true, |it| claims.scope.allows(Some(&it)));
    assert!(claims.scope.actions().all(allows));
    let at = |now: u64, service: &str| {
        let proof = claims.confirmation;
        check(capability, &Presentation { now: UnixSeconds(now), service, proof })
    };
    let service = claims.audience[0].as_str();
    for later in [0, 1, 5, u64::MAX] {
        let over = at(claims.expires.0.saturating_add(later), service);
        assert_eq!(over, Err(CapabilityError::Expired));
    }
    let begins = claims.issued.max(claims.not_before).0;
    assert_eq!(at(begins, service), Ok(()));
    let other = format!("{}x", claims.audience.concat());
    assert_eq!(at(begins, &other), Err(CapabilityError::WrongAudience));
}

fuzz_target!(|bytes: &[u8]| {
    let signer = Signer::from_seed([2; 32]);
    let keys = CapabilityKeys::new([signer.public_key()]).unwrap();
    let verifier = CapabilityVerifier::new(ISSUER, keys).unwrap();
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let kid = Thumbprint::of(signer.public_key());
    let usual = format!(r#"{{"alg":"Ed25519","typ":"at+jwt","kid":"{kid}"}}"#).into_bytes();
    let (header, claims) = match kind % 3 {
        0 => (None, None),
        1 => (Some(usual.as_slice()), Some(bytes)),
        _ => (Some(bytes), Some(CLAIMS.as_bytes())),
    };
    let token = match (header, claims) {
        (Some(header), Some(claims)) => {
            let stranger = Signer::from_seed([3; 32]);
            assert!(verifier.verify(&jws(&stranger, header, claims)).is_err());
            jws(&signer, header, claims)
        }
        _ => bytes.to_vec(),
    };

    let read = verifier.verify(&token);
    let mut cache = VerifiedCache::new(verifier.clone());
    for _ in 0..2 {
        assert_eq!(cache.verified(&token).map(|it| (*it).clone()), read);
    }
    assert_eq!(cache.len(), usize::from(read.is_ok()));
    let Ok(capability) = read else { return };

    assert!(token.len() <= MAX_TOKEN_BYTES);
    assert_eq!(parse(&token).map(|parsed| parsed.kid()), Ok(kid));
    let dot = token.iter().rposition(|byte| *byte == b'.').unwrap();
    let (signed, signature) = (&token[..dot], &token[dot + 1..]);
    let made = kya_fuzz::signing::signature(&signer, signed);
    assert_eq!(signature, base64url(&made).as_bytes(), "nobody has signed it");
    agrees(&capability, header, claims);
    is_bounded(&capability);
    match mint(&signer, capability.claims()) {
        Ok(again) => {
            assert_eq!(verifier.verify(again.reveal().as_bytes()).as_ref(), Ok(&capability));
        }
        Err(error) => assert!(matches!(error, CapabilityError::TooLong(_)), "{error}"),
    }
    let mut altered = token.clone();
    let at = usize::from(*kind) * token.len() / 256;
    altered[at] ^= 1 << (kind % 7);
    assert!(cache.verified(&altered).is_err(), "an altered token is believed");
});
