//! Tokens as an attacker would send them, and as an unusual but honest issuer would.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD as BASE64URL};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{ISSUER, LIFETIME, SERVICE, claims, header_of, issuer_key, minted, minted_by};
use crate::jwt::{Claims, Scope, Thumbprint};
use crate::{Signer, UnixSeconds};

/// A token, and what becomes of a request for [`ACTION`](super::ACTION) by it.
#[derive(Debug, Clone)]
pub struct Presented {
    /// What is the matter with it.
    pub what: &'static str,
    /// As it is sent.
    pub token: Vec<u8>,
    /// The reason for which it is denied; none if it is allowed.
    pub reason: Option<&'static str>,
}

/// Tokens of agent 1 that count at second `now`, where the issuer has its first key.
pub fn accepted(now: u64) -> Vec<Presented> {
    let key = issuer_key(0);
    let usual = claims(1, now);
    let with = |claims: Claims| minted(&claims).into_bytes();
    let headed = |name: &str, value: Value| {
        jws(&key, &changed(header_of(&key), name, value), &said(&usual).to_string())
    };
    let saying = |name: &str, value: Value| {
        jws(&key, &header_of(&key).to_string(), &changed(said(&usual), name, value))
    };
    [
        ("as it is minted", with(usual.clone())),
        ("the older name of the algorithm", headed("alg", json!("EdDSA"))),
        ("the whole media type", headed("typ", json!("application/at+jwt"))),
        ("a media type in other letters", headed("typ", json!("AT+JWT"))),
        ("a claim that nobody knows", saying("txn", json!({"id": [1, 2]}))),
        ("no nbf", saying("nbf", Value::Null)),
        ("one of several services", saying("aud", json!(["ledger", SERVICE]))),
        ("every action", with(Claims { scope: Scope::of(["*"]).unwrap(), ..usual.clone() })),
        ("a clock 5 s ahead", with(claims(1, now + 5))),
        ("its last second", with(claims(1, now + 1 - LIFETIME))),
    ]
    .map(|(what, token)| Presented { what, token, reason: None })
    .into()
}

/// Tokens that do not count at second `now`, where the issuer has its first key.
pub fn refused(now: u64) -> Vec<Presented> {
    let malformed = |(what, token)| Presented { what, token, reason: Some("token_malformed") };
    let forged = headers(now).into_iter().chain(claims_of_another_form(now));
    let forged = forged.chain(spellings(now)).map(malformed);
    forged.chain(elsewhere(now)).collect()
}

/// A JWS in compact form of any texts (RFC 7515 section 7.1).
fn jws(key: &Signer, header: &str, claims: &str) -> Vec<u8> {
    signed(key, &format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims)))
}

/// What stands before the last dot, with the signature behind it.
fn signed(key: &Signer, message: &str) -> Vec<u8> {
    format!("{message}.{}", BASE64URL.encode(key.sign(message.as_bytes()))).into_bytes()
}

/// The claims as they stand in a token.
fn said(claims: &Claims) -> Value {
    let token = minted(claims);
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL.decode(claims).unwrap()).unwrap()
}

/// The object with this member, or without it where the value is null.
fn changed(mut object: Value, name: &str, value: Value) -> String {
    match value {
        Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
        value => object[name] = value,
    }
    object.to_string()
}

/// HMAC-SHA256 (FIPS 198-1) under a key that is shorter than a block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| -> Vec<u8> {
        (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect()
    };
    let inner = Sha256::digest([&pad(0x36), message].concat()).to_vec();
    Sha256::digest([pad(0x5c), inner].concat()).to_vec()
}

