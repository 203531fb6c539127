//! A token taken apart (RFC 7515 section 5.2), and its header.

use super::error::{CapabilityError, Part};
use super::json::{Json, Members};
use super::thumbprint::Thumbprint;
use super::{ALGORITHM, MAX_HEADER_BYTES, MAX_TOKEN_BYTES, OLD_ALGORITHM, TYPE, decode};

/// Parameters by which a token would bring its own key, or send for it (RFC 8725
/// section 3.10).
pub(super) const KEYS: [&str; 6] = ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"];
/// Parameters that change what the rest means (RFC 7515 section 4.1.11, RFC 7797).
pub(super) const EXTENSIONS: [&str; 2] = ["crit", "b64"];

/// A token whose header asks for the one way in which tokens are verified. Nothing
/// it says is believed or can be read: it shows which key is to have signed it.
#[derive(Clone, Copy)]
pub struct UnverifiedCapability<'a> {
    kid: Thumbprint,
    /// Header and claims as they were sent: what the signature is over.
    pub(super) signed: &'a [u8],
    /// The claims, encoded.
    pub(super) claims: &'a [u8],
    pub(super) signature: [u8; 64],
}

impl UnverifiedCapability<'_> {
    /// The key that it says has signed it.
    pub fn kid(&self) -> Thumbprint {
        self.kid
    }
}

impl std::fmt::Debug for UnverifiedCapability<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnverifiedCapability(by {})", self.kid)
    }
}

/// Takes a token apart, as it came from outside.
///
/// # Errors
/// What is wrong with its form or its header. The claims are not looked at.
pub fn parse(token: &[u8]) -> Result<UnverifiedCapability<'_>, CapabilityError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(CapabilityError::TooLong(token.len()));
    }
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(CapabilityError::NotCompact);
    };
    let kid = read_header(header)?;
    let signature = decode(signature, Part::Signature)?
        .try_into()
        .map_err(|_| CapabilityError::SignatureLength)?;
    let end = header.len().saturating_add(1).saturating_add(claims.len());
    let signed = token.get(..end).ok_or(CapabilityError::NotCompact)?;
    Ok(UnverifiedCapability { kid, signed, claims, signature })
}

/// The `kid` of a header that has nothing in it but what it must have.
///
/// RFC 7515 section 4 would have a parameter ignored that is not known. This profile
/// of it allows none: those who issue these tokens write three, and whatever else
/// stands there before a signature was checked is a way to have a token read
/// otherwise.
fn read_header(encoded: &[u8]) -> Result<Thumbprint, CapabilityError> {
    if encoded.len() > MAX_HEADER_BYTES {
        return Err(CapabilityError::HeaderTooLong(encoded.len()));
    }
    let mut header = Members::read(&decode(encoded, Part::Header)?, Part::Header)?;
    let (algorithm, kind, kid) = (header.take("alg"), header.take("typ"), header.take("kid"));
    if let Some(name) = KEYS.into_iter().find(|name| header.has(name)) {
        return Err(CapabilityError::KeyInHeader(name));
    }
    if let Some(name) = EXTENSIONS.into_iter().find(|name| header.has(name)) {
        return Err(CapabilityError::Extension(name));
    }
    if !header.is_empty() {
        return Err(CapabilityError::UnknownHeader);
    }
    // RFC 8725 sections 3.1 and 3.2: these and no others, in the one spelling that
    // they have, so that `none`, `None` and an HMAC keyed with a public key are no
    // cases of their own.
    match algorithm {
        Some(Json::Text(name)) if name == ALGORITHM || name == OLD_ALGORITHM => {}
        _ => return Err(CapabilityError::WrongAlgorithm),
    }
    // RFC 8725 section 3.11, RFC 9068 section 4. Media types have no case.
    match kind {
        Some(Json::Text(name)) if is_type(&name) => {}
        _ => return Err(CapabilityError::WrongType),
    }
    // RFC 8725 section 3.10: a name among those that are trusted, and no path, query
    // or address. What is no thumbprint names none of them.
    match kid {
        Some(Json::Text(name)) => Thumbprint::parse(&name).ok_or(CapabilityError::UnknownKey),
        _ => Err(CapabilityError::NoKey),
    }
}

/// RFC 7515 section 4.1.9: `application/` may be left out.
fn is_type(name: &str) -> bool {
    const LONG: &str = "application/";
    let short = match name.split_at_checked(LONG.len()) {
        Some((long, short)) if long.eq_ignore_ascii_case(LONG) => short,
        _ => name,
    };
    short.eq_ignore_ascii_case(TYPE)
}
