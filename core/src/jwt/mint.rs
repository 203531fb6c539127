//! Making capability tokens.

use std::fmt;

use serde::Serialize;

use super::claims::{Actor, Claims};
use super::error::{CapabilityError, Part};
use super::thumbprint::Thumbprint;
use super::{ALGORITHM, MAX_TOKEN_BYTES, TYPE, encode};
use crate::ids::{AgentId, CapabilityId};
use crate::keys::Signer;

/// A token that was made here. It is a secret: `Debug` does not show it, and there
/// is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct CapabilityToken(String);

impl CapabilityToken {
    /// The token itself, to be given once to whoever it is for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CapabilityToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CapabilityToken(…)")
    }
}

/// Writes and signs a token. The same key and claims always make the same bytes.
///
/// # Errors
/// When no verifier would take it: what is wrong with the claims, or
/// [`CapabilityError::TooLong`].
pub fn mint(signer: &Signer, claims: &Claims) -> Result<CapabilityToken, CapabilityError> {
    claims.check_form()?;
    let kid = Thumbprint::of(signer.public_key());
    let header = format!(r#"{{"alg":"{ALGORITHM}","typ":"{TYPE}","kid":"{kid}"}}"#);
    let claims = serde_json::to_vec(&Written::of(claims))
        .map_err(|_| CapabilityError::NotJson(Part::Claims))?;
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = encode(signer.sign(signed.as_bytes()));
    let token = format!("{signed}.{signature}");
    if token.len() > MAX_TOKEN_BYTES {
        return Err(CapabilityError::TooLong(token.len()));
    }
    Ok(CapabilityToken(token))
}

/// The claims in the order in which they are written.
#[derive(Serialize)]
struct Written<'a> {
    iss: &'a str,
    sub: Actor,
    aud: Audience<'a>,
    client_id: AgentId,
    exp: u64,
    iat: u64,
    nbf: u64,
    jti: CapabilityId,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Act>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(&'a str),
    All(&'a [String]),
}

#[derive(Serialize)]
struct Act {
    sub: Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Act>>,
}

#[derive(Serialize)]
struct Confirmation {
    jkt: String,
}

impl<'a> Written<'a> {
    fn of(claims: &'a Claims) -> Self {
        let before = |act, sub: &Actor| Some(Box::new(Act { sub: *sub, act }));
        Self {
            iss: &claims.issuer,
            sub: claims.subject.unwrap_or(Actor::Agent(claims.agent)),
            aud: match claims.audience.as_slice() {
                [service] => Audience::One(service),
                services => Audience::All(services),
            },
            client_id: claims.agent,
            exp: claims.expires.0,
            iat: claims.issued.0,
            nbf: claims.not_before.0,
            jti: claims.id,
            scope: claims.scope.as_str(),
            act: claims.actors.iter().rev().fold(None, before),
            cnf: claims.confirmation.map(|key| Confirmation { jkt: key.to_string() }),
        }
    }
}