/// Headers that ask for another way of reading the rest (RFC 8725 section 2).
fn headers(now: u64) -> Vec<(&'static str, Vec<u8>)> {
    let (key, stranger) = (issuer_key(0), issuer_key(9));
    let usual = said(&claims(1, now)).to_string();
    let header = || header_of(&key);
    let headed = |name: &str, value: Value| jws(&key, &changed(header(), name, value), &usual);
    let unsigned = |alg: &str| {
        let header = changed(header(), "alg", json!(alg));
        format!("{}.{}.", BASE64URL.encode(header), BASE64URL.encode(&usual)).into_bytes()
    };
    let public = key.public_key().to_bytes();
    let hs256 = || {
        let header = changed(header(), "alg", json!("HS256"));
        let message = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(&usual));
        let tag = BASE64URL.encode(hmac(&public, message.as_bytes()));
        format!("{message}.{tag}").into_bytes()
    };
    // The key that the header brings is the one that has signed it.
    let x = BASE64URL.encode(stranger.public_key().to_bytes());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    let brings = |name: &str, value: Value| {
        let header = changed(header_of(&stranger), name, value);
        jws(&stranger, &header, &usual)
    };
    let twice = header().to_string().replacen('{', r#"{"alg":"none","#, 1);
    vec![
        ("alg none without a signature", unsigned("none")),
        ("alg None without a signature", unsigned("None")),
        ("alg nOnE without a signature", unsigned("nOnE")),
        ("an empty alg and no signature", unsigned("")),
        ("alg none, signed all the same", headed("alg", json!("none"))),
        ("HS256 keyed with the public key", hs256()),
        ("RS256", headed("alg", json!("RS256"))),
        ("ES256", headed("alg", json!("ES256"))),
        ("Ed448", headed("alg", json!("Ed448"))),
        ("alg in other letters", headed("alg", json!("ed25519"))),
        ("alg missing", headed("alg", Value::Null)),
        ("alg a list", headed("alg", json!(["Ed25519"]))),
        ("alg twice", jws(&key, &twice, &usual)),
        ("kid missing", headed("kid", Value::Null)),
        ("kid a number", headed("kid", json!(0))),
        ("kid of a trusted key, signed by another", jws(&stranger, &header().to_string(), &usual)),
        ("jwk", brings("jwk", jwk)),
        ("jku", brings("jku", json!("https://attacker.example/jwks.json"))),
        ("x5u", brings("x5u", json!("https://attacker.example/cert.pem"))),
        ("x5c", brings("x5c", json!(["MIIB"]))),
        ("x5t", headed("x5t", json!("AAAA"))),
        ("crit", headed("crit", json!(["exp"]))),
        ("b64", headed("b64", json!(false))),
        ("zip", headed("zip", json!("DEF"))),
        ("a parameter that nobody knows", headed("x", json!(1))),
        ("typ missing", headed("typ", Value::Null)),
        ("typ of an ID token", headed("typ", json!("JWT"))),
        ("typ of a DPoP proof", headed("typ", json!("dpop+jwt"))),
        ("typ with a null byte", headed("typ", json!("at+jwt\0"))),
        ("a header that is long", headed("kid", json!("k".repeat(600)))),
        ("a header that is a list", jws(&key, "[]", &usual)),
    ]
}

