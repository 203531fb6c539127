use super::*;
use crate::decision::DenyReason;
use crate::ids::{AgentId, CapabilityId, PrincipalId};
use crate::keys::Signer;
use crate::time::UnixSeconds;
use proptest::prelude::*;
use serde_json::{Value, json};

pub(super) const ISSUER: &str = "https://kya.example";
pub(super) const ISSUED: u64 = 1_770_000_000;
pub(super) const EXPIRES: u64 = ISSUED + 3600;

pub(super) fn signer() -> Signer {
    Signer::from_seed([2; 32])
}

pub(super) fn verifier() -> CapabilityVerifier {
    let keys = CapabilityKeys::new([signer().public_key()]).unwrap();
    CapabilityVerifier::new(ISSUER, keys).unwrap()
}

/// The claims of the `n`th token, with nothing in them that they need not have.
pub(super) fn claims(n: u16) -> Claims {
    let mut id = [7; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    Claims {
        issuer: ISSUER.into(),
        agent: AgentId::from_bytes([1; 16]),
        audience: vec!["payments".into()],
        issued: UnixSeconds(ISSUED),
        not_before: UnixSeconds(ISSUED),
        expires: UnixSeconds(EXPIRES),
        id: CapabilityId::from_bytes(id),
        scope: Scope::parse("payments.create payments.read").unwrap(),
        actors: vec![],
        confirmation: None,
    }
}

/// Claims with everything that a token can say.
fn full() -> Claims {
    Claims {
        audience: vec!["payments".into(), "ledger".into()],
        not_before: UnixSeconds(ISSUED + 10),
        actors: vec![
            Actor::Agent(AgentId::from_bytes([2; 16])),
            Actor::Principal(PrincipalId::from_bytes([3; 16])),
        ],
        confirmation: Some(Thumbprint::from_bytes([4; 32])),
        ..claims(0)
    }
}

pub(super) fn minted(claims: &Claims) -> Vec<u8> {
    mint(&signer(), claims).unwrap().reveal().into()
}

fn header() -> Value {
    json!({ "alg": "Ed25519", "typ": "at+jwt", "kid": Thumbprint::of(signer().public_key()).to_string() })
}

fn said() -> Value {
    json!({
        "iss": ISSUER,
        "sub": AgentId::from_bytes([1; 16]),
        "aud": "payments",
        "client_id": AgentId::from_bytes([1; 16]),
        "exp": EXPIRES,
        "iat": ISSUED,
        "jti": CapabilityId::from_bytes([7; 16]),
        "scope": "payments.read",
    })
}

/// A token of any texts, which the trusted key has signed.
fn signed(header: &str, claims: &str) -> Vec<u8> {
    let signed = format!("{}.{}", encode(header), encode(claims));
    format!("{signed}.{}", encode(signer().sign(signed.as_bytes()))).into()
}

fn verify(token: &[u8]) -> Result<VerifiedCapability, CapabilityError> {
    verifier().verify(token)
}

fn of_header(header: &str) -> Result<VerifiedCapability, CapabilityError> {
    verify(&signed(header, &said().to_string()))
}

fn of_claims(claims: &str) -> Result<VerifiedCapability, CapabilityError> {
    verify(&signed(&header().to_string(), claims))
}

/// The usual header with this in it, or without it where it is `null`.
fn header_with(name: &str, value: Value) -> Result<VerifiedCapability, CapabilityError> {
    of_header(&with(header(), name, value))
}

fn claims_with(name: &str, value: Value) -> Result<VerifiedCapability, CapabilityError> {
    of_claims(&with(said(), name, value))
}

fn with(mut object: Value, name: &str, value: Value) -> String {
    let members = object.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.into(), value);
    }
    object.to_string()
}

/// The part of a token, and the whole of it with another in its place.
fn part(token: &[u8], at: usize) -> String {
    std::str::from_utf8(token).unwrap().split('.').nth(at).unwrap().into()
}

fn with_part(token: &[u8], at: usize, new: &str) -> Vec<u8> {
    let mut parts: Vec<_> = std::str::from_utf8(token).unwrap().split('.').collect();
    parts[at] = new;
    parts.join(".").into()
}

#[test]
fn what_was_minted_is_verified_and_says_the_same() {
    for claims in [claims(0), full()] {
        let verified = verify(&minted(&claims)).unwrap();
        assert_eq!(verified.claims(), &claims);
        assert_eq!(verified.identity(), Identity { issuer: ISSUER, id: claims.id });
    }
    assert!(of_claims(&said().to_string()).is_ok(), "the others are to fail for their reason");
}

