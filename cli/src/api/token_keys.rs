//! The issuer of capability tokens, and its keys.

use kya_core::PublicKey;
use serde::{Deserialize, Serialize};

use super::{Commit, Why};

/// `POST /v1/token-keys/announce`.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// `POST /v1/token-keys/activate` and `/retire`.
#[derive(Debug, Serialize)]
pub(crate) struct WhichTokenKey<'a> {
    pub(crate) public_key: PublicKey,
    #[serde(flatten)]
    pub(crate) why: Option<Why<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Issuer {
    /// None if no capability tokens are issued.
    pub(crate) issuer: Option<String>,
    pub(crate) max_lifetime_seconds: u64,
    /// The newest first.
    pub(crate) keys: Vec<TokenKey>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TokenKey {
    pub(crate) public_key: PublicKey,
    /// As tokens name it.
    pub(crate) kid: String,
    /// `published`, `active` or `retired`.
    pub(crate) status: String,
    pub(crate) published_at: String,
    pub(crate) activated_at: Option<String>,
    pub(crate) retired_at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct IssuerChange {
    pub(crate) issuer: Issuer,
    #[serde(flatten)]
    pub(crate) commit: Commit,
}