/// Claims that the trusted key has signed and that are of another form.
fn claims_of_another_form(now: u64) -> Vec<(&'static str, Vec<u8>)> {
    let key = issuer_key(0);
    let header = header_of(&key).to_string();
    let usual = claims(1, now);
    let text = |claims: &str| jws(&key, &header, claims);
    let saying = |name: &str, value: Value| text(&changed(said(&usual), name, value));
    let with_also = |more: &str| text(&said(&usual).to_string().replacen('{', more, 1));
    let deep = format!(r#"{{"x":{}{},"#, "[".repeat(60), "]".repeat(60));
    let bound = Claims { confirmation: Some(Thumbprint::from_bytes([4; 32])), ..usual.clone() };
    vec![
        ("aud twice", with_also(r#"{"aud":"elsewhere","#)),
        ("sub twice, once in escapes", with_also(r#"{"\u0073ub":"agt_0","#)),
        ("exp twice", with_also(r#"{"exp":99999999999,"#)),
        ("nested deeply", with_also(&deep)),
        ("claims that are no object", text("[]")),
        ("claims with something behind", text(&format!("{}{{}}", said(&usual)))),
        ("another issuer", saying("iss", json!(format!("{ISSUER}/")))),
        ("iss missing", saying("iss", Value::Null)),
        ("another client", saying("client_id", json!(super::agent_id(2).to_string()))),
        ("sub no agent", saying("sub", json!("admin"))),
        ("exp missing", saying("exp", Value::Null)),
        ("exp a text", saying("exp", json!("99999999999"))),
        ("exp with a fraction", saying("exp", json!(now as f64 + 0.5))),
        ("exp before iat", saying("exp", json!(now - 1))),
        ("a life longer than allowed", saying("exp", json!(now + 3_601))),
        ("iat missing", saying("iat", Value::Null)),
        ("jti missing", saying("jti", Value::Null)),
        ("no scope", saying("scope", json!(""))),
        ("scope a list", saying("scope", json!(["create_charge"]))),
        ("aud empty", saying("aud", json!([]))),
        ("aud with a number", saying("aud", json!([SERVICE, 1]))),
        ("act a text", saying("act", json!("agt_0"))),
        ("act with more in it", saying("act", json!({"sub": "agt_0", "iss": ISSUER}))),
        ("bound to a key that is not proven", minted(&bound).into_bytes()),
        ("bound in a way that nobody knows", saying("cnf", json!({"x5t#S256": "AAAA"}))),
        ("bound to nothing", saying("cnf", json!({}))),
    ]
}

/// Bytes that are not those that were signed, or not written as they must be.
fn spellings(now: u64) -> Vec<(&'static str, Vec<u8>)> {
    let key = issuer_key(0);
    let good = minted(&claims(1, now));
    let parts: Vec<_> = good.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    let joined = |parts: [&str; 3]| parts.join(".").into_bytes();
    let other = minted(&claims(2, now));
    let other = other.split('.').nth(1).unwrap();
    let mut flipped = BASE64URL.decode(signature).unwrap();
    flipped[40] ^= 1;
    // Written in bits that make no byte.
    let stray = format!("{}B", signature.strip_suffix(|_| true).unwrap());
    let padded = |text: &str| URL_SAFE.encode(BASE64URL.decode(text).unwrap());
    let standard = |text: &str| STANDARD.encode(BASE64URL.decode(text).unwrap());
    let long = changed(said(&claims(1, now)), "x", json!("x".repeat(4_000)));
    vec![
        ("the claims of another token", joined([head, other, signature])),
        ("one bit of the signature", joined([head, body, &BASE64URL.encode(flipped)])),
        ("a signature of zeros", joined([head, body, &BASE64URL.encode([0; 64])])),
        ("no signature", joined([head, body, ""])),
        ("a short signature", joined([head, body, signature.get(..80).unwrap()])),
        ("stray bits", joined([head, body, &stray])),
        ("a padded signature", joined([head, body, &format!("{signature}==")])),
        ("padded and signed so", signed(&key, &format!("{}==.{}==", padded(head), padded(body)))),
        ("the other alphabet", joined([head, body, &standard(signature)])),
        ("two parts", format!("{head}.{body}").into_bytes()),
        ("four parts", format!("{good}.").into_bytes()),
        ("five parts, as if encrypted", format!("{good}.AAAA.AAAA").into_bytes()),
        ("two tokens in one", format!("{good},{good}").into_bytes()),
        ("two tokens with a space", format!("{good} {good}").into_bytes()),
        ("a byte that is no text", [good.as_bytes(), b"\xff"].concat()),
        ("longer than any may be", jws(&key, &header_of(&key).to_string(), &long)),
        ("far longer", format!("{head}.{}.{signature}", "A".repeat(60_000)).into_bytes()),
    ]
}

/// Good tokens of somebody else, or for another service, action or time.
fn elsewhere(now: u64) -> Vec<Presented> {
    let usual = claims(1, now);
    let key = issuer_key(0);
    let unknown = |kid: &str| {
        let header = changed(header_of(&key), "kid", json!(kid));
        jws(&key, &header, &said(&usual).to_string())
    };
    let with = |claims: Claims| minted(&claims).into_bytes();
    let services = |name: &str| Claims { audience: vec![name.into()], ..usual.clone() };
    let later = Claims { not_before: UnixSeconds(now + 6), ..usual.clone() };
    let scope = |name: &str| Claims { scope: Scope::of([name]).unwrap(), ..usual.clone() };
    let stranger = minted_by(&issuer_key(9), &usual).into_bytes();
    [
        ("signed by a key that is not known", stranger, "token_unknown"),
        ("a kid that is a path", unknown("../../../etc/passwd"), "token_unknown"),
        ("a kid that is a query", unknown("' or '1'='1"), "token_unknown"),
        ("another service", with(services("ledger")), "wrong_audience"),
        ("a service that begins alike", with(services("payments2")), "wrong_audience"),
        ("a service in other letters", with(services("Payments")), "wrong_audience"),
        ("it begins later", with(later), "token_not_yet"),
        ("it was issued later", with(claims(1, now + 6)), "token_not_yet"),
        ("its time is over", with(claims(1, now - LIFETIME)), "token_expired"),
        ("another action", with(scope("issue_refund")), "insufficient_scope"),
        ("an action that begins alike", with(scope("create_charge2")), "insufficient_scope"),
        ("an action with a star", with(scope("create_*")), "insufficient_scope"),
        ("an agent that is not known", with(claims(99, now)), "agent_revoked"),
    ]
    .map(|(what, token, reason)| Presented { what, token, reason: Some(reason) })
    .into()
}