#[test]
fn a_token_is_one_of_three_parts() {
    let token = minted(&claims(0));
    let text = std::str::from_utf8(&token).unwrap();
    for other in [
        String::new(),
        "a".into(),
        "a.b".into(),
        format!("{text}."),
        format!("{text}.e30"),
        // A JWE has five (RFC 7516 section 3.1).
        format!("{text}.e30.e30"),
    ] {
        assert_eq!(verify(other.as_bytes()), Err(CapabilityError::NotCompact), "{other}");
    }
    assert_eq!(verify(b".."), Err(CapabilityError::NotJson(Part::Header)));
    // The JSON serialization of the same (RFC 7515 section 7.2.2).
    let json = json!({
        "protected": part(&token, 0), "payload": part(&token, 1), "signature": part(&token, 2),
    });
    assert_eq!(verify(json.to_string().as_bytes()), Err(CapabilityError::NotCompact));
}

#[test]
fn each_part_has_one_spelling() {
    let token = minted(&claims(0));
    for (at, name) in [(0, Part::Header), (2, Part::Signature)] {
        let good = part(&token, at);
        for bad in [
            format!("{good}="),
            format!("{good}=="),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{}+{}", &good[..5], &good[6..]),
            format!("{}/{}", &good[..5], &good[6..]),
            format!("{}\u{e9}{}", &good[..5], &good[7..]),
            format!("{}%41{}", &good[..5], &good[6..]),
        ] {
            let refused = verify(&with_part(&token, at, &bad));
            assert_eq!(refused, Err(CapabilityError::NotBase64(name)), "{bad:?}");
        }
    }
    // 64 bytes are 86 characters, of which the last has four bits that say nothing.
    let signature = part(&token, 2);
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (bits, other) in alphabet.chars().enumerate().filter(|(_, other)| *other != last) {
        let expected = match bits % 16 {
            0 => CapabilityError::BadSignature,
            _ => CapabilityError::NotBase64(Part::Signature),
        };
        let other = format!("{}{other}", &signature[..85]);
        assert_eq!(verify(&with_part(&token, 2, &other)), Err(expected), "{other}");
    }
    // And the claims, even if whoever signed them spelt them so.
    let spelt = |claims: &str| {
        let signed = format!("{}.{claims}", encode(header().to_string()));
        format!("{signed}.{}", encode(signer().sign(signed.as_bytes()))).into_bytes()
    };
    let good = encode(said().to_string());
    assert!(verify(&spelt(&good)).is_ok());
    for bad in [format!("{good}="), format!("{good} "), format!("{good}A"), format!("\n{good}")] {
        assert!(verify(&spelt(&bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn sizes_are_bounded() {
    let long = "a".repeat(MAX_TOKEN_BYTES + 1);
    assert_eq!(verify(long.as_bytes()), Err(CapabilityError::TooLong(MAX_TOKEN_BYTES + 1)));
    let header = with(header(), "kid", json!("k".repeat(400)));
    assert!(matches!(of_header(&header), Err(CapabilityError::HeaderTooLong(513..))));
    // 4096 bytes at most, whatever they are made of.
    let filled = |bytes: usize| claims_with("filling", json!("x".repeat(bytes)));
    assert!(filled(2500).is_ok());
    assert!(matches!(filled(3000), Err(CapabilityError::TooLong(4097..))));
}

/// RFC 8725 sections 2.1, 3.1 and 3.2.
#[test]
fn only_ed25519_counts_and_only_as_it_is_written() {
    assert!(header_with("alg", json!("Ed25519")).is_ok());
    assert!(header_with("alg", json!("EdDSA")).is_ok());
    for algorithm in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!(""),
        json!("HS256"),
        json!("RS256"),
        json!("ES256"),
        json!("Ed448"),
        json!("ed25519"),
        json!("ED25519"),
        json!("eddsa"),
        json!("Ed25519 "),
        json!("Ed25519\u{0}"),
        json!(["Ed25519"]),
        json!(0),
        json!({}),
        json!(true),
        Value::Null,
    ] {
        let refused = header_with("alg", algorithm.clone());
        assert_eq!(refused, Err(CapabilityError::WrongAlgorithm), "{algorithm}");
    }
    assert_eq!(
        of_header(&header().to_string().replace("\"Ed25519\"", "null")),
        Err(CapabilityError::WrongAlgorithm)
    );
}

#[test]
fn a_token_without_a_signature_is_refused_whatever_its_algorithm() {
    let token = minted(&claims(0));
    for algorithm in ["none", "HS256", "Ed25519"] {
        let header = encode(with(header(), "alg", json!(algorithm)));
        for signature in ["", "AA", &encode([0; 64]), &encode([0; 63]), &encode([0; 65])] {
            let unsigned = format!("{header}.{}.{signature}", part(&token, 1));
            assert!(verify(unsigned.as_bytes()).is_err(), "{algorithm} {signature}");
        }
    }
    for (bytes, expected) in [
        (0, CapabilityError::SignatureLength),
        (63, CapabilityError::SignatureLength),
        (64, CapabilityError::BadSignature),
        (65, CapabilityError::SignatureLength),
    ] {
        assert_eq!(verify(&with_part(&token, 2, &encode(vec![0; bytes]))), Err(expected));
    }
}

/// The public key, which everybody has, as the secret of an HMAC (RFC 8725 section
/// 2.1): an algorithm that is not there cannot be confused with one that is.
#[test]
fn a_public_key_is_no_shared_secret() {
    let key = signer().public_key().to_bytes();
    let message =
        format!("{}.{}", encode(with(header(), "alg", json!("HS256"))), encode(said().to_string()));
    // HMAC-SHA256 by FIPS 198-1: the key is shorter than a block of 64 bytes.
    let pad = |with: u8| -> Vec<u8> {
        (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect()
    };
    let hash = |bytes: Vec<u8>| crate::manifest::chunk_hash(&bytes).to_vec();
    let inner = hash([pad(0x36), message.clone().into_bytes()].concat());
    let tag = hash([pad(0x5c), inner].concat());
    let token = format!("{message}.{}", encode(tag));
    assert_eq!(verify(token.as_bytes()), Err(CapabilityError::WrongAlgorithm));
}

/// RFC 8725 section 3.11, RFC 9068 section 4.
#[test]
fn only_an_access_token_counts() {
    for kind in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert!(header_with("typ", json!(kind)).is_ok(), "{kind}");
    }
    for kind in [
        json!("JWT"),
        json!("jwt"),
        json!("dpop+jwt"),
        json!("secevent+jwt"),
        json!(""),
        json!("at+jwt "),
        json!("at+jwt; charset=utf-8"),
        json!("text/at+jwt"),
        json!("/at+jwt"),
        json!("application/application/at+jwt"),
        json!("application/"),
        json!("at jwt"),
        json!(["at+jwt"]),
        json!(1),
        Value::Null,
    ] {
        let refused = header_with("typ", kind.clone());
        assert_eq!(refused, Err(CapabilityError::WrongType), "{kind}");
    }
}

/// RFC 8725 section 3.10. The key that such a header brings has signed the token.
#[test]
fn a_key_never_comes_with_the_token() {
    let attacker = Signer::from_seed([66; 32]);
    let x = encode(attacker.public_key().to_bytes());
    let kid = Thumbprint::of(attacker.public_key()).to_string();
    let by_attacker = |header: Value| {
        let signed = format!("{}.{}", encode(header.to_string()), encode(said().to_string()));
        verify(format!("{signed}.{}", encode(attacker.sign(signed.as_bytes()))).as_bytes())
    };
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid });
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("dGh1bWI")),
        ("x5t#S256", json!("dGh1bWI")),
    ] {
        let mut header = header();
        header[name] = value.clone();
        assert_eq!(by_attacker(header.clone()), Err(CapabilityError::KeyInHeader(name)));
        header["kid"] = json!(kid);
        assert_eq!(by_attacker(header), Err(CapabilityError::KeyInHeader(name)));
        assert_eq!(header_with(name, value), Err(CapabilityError::KeyInHeader(name)));
    }
    let mut named = header();
    assert_eq!(by_attacker(named.clone()), Err(CapabilityError::BadSignature));
    named["kid"] = json!(kid);
    assert_eq!(by_attacker(named), Err(CapabilityError::UnknownKey));
}

