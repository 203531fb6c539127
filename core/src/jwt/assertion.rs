//! Client assertions: JWTs by which an agent says that it is itself (RFC 7523 section
//! 3), signed by the key that it was registered with.
//!
//! They are another kind of token than those that are issued here, and no reader of
//! one kind takes the other: an access token has the type `at+jwt`, which no assertion
//! may have, and is signed by a key of the issuer, which is no agent's.

use thiserror::Error;

use super::compact::{EXTENSIONS, KEYS};
use super::error::{CapabilityError, Part};
use super::json::{Json, Members};
use super::{ALGORITHM, LEEWAY_SECONDS, MAX_HEADER_BYTES, MAX_TOKEN_BYTES, OLD_ALGORITHM, decode};
use crate::ids::AgentId;
use crate::keys::PublicKey;
use crate::time::UnixSeconds;

/// How long an assertion may still count when it is presented, in seconds: an hour, which
/// is what client libraries ask for. As long its name has to be remembered.
pub const MAX_ASSERTION_LIFETIME: u64 = 3_600;
/// The longest name (`jti`) of an assertion, in bytes.
pub const MAX_ASSERTION_ID_BYTES: usize = 256;
/// Types that an assertion may have, beside none: that of any JWT, and that of
/// draft-ietf-oauth-rfc7523bis section 4.
const TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];

/// An assertion taken apart. All that can be read of it is whose it says it is.
pub struct UnverifiedAssertion<'a> {
    agent: AgentId,
    signed: &'a [u8],
    signature: [u8; 64],
    claims: Members,
}

/// What an assertion says that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAssertion {
    /// `iss` and `sub`: who has signed it.
    pub agent: AgentId,
    /// `jti`: its name. One that was seen before of this agent is a replay.
    pub id: String,
    /// `exp`: until then the name must be remembered.
    pub expires: UnixSeconds,
}

/// Why an assertion is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AssertionError {
    /// It is no JWT in the form in which one is read.
    #[error(transparent)]
    Form(#[from] CapabilityError),
    /// It is another kind of JWT.
    #[error("its `typ` must be `JWT` or `client-authentication+jwt`, or left out")]
    Type,
    /// A claim is missing, or has a value that it cannot have.
    #[error("its `{0}` is missing or is not what it must be: {1}")]
    Claim(&'static str, &'static str),
    /// It was not signed by the agent's key.
    #[error("its signature is not by the public key that the agent was registered with")]
    Signature,
    /// It is for somebody else.
    #[error("its `aud` must be the issuer, or the token endpoint, and nobody else")]
    Audience,
    /// Its time is over.
    #[error("it has expired: make a new one for every request")]
    Expired,
    /// Its time has not come.
    #[error("its `nbf` or `iat` is in the future")]
    NotYet,
    /// It would count for too long.
    #[error("its `exp` must be within {MAX_ASSERTION_LIFETIME} seconds from now")]
    TooLong,
}

/// Takes an assertion apart, as it came from outside.
///
/// # Errors
/// What is wrong with its form, or that it does not say whose it is.
pub fn parse_assertion(token: &[u8]) -> Result<UnverifiedAssertion<'_>, AssertionError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(CapabilityError::TooLong(token.len()).into());
    }
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(CapabilityError::NotCompact.into());
    };
    check_header(header)?;
    let signature = decode(signature, Part::Signature)?
        .try_into()
        .map_err(|_| CapabilityError::SignatureLength)?;
    let end = header.len().saturating_add(1).saturating_add(claims.len());
    let signed = token.get(..end).ok_or(CapabilityError::NotCompact)?;
    let mut claims = Members::read(&decode(claims, Part::Claims)?, Part::Claims)?;
    let mut named = |name| match claims.take(name) {
        Some(Json::Text(text)) => text.parse::<AgentId>().ok(),
        _ => None,
    };
    // RFC 7523 section 3: both are the client's id.
    let whose = "both `iss` and `sub` are the id of the agent (`agt_…`)";
    match (named("iss"), named("sub")) {
        (Some(issuer), Some(subject)) if issuer == subject => {
            Ok(UnverifiedAssertion { agent: subject, signed, signature, claims })
        }
        _ => Err(AssertionError::Claim("sub", whose)),
    }
}

