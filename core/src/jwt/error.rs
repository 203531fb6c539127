//! Why a capability token is not taken.

use std::fmt;

use thiserror::Error;

use super::{LEEWAY_SECONDS, MAX_HEADER_BYTES, MAX_LIFETIME, MAX_NAME_BYTES, MAX_TOKEN_BYTES};
use crate::decision::DenyReason;
use crate::update::MAX_KEYS;

/// A part of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The first: how it is signed.
    Header,
    /// The second: what it says.
    Claims,
    /// The third.
    Signature,
}

/// Why a capability token is not taken, or not made. None of them shows any of the
/// token but names that this crate knows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CapabilityError {
    /// It is longer than any token may be.
    #[error("it has {0} bytes, and at most {MAX_TOKEN_BYTES} are read: name fewer actions")]
    TooLong(usize),
    /// It has not three parts (RFC 7515 section 3.1).
    #[error("it must be three parts with a dot between each two")]
    NotCompact,
    /// Its header alone is longer than any may be.
    #[error("its header has {0} bytes, and at most {MAX_HEADER_BYTES} are read")]
    HeaderTooLong(usize),
    /// A part is not base64url.
    #[error("its {0} must be base64url, without padding, white space or stray bits")]
    NotBase64(Part),
    /// A part is not a JSON object, or one with more than is read.
    #[error("its {0} must be one JSON object, not nested deeply and with few members")]
    NotJson(Part),
    /// An object has two members of one name.
    #[error("its {0} must not name one thing twice")]
    Duplicate(Part),
    /// The header brings a key or says where there is one.
    #[error("its header has `{0}`: a key never comes with the token, `kid` alone names it")]
    KeyInHeader(&'static str),
    /// The header changes how the token is to be read.
    #[error("its header has `{0}`: no extensions of JWS are understood")]
    Extension(&'static str),
    /// The header has something else that this version does not know.
    #[error("its header must have `alg`, `typ` and `kid`, and nothing else")]
    UnknownHeader,
    /// It is signed by another algorithm, or by none.
    #[error("its `alg` must be `Ed25519` or `EdDSA`")]
    WrongAlgorithm,
    /// It is another kind of JWT.
    #[error("its `typ` must be `at+jwt`: it is not an access token (RFC 9068)")]
    WrongType,
    /// It does not say which key has signed it.
    #[error("its header must have `kid`, a text")]
    NoKey,
    /// Its signature has not 64 bytes.
    #[error("its signature must have 64 bytes")]
    SignatureLength,
    /// It names a key that is not trusted.
    #[error("it is signed by a key that is not trusted")]
    UnknownKey,
    /// The signature does not fit.
    #[error("its signature does not fit")]
    BadSignature,
    /// A claim is missing.
    #[error("it must say `{0}`")]
    MissingClaim(&'static str),
    /// A claim has a form that it must not have.
    #[error("what it says of `{0}` has another form or size than is allowed")]
    BadClaim(&'static str),
    /// It was issued to one and is about another.
    #[error("its `sub` and its `client_id` must be the same agent")]
    TwoAgents,
    /// It is bound to a key in a way that cannot be checked (RFC 7800).
    #[error("its `cnf` must have `jkt` and nothing else: no other confirmation can be checked")]
    UnknownConfirmation,
    /// Another has issued it.
    #[error("its `iss` is not the issuer that is trusted here")]
    WrongIssuer,
    /// It ends before it begins, or lives too long.
    #[error("its times must be in order, and its lifetime within the bound: issue a shorter one")]
    WrongLifetime,
    /// It is for other services.
    #[error("it is not for this service: its `aud` must name it")]
    WrongAudience,
    /// Its time has not come.
    #[error("its time has not come, even if the clock here is {LEEWAY_SECONDS} s behind")]
    NotYet,
    /// Its time is over.
    #[error("its time is over")]
    Expired,
    /// It is bound to a key, and the request proves none.
    #[error("it is bound to a key, and the request does not prove that it has that key")]
    NoProof,
    /// The request proves a key that the token is not bound to.
    #[error("the request proves another key than the one that the token is bound to")]
    WrongProof,
}

impl CapabilityError {
    /// A short, stable name for counters.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::TooLong(_) => "too_long",
            Self::NotCompact => "not_compact",
            Self::HeaderTooLong(_) => "header_too_long",
            Self::NotBase64(_) => "not_base64",
            Self::NotJson(_) => "not_json",
            Self::Duplicate(_) => "duplicate",
            Self::KeyInHeader(_) => "key_in_header",
            Self::Extension(_) => "extension",
            Self::UnknownHeader => "unknown_header",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::WrongType => "wrong_type",
            Self::NoKey => "no_key",
            Self::SignatureLength => "signature_length",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::MissingClaim(_) => "missing_claim",
            Self::BadClaim(_) => "bad_claim",
            Self::TwoAgents => "two_agents",
            Self::UnknownConfirmation => "unknown_confirmation",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongLifetime => "wrong_lifetime",
            Self::WrongAudience => "wrong_audience",
            Self::NotYet => "not_yet",
            Self::Expired => "expired",
            Self::NoProof => "no_proof",
            Self::WrongProof => "wrong_proof",
        }
    }

    /// The reason that a request with such a token is denied for. Only one that is
    /// signed by a key which is not known here is unknown, as an opaque token is that
    /// the state does not have: the key may be newer than the state. That reason can
    /// be configured to let requests pass, so whatever is forged, for another place
    /// or time, or unreadable is malformed.
    pub const fn deny_reason(self) -> DenyReason {
        match self {
            Self::UnknownKey => DenyReason::TokenUnknown,
            Self::Expired => DenyReason::TokenExpired,
            Self::NotYet => DenyReason::TokenNotYet,
            Self::WrongAudience => DenyReason::WrongAudience,
            _ => DenyReason::TokenMalformed,
        }
    }
}

/// Why a verifier, or the keys of one, cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SetupError {
    /// There are no keys, or too many.
    #[error("{0} keys: there must be 1 to {MAX_KEYS} that differ")]
    Keys(usize),
    /// The issuer has no name, or one that is too long.
    #[error("the name of the issuer has {0} bytes: it must have 1 to {MAX_NAME_BYTES}")]
    Issuer(usize),
    /// The longest lifetime is nothing, or too long.
    #[error("a lifetime of {0} s: it must be 1 to {MAX_LIFETIME}")]
    Lifetime(u64),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}