/// RFC 7515 section 4.1.11 and RFC 7797 section 6.
#[test]
fn no_extension_is_understood() {
    for critical in [json!([]), json!(["exp"]), json!(["b64"]), json!("exp"), json!(false)] {
        let refused = header_with("crit", critical);
        assert_eq!(refused, Err(CapabilityError::Extension("crit")));
    }
    for unencoded in [json!(false), json!(true)] {
        assert_eq!(header_with("b64", unencoded), Err(CapabilityError::Extension("b64")));
    }
    // Claims that are signed as they are (RFC 7797 section 5.2).
    let mut header = header();
    header["b64"] = json!(false);
    header["crit"] = json!(["b64"]);
    let message = format!("{}.{}", encode(header.to_string()), said().to_string().replace('.', ""));
    let token = format!("{message}.{}", encode(signer().sign(message.as_bytes())));
    assert!(matches!(verify(token.as_bytes()), Err(CapabilityError::Extension(_))));
}

#[test]
fn whatever_else_is_in_a_header_is_refused() {
    for name in ["cty", "enc", "zip", "iss", "exp", "nonce", "Alg", "alg ", "", "x5t#s256"] {
        assert_eq!(header_with(name, json!("a")), Err(CapabilityError::UnknownHeader), "{name}");
    }
    for other in ["[]", "\"at+jwt\"", "null", "{", "{}{}", ""] {
        assert_eq!(of_header(other), Err(CapabilityError::NotJson(Part::Header)), "{other}");
    }
}

