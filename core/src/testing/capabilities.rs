//! Capability tokens for tests: an issuer, what it signs, what it would never sign,
//! and what stops those that it has signed. Native tests and those of the compiled
//! filter go through the same tables.

mod forgeries;
mod stops;

use serde_json::{Value, json};

use crate::jwt::{Claims, Scope, Thumbprint, mint};
use crate::wire::{self, change::Change};
use crate::{CapabilityId, Signer, UnixSeconds};

use super::agent_id;
pub use forgeries::{Presented, accepted, refused};
pub use stops::{Stopped, delegated, delegated_claims, stops};

/// The `iss` of the tokens.
pub const ISSUER: &str = "https://kya.example";
/// The service that they are for.
pub const SERVICE: &str = "payments";
/// One of the two actions that they are for.
pub const ACTION: &str = "create_charge";
/// The other.
pub const OTHER_ACTION: &str = "issue_refund";
/// How long they count, in seconds.
pub const LIFETIME: u64 = 300;

/// The key by which the issuer signs, and others that it could have.
pub fn issuer_key(n: u8) -> Signer {
    Signer::from_seed([0x80 | n; 32])
}

/// An issuer of this name with these keys.
pub fn issuer(name: &str, keys: &[u8]) -> Change {
    let keys = keys.iter().map(|n| issuer_key(*n).public_key().to_bytes().to_vec()).collect();
    Change::Issuer(wire::Issuer { name: name.into(), keys, max_lifetime_seconds: 3_600 })
}

/// What agent `n` may do from second `now` on.
pub fn claims(n: u8, now: u64) -> Claims {
    Claims {
        issuer: ISSUER.into(),
        agent: agent_id(n),
        subject: None,
        audience: vec![SERVICE.into()],
        issued: UnixSeconds(now),
        not_before: UnixSeconds(now),
        expires: UnixSeconds(now + LIFETIME),
        id: CapabilityId::from_bytes([n; 16]),
        scope: Scope::of([ACTION, OTHER_ACTION]).unwrap(),
        actors: vec![],
        confirmation: None,
    }
}

/// The token of these claims, signed by the first key of the issuer.
pub fn minted(claims: &Claims) -> String {
    minted_by(&issuer_key(0), claims)
}

/// The token of these claims, signed by this key.
pub fn minted_by(key: &Signer, claims: &Claims) -> String {
    mint(key, claims).unwrap().reveal().to_owned()
}

/// The record that takes the token of these claims back.
pub fn taken_back(claims: &Claims) -> Change {
    let id = claims.id.to_bytes().into();
    Change::RevokedCapability(wire::RevokedCapability {
        id,
        expires_unix_seconds: claims.expires.0,
    })
}

/// A policy document as version `version` of the policy with this id.
pub fn policy(id: u8, version: u32, document: &Value) -> Change {
    let document = document.to_string().into_bytes();
    Change::Policy(wire::Policy { id: vec![id; 16], version, document })
}

/// What a configuration of the filter says beside where the control plane is: its
/// service, and which requests are which action. [`route`] names such requests.
pub fn configured(document: &mut Value) {
    document["service"] = SERVICE.into();
    document["actions"] = json!([
        {"route": "POST /v1/charges", "action": ACTION},
        {"route": "POST /v1/refunds", "action": OTHER_ACTION},
        {"route": "GET /v1/ledger", "action": "read_ledger"},
    ]);
}

/// The method and path of a request for this action; for any other name, of one of
/// which nobody knows what it does.
pub fn route(action: &str) -> (&'static str, &'static str) {
    match action {
        ACTION => ("POST", "/v1/charges"),
        OTHER_ACTION => ("POST", "/v1/refunds"),
        "read_ledger" => ("GET", "/v1/ledger"),
        _ => ("POST", "/v1/elsewhere"),
    }
}

/// The usual header of a token that this key signs.
fn header_of(key: &Signer) -> Value {
    let kid = Thumbprint::of(key.public_key()).to_string();
    json!({ "alg": "Ed25519", "typ": "at+jwt", "kid": kid })
}