/// What every store keeps as it is.
fn is_id(id: &str) -> bool {
    (1..=MAX_ASSERTION_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

/// RFC 8725 sections 3.1, 3.10 and 3.11: one algorithm, no key that the token brings
/// along, and no other kind of token.
fn check_header(encoded: &[u8]) -> Result<(), AssertionError> {
    if encoded.len() > MAX_HEADER_BYTES {
        return Err(CapabilityError::HeaderTooLong(encoded.len()).into());
    }
    let mut header = Members::read(&decode(encoded, Part::Header)?, Part::Header)?;
    if let Some(name) = KEYS.into_iter().find(|name| header.has(name)) {
        return Err(CapabilityError::KeyInHeader(name).into());
    }
    if let Some(name) = EXTENSIONS.into_iter().find(|name| header.has(name)) {
        return Err(CapabilityError::Extension(name).into());
    }
    match header.take("alg") {
        Some(Json::Text(name)) if name == ALGORITHM || name == OLD_ALGORITHM => {}
        _ => return Err(CapabilityError::WrongAlgorithm.into()),
    }
    match header.take("typ") {
        None => Ok(()),
        Some(Json::Text(name)) if TYPES.iter().any(|it| it.eq_ignore_ascii_case(&name)) => Ok(()),
        Some(_) => Err(AssertionError::Type),
    }
}

impl UnverifiedAssertion<'_> {
    /// Whose it says it is.
    pub fn agent(&self) -> AgentId {
        self.agent
    }

    /// Believes it, or says why not. Nothing but whose it is was read before the
    /// signature fits.
    ///
    /// # Errors
    /// When it is not by this key, not for one of `audience`, or not for now.
    pub fn verify(
        mut self,
        key: PublicKey,
        audience: &[&str],
        now: UnixSeconds,
    ) -> Result<ClientAssertion, AssertionError> {
        if !key.verifies(self.signed, &self.signature) {
            return Err(AssertionError::Signature);
        }
        let is_us = |name: &Json| matches!(name, Json::Text(name) if audience.contains(&&**name));
        // Somebody else who is named beside us could present it here.
        match self.claims.take("aud") {
            Some(name @ Json::Text(_)) if is_us(&name) => {}
            Some(Json::List(names)) if !names.is_empty() && names.iter().all(is_us) => {}
            _ => return Err(AssertionError::Audience),
        }
        let id = match self.claims.take("jti") {
            Some(Json::Text(id)) if is_id(&id) => id,
            _ => return Err(AssertionError::Claim("jti", "1 to 256 visible ASCII characters")),
        };
        let mut time = |name| match self.claims.take(name) {
            None => Ok(None),
            Some(Json::Integer(at)) => Ok(Some(at)),
            Some(_) => Err(AssertionError::Claim(name, "whole seconds since 1970")),
        };
        let expires = time("exp")?.ok_or(AssertionError::Claim("exp", "seconds since 1970"))?;
        if expires <= now.0 {
            return Err(AssertionError::Expired);
        }
        let latest = now.0.saturating_add(LEEWAY_SECONDS);
        if [time("nbf")?, time("iat")?].into_iter().flatten().any(|at| at > latest) {
            return Err(AssertionError::NotYet);
        }
        if expires > latest.saturating_add(MAX_ASSERTION_LIFETIME) {
            return Err(AssertionError::TooLong);
        }
        Ok(ClientAssertion { agent: self.agent, id, expires: UnixSeconds(expires) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::jwt::encode;
    use crate::keys::Signer;

    const ISSUER: &str = "https://kya.example";
    const ENDPOINT: &str = "https://kya.example/oauth/token";

    fn agent() -> AgentId {
        AgentId::from_bytes([7; 16])
    }

    fn signer() -> Signer {
        Signer::from_seed([3; 32])
    }

    fn claims() -> Value {
        json!({ "iss": agent(), "sub": agent(), "aud": ISSUER, "jti": "a", "exp": 1060 })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        claims
    }

    fn signed(header: &Value, claims: &str) -> String {
        let text = format!("{}.{}", encode(header.to_string()), encode(claims));
        let signature = encode(signer().sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    fn read(token: &str, key: PublicKey) -> Result<ClientAssertion, AssertionError> {
        let parsed = parse_assertion(token.as_bytes())?;
        assert_eq!(parsed.agent(), agent());
        parsed.verify(key, &[ISSUER, ENDPOINT], UnixSeconds(1000))
    }

    fn taken(claims: &Value) -> Result<ClientAssertion, AssertionError> {
        read(&signed(&json!({ "alg": "EdDSA" }), &claims.to_string()), signer().public_key())
    }

    #[test]
    fn an_assertion_of_the_agent_for_this_issuer_is_taken() {
        let expected =
            ClientAssertion { agent: agent(), id: "a".into(), expires: UnixSeconds(1060) };
        for header in [
            json!({ "alg": "EdDSA" }),
            json!({ "alg": "Ed25519", "typ": "JWT", "kid": "whatever" }),
            json!({ "alg": "Ed25519", "typ": "client-authentication+jwt" }),
        ] {
            let token = signed(&header, &claims().to_string());
            assert_eq!(read(&token, signer().public_key()), Ok(expected.clone()), "{header}");
        }
        for audience in [json!(ENDPOINT), json!([ISSUER]), json!([ENDPOINT, ISSUER])] {
            assert!(taken(&with("aud", audience)).is_ok());
        }
        for (name, at) in [("iat", 1005), ("nbf", 1005), ("exp", 4605)] {
            assert!(taken(&with(name, json!(at))).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_not_for_here_and_now_is_refused() {
        use AssertionError as E;
        let other = AgentId::from_bytes([8; 16]);
        for (name, value, expected) in [
            ("aud", Value::Null, E::Audience),
            ("aud", json!("https://kya.example/"), E::Audience),
            ("aud", json!([ISSUER, "https://other.example"]), E::Audience),
            ("aud", json!([]), E::Audience),
            ("aud", json!({ "a": ISSUER }), E::Audience),
            ("exp", json!(1000), E::Expired),
            ("exp", json!(4606), E::TooLong),
            ("nbf", json!(1006), E::NotYet),
            ("iat", json!(1006), E::NotYet),
        ] {
            assert_eq!(taken(&with(name, value.clone())), Err(expected), "{name} {value}");
        }
        for (name, value) in [
            ("jti", Value::Null),
            ("jti", json!("")),
            ("jti", json!("a\u{0}b")),
            ("jti", json!("a b")),
            ("jti", json!("\u{430}")),
            ("jti", json!("a".repeat(257))),
            ("jti", json!(1)),
            ("exp", Value::Null),
            ("exp", json!(1060.5)),
            ("exp", json!("1060")),
            ("iat", json!(-1)),
            ("sub", json!(other)),
            ("iss", json!(other)),
            ("iss", json!("https://kya.example")),
            ("sub", Value::Null),
        ] {
            let told = taken(&with(name, value.clone()));
            assert!(matches!(told, Err(E::Claim(..))), "{name} {value}: {told:?}");
        }
    }

    #[test]
    fn no_header_changes_what_is_asked_for() {
        for header in [
            json!({}),
            json!({ "alg": "none" }),
            json!({ "alg": "HS256" }),
            json!({ "alg": "eddsa" }),
            json!({ "alg": ["EdDSA"] }),
            json!({ "alg": "EdDSA", "typ": "at+jwt" }),
            json!({ "alg": "EdDSA", "crit": ["exp"] }),
            json!({ "alg": "EdDSA", "b64": false }),
            json!({ "alg": "EdDSA", "jwk": { "kty": "OKP" } }),
            json!({ "alg": "EdDSA", "jku": "https://evil.example" }),
        ] {
            let token = signed(&header, &claims().to_string());
            assert!(read(&token, signer().public_key()).is_err(), "{header}");
        }
    }

    #[test]
    fn nobody_elses_signature_and_no_other_bytes_are_taken() {
        let token = signed(&json!({ "alg": "EdDSA" }), &claims().to_string());
        let other = Signer::from_seed([4; 32]).public_key();
        assert_eq!(read(&token, other), Err(AssertionError::Signature));
        let (head, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = head.split_once('.').unwrap();
        let changed = encode(with("aud", json!(ENDPOINT)).to_string());
        let forged = format!("{header}.{changed}.{signature}");
        assert_eq!(read(&forged, signer().public_key()), Err(AssertionError::Signature));
        let twice = claims().to_string().replacen('{', r#"{"jti":"b","#, 1);
        let twice = signed(&json!({ "alg": "EdDSA" }), &twice);
        let duplicate = CapabilityError::Duplicate(Part::Claims).into();
        assert_eq!(read(&twice, signer().public_key()), Err(duplicate));
        for broken in ["", "a.b", "a.b.c.d", &token[1..], &format!("{token}="), &"a".repeat(5000)] {
            assert!(parse_assertion(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