/// RFC 8725 section 3.10: it selects one of the trusted keys, and nothing else.
#[test]
fn a_kid_is_the_thumbprint_of_a_trusted_key() {
    let good = Thumbprint::of(signer().public_key()).to_string();
    for kid in [
        String::new(),
        good[..42].into(),
        format!("{good}="),
        format!("{good} "),
        good.to_lowercase(),
        "../../../../dev/null".into(),
        "' OR 1=1 --".into(),
        "https://attacker.example/key".into(),
        signer().public_key().id().to_string(),
        Thumbprint::from_bytes([0; 32]).to_string(),
    ] {
        assert_eq!(header_with("kid", json!(kid)), Err(CapabilityError::UnknownKey), "{kid}");
    }
    for kid in [json!(1), json!([good]), json!({}), json!(true), Value::Null] {
        assert_eq!(header_with("kid", kid), Err(CapabilityError::NoKey));
    }
}

#[test]
fn one_trusted_key_does_not_sign_for_another() {
    let (one, other) = (signer(), Signer::from_seed([3; 32]));
    let keys = CapabilityKeys::new([one.public_key(), other.public_key()]).unwrap();
    let verifier = CapabilityVerifier::new(ISSUER, keys).unwrap();
    for signer in [&one, &other] {
        let token = mint(signer, &claims(0)).unwrap();
        assert!(verifier.verify(token.reveal().as_bytes()).is_ok());
    }
    let message = format!("{}.{}", encode(header().to_string()), encode(said().to_string()));
    let token = format!("{message}.{}", encode(other.sign(message.as_bytes())));
    assert_eq!(verifier.verify(token.as_bytes()), Err(CapabilityError::BadSignature));
}

/// RFC 8032 section 5.1.7: the second half of a signature is below the order of the
/// group. With the order added it would fit the same equation.
#[test]
fn a_signature_has_no_second_form() {
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let token = minted(&claims(0));
    let mut signature = decode(part(&token, 2).as_bytes(), Part::Signature).unwrap();
    let mut carry = 0;
    for (byte, more) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + more + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    let other = with_part(&token, 2, &encode(signature));
    assert_eq!(verify(&other), Err(CapabilityError::BadSignature));
}

