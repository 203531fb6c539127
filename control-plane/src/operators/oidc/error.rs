//! Why a token of OpenID Connect lets nobody in.

use thiserror::Error;

use super::super::OperatorName;

/// Why a token does not count. No refusal shows the token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenRefusal {
    /// Longer than any that counts.
    #[error("this token has {0} bytes, and one may have {max}", max = super::token::MAX_TOKEN)]
    TooLarge(usize),
    /// Not a signed JWT in its compact form (RFC 7519 section 7.2), or one without what it needs.
    #[error("this is not a token of OpenID Connect: {0}")]
    Malformed(String),
    /// Signed by an algorithm that does not count here.
    #[error("this token is signed by {0}, which does not count here (`oidc_algorithms`)")]
    Algorithm(String),
    /// A token of another kind (RFC 8725 section 3.11).
    #[error("this is a token of the type {0}, not one that says who an operator is (`JWT`)")]
    Type(String),
    /// It asks for an extension that is not known (RFC 7515 section 4.1.11).
    #[error("this token has the header `crit`, and no extension is understood here")]
    Critical,
    /// The issuer has no such key, as far as is known.
    #[error("the issuer has no key of this kind with this `kid`, as far as is known here")]
    UnknownKey,
    /// It does not say which of several keys has signed it.
    #[error("this token does not say by `kid` which of the issuer's keys has signed it")]
    WhichKey,
    /// Not signed by that key.
    #[error("the signature of this token is not that of the issuer")]
    Signature,
    /// Of another issuer.
    #[error("this token is of the issuer {0}, which is not the one that counts here")]
    Issuer(String),
    /// For somebody else.
    #[error("this token is for another audience: `aud` must name `{0}`")]
    Audience(String),
    /// Issued to a client that may not have it.
    #[error("this token was issued to another client: see `azp`, and `oidc_authorized_parties`")]
    Party,
    /// Its time is over.
    #[error("this token has expired: get another one from the issuer")]
    Expired,
    /// Its time has not come.
    #[error("this token is of the future (`{0}`): is a clock wrong?")]
    NotYet(&'static str),
    /// It counts for longer than any may.
    #[error("this token counts for more than {hours} hours, and none may", hours = super::token::MAX_LIFETIME_HOURS)]
    Lifetime,
    /// The claim that names operators names none.
    #[error("the claim `{0}` of this token names no operator: {1}")]
    Name(String, &'static str),
    /// No group of it has a role.
    #[error("{name} is in no group that has a role here (`oidc_roles`)")]
    NoRole {
        /// Whom the token names.
        name: OperatorName,
    },
    /// The keys of the issuer are not known now.
    #[error(
        "the keys of the issuer could not be fetched, so no token can be checked: try again, or use the key of an operator"
    )]
    NoKeys,
}

impl TokenRefusal {
    /// One word for it, for a metric and for logs.
    pub(in crate::operators) const fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge(_) | Self::Malformed(_) | Self::Critical => "malformed",
            Self::UnknownKey | Self::WhichKey | Self::Signature | Self::Algorithm(_) => "unknown",
            Self::Type(_)
            | Self::Issuer(_)
            | Self::Audience(_)
            | Self::Party
            | Self::NotYet(_)
            | Self::Lifetime
            | Self::Name(..) => "token",
            Self::Expired => "expired",
            Self::NoRole { .. } => "forbidden",
            Self::NoKeys => "unavailable",
        }
    }

    /// True of what somebody presents who guesses.
    pub(in crate::operators) const fn is_wrong(&self) -> bool {
        !matches!(self, Self::NoRole { .. } | Self::NoKeys)
    }
}
