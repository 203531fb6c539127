//! Capability tokens: access tokens that say themselves what they are good for,
//! as signed JWTs (RFC 7519) in the profile of RFC 9068; and the assertions by which
//! agents ask for them.
//!
//! A token goes through three steps, and each has a type of its own:
//!
//! 1. [`parse`] takes it apart. An [`UnverifiedCapability`] names the key that is
//!    to have signed it and shows nothing else.
//! 2. [`CapabilityVerifier::verify`] believes it. Only this makes a
//!    [`VerifiedCapability`], and it is what costs: one Ed25519 signature.
//! 3. [`check`] says whether it counts here and now. It compares a few numbers and
//!    texts, and is to be asked at every request.
//!
//! A [`VerifiedCache`] spares the second step for a token that was seen before. What
//! the state says of the token, its agent and its actors is no part of this: a
//! verified token is as good as the authority of those whom it names.
//!
//! The checks are those of RFC 8725; the comments say which section asks for each.
//! JSON is read with `serde_json`, which the filter has in it anyway for its
//! configuration: a cached token is not read again, so a reader that is quicker
//! would be one more parser of hostile bytes for nothing.

mod assertion;
mod cache;
mod claims;
mod compact;
mod error;
mod json;
mod keys;
mod mint;
mod scope;
mod thumbprint;
mod verify;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

pub use assertion::{
    AssertionError, ClientAssertion, MAX_ASSERTION_ID_BYTES, MAX_ASSERTION_LIFETIME,
    UnverifiedAssertion, parse_assertion,
};
pub use cache::{CACHE_ENTRIES, VerifiedCache};
pub use claims::{Actor, Claims};
pub use compact::{UnverifiedCapability, parse};
pub use error::{CapabilityError, Part, SetupError};
pub use keys::{CapabilityKeys, jwks};
pub use mint::{CapabilityToken, mint};
pub use scope::Scope;
pub use thumbprint::Thumbprint;
pub use verify::{CapabilityVerifier, Identity, Presentation, VerifiedCapability, check};

/// The longest token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 4096;
/// The longest header, in bytes as it is sent.
pub const MAX_HEADER_BYTES: usize = 512;
/// The longest name of an issuer or of a service, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// Most services that one token is for.
pub const MAX_AUDIENCE: usize = 16;
/// Most actors of one token.
pub const MAX_ACTORS: usize = 8;
/// How long a token lives at most unless a verifier is told otherwise, in seconds.
pub const DEFAULT_LIFETIME: u64 = 3600;
/// The longest lifetime that a verifier can be told, in seconds.
pub const MAX_LIFETIME: u64 = 86_400;
/// How far the clock of the issuer may be ahead of the gate's, in seconds. It is
/// granted where a token begins and never where it ends: what is known of a revoked
/// token is forgotten at its `exp`, and a token that counted any longer would
/// outlive its own revocation.
pub const LEEWAY_SECONDS: u64 = 5;

/// The media type of RFC 9068 section 2.1, without `application/`.
const TYPE: &str = "at+jwt";
/// The algorithm as it is written (RFC 9864 section 2.2).
const ALGORITHM: &str = "Ed25519";
/// The same algorithm by its older name (RFC 8037 section 3.1). It stands for
/// Ed448 too, but the key that `kid` names is an Ed25519 key.
const OLD_ALGORITHM: &str = "EdDSA";

/// Reads base64url (RFC 7515 section 2): no padding, no white space, and no bits
/// behind the last byte but zeros, so that no bytes have two spellings.
fn decode(encoded: &[u8], part: Part) -> Result<Vec<u8>, CapabilityError> {
    BASE64URL.decode(encoded).map_err(|_| CapabilityError::NotBase64(part))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL.encode(bytes)
}

#[cfg(test)]
#[path = "jwt_tests/mod.rs"]
mod tests;