#[test]
fn nothing_is_named_twice() {
    let (header, said) = (header().to_string(), said().to_string());
    for second in [r#","alg":"none"}"#, r#","alg":"Ed25519"}"#, r#","\u0061lg":"none"}"#] {
        let twice = header.replace('}', second);
        assert_eq!(of_header(&twice), Err(CapabilityError::Duplicate(Part::Header)), "{twice}");
    }
    let agent = AgentId::from_bytes([9; 16]);
    for second in [
        format!(r#","sub":"{agent}"}}"#),
        format!(r#","s\u0075b":"{agent}"}}"#),
        r#","exp":9007199254740991}"#.into(),
        r#","unknown":1,"unknown":2}"#.into(),
        r#","unknown":{"a":1,"a":2}}"#.into(),
        format!(r#","act":{{"sub":"{agent}","sub":"{agent}"}}}}"#),
    ] {
        let twice = said.replace('}', &second);
        assert_eq!(of_claims(&twice), Err(CapabilityError::Duplicate(Part::Claims)), "{twice}");
    }
}

#[test]
fn every_claim_that_is_needed_is_asked_for() {
    for name in ["iss", "sub", "aud", "client_id", "exp", "iat", "jti", "scope"] {
        assert_eq!(claims_with(name, Value::Null), Err(CapabilityError::MissingClaim(name)));
        for bad in [json!(true), json!(-1), json!({}), json!(0.5), json!("")] {
            assert_eq!(
                claims_with(name, bad.clone()),
                Err(CapabilityError::BadClaim(name)),
                "{bad}"
            );
        }
        let null = with(said(), name, json!("NULL")).replace("\"NULL\"", "null");
        assert_eq!(of_claims(&null), Err(CapabilityError::BadClaim(name)));
    }
}

#[test]
fn what_is_not_known_is_ignored_and_takes_no_part() {
    for name in ["txn", "Exp", "exp ", "authorization_details", "may_act", "roles"] {
        let read = claims_with(name, json!({ "exp": 1, "list": [1, -1, 0.5, null] })).unwrap();
        assert_eq!(read.claims().expires, UnixSeconds(EXPIRES));
    }
}

/// RFC 8725 section 3.8.
#[test]
fn another_issuer_is_refused_though_the_key_fits() {
    for issuer in ["https://kya.example/", "https://KYA.example", "https://kya.exampl", "kya", " "]
    {
        assert_eq!(
            claims_with("iss", json!(issuer)),
            Err(CapabilityError::WrongIssuer),
            "{issuer}"
        );
    }
    let long = "i".repeat(MAX_NAME_BYTES + 1);
    assert_eq!(claims_with("iss", json!(long)), Err(CapabilityError::BadClaim("iss")));
}

#[test]
fn subject_and_client_are_one_agent() {
    let (agent, other) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
    assert_eq!(claims_with("sub", json!(other)), Err(CapabilityError::TwoAgents));
    assert_eq!(claims_with("client_id", json!(other)), Err(CapabilityError::TwoAgents));
    for bad in [
        PrincipalId::from_bytes([1; 16]).to_string(),
        agent.to_string().to_lowercase(),
        format!("{agent} "),
        "admin".into(),
    ] {
        for name in ["sub", "client_id"] {
            let refused = claims_with(name, json!(bad));
            assert_eq!(refused, Err(CapabilityError::BadClaim(name)), "{bad}");
        }
    }
    for bad in [agent.to_string(), "1".into(), "cap_".into(), "x".repeat(1000)] {
        assert_eq!(claims_with("jti", json!(bad)), Err(CapabilityError::BadClaim("jti")));
    }
}

#[test]
fn a_scope_that_is_not_well_formed_is_refused() {
    for scope in ["", " ", "a  b", " a", "a ", "a\tb", "a\"b", "\u{e9}"] {
        assert_eq!(claims_with("scope", json!(scope)), Err(CapabilityError::BadClaim("scope")));
    }
    assert_eq!(claims_with("scope", json!(["a"])), Err(CapabilityError::BadClaim("scope")));
}

#[test]
fn an_audience_is_one_name_or_some() {
    let many = |count: usize| json!((0..count).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(claims_with("aud", many(16)).unwrap().claims().audience.len(), MAX_AUDIENCE);
    for bad in [
        many(0),
        many(17),
        json!([1]),
        json!(["a", null]),
        json!([["a"]]),
        json!({ "a": 1 }),
        json!([""]),
        json!("s".repeat(MAX_NAME_BYTES + 1)),
    ] {
        assert_eq!(claims_with("aud", bad.clone()), Err(CapabilityError::BadClaim("aud")), "{bad}");
    }
}

/// RFC 8693 section 4.1.
#[test]
fn actors_are_a_chain_of_bounded_depth_with_nothing_else_in_it() {
    let actor = Actor::Agent(AgentId::from_bytes([2; 16]));
    let chain = |depth: usize| {
        (0..depth).fold(Value::Null, |act, _| {
            if act.is_null() {
                json!({ "sub": actor })
            } else {
                json!({ "sub": actor, "act": act })
            }
        })
    };
    for depth in 1..=MAX_ACTORS {
        let read = claims_with("act", chain(depth)).unwrap();
        assert_eq!(read.claims().actors, vec![actor; depth]);
    }
    let refused = claims_with("act", chain(MAX_ACTORS + 1));
    assert_eq!(refused, Err(CapabilityError::BadClaim("act")));
    assert!(claims_with("act", chain(100)).is_err(), "deeper than any JSON that is read");
    for bad in [
        json!({}),
        json!([]),
        json!(actor),
        json!(1),
        json!({ "sub": 1 }),
        json!({ "sub": "admin" }),
        json!({ "sub": CapabilityId::from_bytes([1; 16]) }),
        json!({ "sub": actor, "iss": "https://other.example" }),
        json!({ "sub": actor, "act": null }),
        json!({ "sub": actor, "act": "x" }),
        json!({ "act": { "sub": actor } }),
    ] {
        assert_eq!(claims_with("act", bad.clone()), Err(CapabilityError::BadClaim("act")), "{bad}");
    }
}

/// RFC 7800 section 3.1: this profile needs every member understood.
#[test]
fn a_confirmation_that_cannot_be_checked_is_never_ignored() {
    let jkt = Thumbprint::from_bytes([4; 32]).to_string();
    let read = claims_with("cnf", json!({ "jkt": jkt })).unwrap();
    assert_eq!(read.claims().confirmation, Some(Thumbprint::from_bytes([4; 32])));
    for unknown in [
        json!({}),
        json!({ "jwk": {} }),
        json!({ "kid": "a" }),
        json!({ "x5t#S256": jkt }),
        json!({ "jkt": jkt, "x5t#S256": jkt }),
        json!({ "JKT": jkt }),
        json!({ "jkt": jkt, "a": null }),
    ] {
        let refused = claims_with("cnf", unknown.clone());
        assert_eq!(refused, Err(CapabilityError::UnknownConfirmation), "{unknown}");
    }
    for bad in [
        json!([]),
        json!(jkt),
        json!(false),
        json!({ "jkt": 1 }),
        json!({ "jkt": "" }),
        json!({ "jkt": &jkt[..42] }),
        json!({ "jkt": format!("{jkt}=") }),
    ] {
        assert_eq!(claims_with("cnf", bad.clone()), Err(CapabilityError::BadClaim("cnf")), "{bad}");
    }
    let null = with(said(), "cnf", json!("NULL")).replace("\"NULL\"", "null");
    assert_eq!(of_claims(&null), Err(CapabilityError::BadClaim("cnf")));
}

#[test]
fn times_are_whole_seconds_that_every_reader_holds() {
    for name in ["exp", "iat", "nbf"] {
        for bad in [
            "-1",
            "-0",
            "0.5",
            "1770000100.0",
            "177e7",
            "1e400",
            "\"1770000100\"",
            "null",
            "[]",
            "true",
            "9007199254740992",
            "18446744073709551615",
            "18446744073709551616",
        ] {
            let text = with(said(), name, json!("VALUE")).replace("\"VALUE\"", bad);
            let refused = of_claims(&text).unwrap_err();
            // JSON of a number that no float can hold is none.
            assert!(
                refused == CapabilityError::BadClaim(name)
                    || (bad == "1e400" && refused == CapabilityError::NotJson(Part::Claims)),
                "{name} {bad}: {refused:?}"
            );
        }
    }
    let text = with(said(), "exp", json!("VALUE")).replace("\"VALUE\"", "01770000100");
    assert_eq!(of_claims(&text), Err(CapabilityError::NotJson(Part::Claims)));
}

#[test]
fn a_lifetime_is_bounded_and_in_order() {
    for (issued, expires, good) in [
        (ISSUED, ISSUED + 1, true),
        (ISSUED, ISSUED + DEFAULT_LIFETIME, true),
        (ISSUED, ISSUED + DEFAULT_LIFETIME + 1, false),
        (ISSUED, ISSUED + MAX_LIFETIME + 1, false),
        (ISSUED, ISSUED, false),
        (ISSUED, ISSUED - 1, false),
        (0, (1 << 53) - 1, false),
        ((1 << 53) - 1, 0, false),
    ] {
        let mut said = said();
        (said["iat"], said["exp"]) = (json!(issued), json!(expires));
        let read = of_claims(&said.to_string()).map(|_| ());
        assert_eq!(read, if good { Ok(()) } else { Err(CapabilityError::WrongLifetime) });
    }
    for (begins, good) in [(0, true), (EXPIRES - 1, true), (EXPIRES, false), (EXPIRES + 1, false)] {
        assert_eq!(claims_with("nbf", json!(begins)).is_ok(), good, "{begins}");
    }
    let long = Claims { expires: UnixSeconds(ISSUED + MAX_LIFETIME), ..claims(0) };
    assert_eq!(verify(&minted(&long)), Err(CapabilityError::WrongLifetime));
    let patient = verifier().with_max_lifetime(MAX_LIFETIME).unwrap();
    assert!(patient.verify(&minted(&long)).is_ok());
}

#[test]
fn a_verifier_that_cannot_be_is_refused() {
    let keys = || CapabilityKeys::new([signer().public_key()]).unwrap();
    for bytes in [0, MAX_NAME_BYTES + 1] {
        let refused = CapabilityVerifier::new("i".repeat(bytes), keys());
        assert_eq!(refused, Err(SetupError::Issuer(bytes)));
    }
    for seconds in [0, MAX_LIFETIME + 1, u64::MAX] {
        let refused = verifier().with_max_lifetime(seconds);
        assert_eq!(refused, Err(SetupError::Lifetime(seconds)));
    }
}

fn checked(
    claims: &Claims,
    now: u64,
    service: &str,
    proof: Option<u8>,
) -> Result<(), CapabilityError> {
    let proof = proof.map(|n| Thumbprint::from_bytes([n; 32]));
    let verified = verify(&minted(claims)).unwrap();
    check(&verified, &Presentation { now: UnixSeconds(now), service, proof })
}

#[test]
fn a_token_counts_until_the_second_at_which_it_expires_and_no_longer() {
    assert_eq!(checked(&claims(0), EXPIRES - 1, "payments", None), Ok(()));
    for now in [EXPIRES, EXPIRES + 1, EXPIRES + LEEWAY_SECONDS, u64::MAX] {
        assert_eq!(checked(&claims(0), now, "payments", None), Err(CapabilityError::Expired));
    }
}

#[test]
fn a_token_counts_a_few_seconds_before_it_begins_and_no_sooner() {
    let later = Claims { not_before: UnixSeconds(ISSUED + 100), ..claims(0) };
    for (claims, begins) in [(claims(0), ISSUED), (later, ISSUED + 100)] {
        for (now, expected) in [
            (begins, Ok(())),
            (begins - LEEWAY_SECONDS, Ok(())),
            (begins - LEEWAY_SECONDS - 1, Err(CapabilityError::NotYet)),
            (0, Err(CapabilityError::NotYet)),
        ] {
            assert_eq!(checked(&claims, now, "payments", None), expected, "{now}");
        }
    }
    // Whoever may use it before it is issued does not say so with an `nbf`.
    let early = Claims { not_before: UnixSeconds(0), ..claims(0) };
    assert_eq!(checked(&early, ISSUED - 100, "payments", None), Err(CapabilityError::NotYet));
}

/// RFC 8725 section 3.9.
#[test]
fn a_token_is_for_the_services_that_it_names() {
    assert_eq!(checked(&claims(0), ISSUED, "payments", None), Ok(()));
    for service in ["", "payment", "payments ", "Payments", "ledger", "*"] {
        let refused = checked(&claims(0), ISSUED, service, None);
        assert_eq!(refused, Err(CapabilityError::WrongAudience), "{service}");
    }
}

/// RFC 9449 section 7.
#[test]
fn a_bound_token_counts_with_its_key_alone() {
    let bound = Claims { not_before: UnixSeconds(ISSUED), ..full() };
    assert_eq!(checked(&bound, ISSUED, "ledger", Some(4)), Ok(()));
    assert_eq!(checked(&bound, ISSUED, "ledger", None), Err(CapabilityError::NoProof));
    assert_eq!(checked(&bound, ISSUED, "ledger", Some(5)), Err(CapabilityError::WrongProof));
    assert_eq!(checked(&claims(0), ISSUED, "payments", Some(4)), Err(CapabilityError::WrongProof));
}

#[test]
fn nothing_is_minted_that_no_verifier_would_take() {
    let refused = |claims: Claims| mint(&signer(), &claims).unwrap_err();
    let bad = CapabilityError::BadClaim;
    assert_eq!(refused(Claims { issuer: String::new(), ..claims(0) }), bad("iss"));
    assert_eq!(refused(Claims { audience: vec![], ..claims(0) }), bad("aud"));
    assert_eq!(refused(Claims { audience: vec!["a".into(); 17], ..claims(0) }), bad("aud"));
    assert_eq!(refused(Claims { audience: vec![String::new()], ..claims(0) }), bad("aud"));
    let actor = Actor::Agent(AgentId::from_bytes([2; 16]));
    assert_eq!(refused(Claims { actors: vec![actor; 9], ..claims(0) }), bad("act"));
    assert_eq!(refused(Claims { expires: UnixSeconds(1 << 53), ..claims(0) }), bad("exp"));
    let backwards = Claims { expires: UnixSeconds(ISSUED), ..claims(0) };
    assert_eq!(refused(backwards), CapabilityError::WrongLifetime);
    let long: Vec<String> = (0..20).map(|n| format!("{n:0>200}")).collect();
    let scope = Scope::of(long.iter().map(String::as_str)).unwrap();
    assert!(matches!(refused(Claims { scope, ..claims(0) }), CapabilityError::TooLong(4097..)));
}

/// RFC 8037 appendix A.4: the signature fits, and yet it is no token.
#[test]
fn the_signature_of_rfc_8037_fits_and_is_no_token() {
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let seed = decode(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", Part::Header).unwrap();
    let signer = Signer::from_seed(seed.try_into().unwrap());
    assert_eq!(encode(signer.sign(message)), signature);
    assert!(
        signer
            .public_key()
            .verifies(message, &decode(signature.as_bytes(), Part::Signature).unwrap())
    );
    let keys = CapabilityKeys::new([signer.public_key()]).unwrap();
    let token = [message.as_slice(), b".", signature.as_bytes()].concat();
    let verifier = CapabilityVerifier::new(ISSUER, keys).unwrap();
    assert_eq!(verifier.verify(&token), Err(CapabilityError::WrongType));
}

#[test]
fn a_token_is_not_shown_by_debug() {
    let token = mint(&signer(), &claims(0)).unwrap();
    let signature = part(token.reveal().as_bytes(), 2);
    assert_eq!(format!("{token:?}"), "CapabilityToken(…)");
    let parsed = format!("{:?}", parse(token.reveal().as_bytes()).unwrap());
    assert!(!parsed.contains(&signature) && parsed.contains("aVBtapLd"), "{parsed}");
}

/// `token_unknown` can be configured to let requests pass.
#[test]
fn what_is_forged_or_for_another_place_or_time_is_never_merely_unknown() {
    for error in [
        CapabilityError::NotCompact,
        CapabilityError::WrongAlgorithm,
        CapabilityError::BadSignature,
        CapabilityError::WrongIssuer,
        CapabilityError::UnknownConfirmation,
        CapabilityError::NoProof,
        CapabilityError::WrongProof,
    ] {
        assert_eq!(error.deny_reason(), DenyReason::TokenMalformed, "{}", error.cause());
    }
    assert_eq!(CapabilityError::UnknownKey.deny_reason(), DenyReason::TokenUnknown);
    assert_eq!(CapabilityError::Expired.deny_reason(), DenyReason::TokenExpired);
    assert_eq!(CapabilityError::NotYet.deny_reason(), DenyReason::TokenNotYet);
    assert_eq!(CapabilityError::WrongAudience.deny_reason(), DenyReason::WrongAudience);
}

prop_compose! {
    fn any_claims()(
        issuer in Just(ISSUER.to_owned()),
        agent: [u8; 16],
        audience in prop::collection::vec(".{1,20}", 1..=MAX_AUDIENCE),
        issued in 0..(1u64 << 53) - 1 - DEFAULT_LIFETIME,
        lifetime in 1..=DEFAULT_LIFETIME,
        before in any::<prop::sample::Index>(),
        id: [u8; 16],
        scope in prop::collection::vec("[!#-\\[\\]-~]{1,20}", 1..10),
        actors in prop::collection::vec(any::<(bool, [u8; 16])>(), 0..=MAX_ACTORS),
        confirmation: Option<[u8; 32]>,
    ) -> Claims {
        let expires = issued + lifetime;
        Claims {
            issuer,
            agent: AgentId::from_bytes(agent),
            audience,
            issued: UnixSeconds(issued),
            not_before: UnixSeconds(before.index(usize::try_from(expires).unwrap()) as u64),
            expires: UnixSeconds(expires),
            id: CapabilityId::from_bytes(id),
            scope: Scope::of(scope.iter().map(String::as_str)).unwrap(),
            actors: actors.into_iter().map(|(agent, id)| match agent {
                true => Actor::Agent(AgentId::from_bytes(id)),
                false => Actor::Principal(PrincipalId::from_bytes(id)),
            }).collect(),
            confirmation: confirmation.map(Thumbprint::from_bytes),
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_minted_is_verified_and_says_the_same(claims in any_claims()) {
        match mint(&signer(), &claims) {
            Ok(token) => {
                let verified = verify(token.reveal().as_bytes()).unwrap();
                prop_assert_eq!(verified.claims(), &claims);
            }
            Err(error) => prop_assert!(matches!(error, CapabilityError::TooLong(_)), "{}", error),
        }
    }

    #[test]
    fn no_changed_byte_is_verified(at: prop::sample::Index, new: u8) {
        let mut token = minted(&full());
        let at = at.index(token.len());
        prop_assume!(token[at] != new);
        token[at] = new;
        prop_assert!(verify(&token).is_err());
    }

    #[test]
    fn no_part_of_a_token_is_verified(from: prop::sample::Index, to: prop::sample::Index) {
        let token = minted(&full());
        let (from, to) = (from.index(token.len()), to.index(token.len()));
        prop_assert!(verify(&token[from.min(to)..from.max(to)]).is_err());
    }

    #[test]
    fn no_bytes_are_verified_or_make_anything_panic(bytes: Vec<u8>) {
        prop_assert!(verify(&bytes).is_err());
    }

    #[test]
    fn no_parts_that_nobody_signed_are_verified(header: String, claims: String, signature: [u8; 64]) {
        let token = format!("{}.{}.{}", encode(header), encode(claims), encode(signature));
        prop_assert!(verify(token.as_bytes()).is_err());
    }

    #[test]
    fn no_signed_claims_make_the_reader_panic(claims: String) {
        prop_assert!(of_claims(&claims).is_err());
    }
}
