//! What makes a capability token one, and what does not. The claims and tokens here
//! are what the tests of each part begin from.

mod any;
mod claims;
mod form;
mod header;
mod presented;

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
        subject: None,
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
