//! The public name of a token of either kind.

use std::fmt;
use std::str::FromStr;

use kya_core::{CapabilityId, IdError, TokenId};
use serde::Deserialize;
use thiserror::Error;

/// `tok_…` of an opaque token, or `cap_…` of a capability token. Neither is the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum AnyTokenId {
    Opaque(TokenId),
    Capability(CapabilityId),
}

/// Why a text names no token.
#[derive(Debug, Error)]
pub(crate) enum AnyTokenIdError {
    #[error("not a token id: it must start with `tok_`, or with `cap_` for a capability token")]
    WrongPrefix,
    #[error(transparent)]
    Id(#[from] IdError),
}

impl FromStr for AnyTokenId {
    type Err = AnyTokenIdError;

    fn from_str(text: &str) -> Result<Self, AnyTokenIdError> {
        match text.split_once('_') {
            Some(("tok", _)) => Ok(Self::Opaque(text.parse()?)),
            Some(("cap", _)) => Ok(Self::Capability(text.parse()?)),
            _ => Err(AnyTokenIdError::WrongPrefix),
        }
    }
}

impl fmt::Display for AnyTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opaque(id) => id.fmt(f),
            Self::Capability(id) => id.fmt(f),
        }
    }
}

impl AnyTokenId {
    pub(crate) fn is_capability(self) -> bool {
        matches!(self, Self::Capability(_))
    }
}
