//! By what a request acts: a token that is known, or one that was verified.

use std::sync::Arc;

use crate::jwt::{Actor, VerifiedCapability};
use crate::table::{Fingerprint, TokenEntry};
use crate::time::UnixSeconds;

/// The token by which a request was allowed. A copy of it costs next to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bearer {
    /// An opaque token.
    Opaque {
        /// By what tables know it.
        fingerprint: Fingerprint,
        /// What was known of it.
        token: TokenEntry,
    },
    /// A capability token.
    Capability(Arc<VerifiedCapability>),
}

/// What the state is asked about: a token, whichever kind it is.
#[derive(Debug, Clone, Copy)]
pub enum Held<'a> {
    /// An opaque token, by what is known of it.
    Opaque(&'a TokenEntry),
    /// A capability token, by what it says.
    Capability(&'a VerifiedCapability),
}

impl Bearer {
    /// The token as the state is asked about it.
    pub fn held(&self) -> Held<'_> {
        match self {
            Self::Opaque { token, .. } => Held::Opaque(token),
            Self::Capability(capability) => Held::Capability(capability),
        }
    }
}

impl<'a> From<&'a TokenEntry> for Held<'a> {
    fn from(token: &'a TokenEntry) -> Self {
        Self::Opaque(token)
    }
}

impl<'a> From<&'a VerifiedCapability> for Held<'a> {
    fn from(capability: &'a VerifiedCapability) -> Self {
        Self::Capability(capability)
    }
}

impl<'a> Held<'a> {
    /// When it was issued.
    pub fn issued(&self) -> UnixSeconds {
        match self {
            Self::Opaque(token) => token.issued,
            Self::Capability(capability) => capability.claims().issued,
        }
    }

    /// Those of whom it says that they acted, and for whom.
    pub fn actors(&self) -> impl Iterator<Item = &'a Actor> + use<'a> {
        let claims = match self {
            Self::Opaque(_) => None,
            Self::Capability(capability) => Some(capability.claims()),
        };
        claims.into_iter().flat_map(|claims| claims.actors.iter().chain(&claims.subject))
    }
}
