//! Why somebody is not let in, or an operator not changed.

use std::time::Duration;

use kya_core::TokenError;
use thiserror::Error;

use super::{OperatorName, Permission, Role, TokenRefusal};
use crate::bearer::BearerError;
use crate::registry::RegistryError;
use crate::store::StoreError;

/// Why a request is not let in.
#[derive(Debug, Error)]
pub enum AuthError {
    /// It presents nothing that could be a key.
    #[error("{0}: send the key of an operator as `authorization: Bearer ok_...`")]
    Bearer(#[from] BearerError),
    /// What it presents has not the form of a key.
    #[error("this is not the key of an operator: {0}")]
    Malformed(TokenError),
    /// It is a token of OpenID Connect that does not count.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// It begins as the admin key does, and is another one.
    #[error("this is not the admin key of this control plane, or no longer")]
    OtherAdminKey,
    /// It was never issued here.
    #[error("this control plane has not issued this key")]
    Unknown,
    /// The operator was revoked.
    #[error("the key of the operator {0} is revoked")]
    Revoked(OperatorName),
    /// The key has expired.
    #[error("the key of the operator {name} expired at {at}")]
    Expired {
        /// The operator.
        name: OperatorName,
        /// RFC 3339.
        at: String,
    },
    /// It failed too often from this address, and did so again. Whoever has a key that
    /// counts is let in all the same.
    #[error(
        "this key does not count, and neither did too many others from this address: try again in {} s. A key that counts is let in from here at any time", seconds(*.retry_after)
    )]
    TooManyFailures {
        /// Until a failure from there is told from another again.
        retry_after: Duration,
    },
    /// The store cannot say, or too many ask it at once.
    #[error("this cannot be checked now: try again")]
    Unavailable(#[source] StoreError),
    /// The role of the operator is too low.
    #[error(
        "the operator {name} has the role {}, which has not the permission {}: {} may do this", role.name(), permission.name(), any_of(permission.holders())
    )]
    Forbidden {
        /// The operator.
        name: OperatorName,
        /// Its role.
        role: Role,
        /// What it takes.
        permission: Permission,
    },
    /// The operator makes too many changes.
    #[error(
        "the operator {name} makes more changes than one may: try again in {} s. Revoking and suspending is never held up", seconds(*.retry_after)
    )]
    TooManyChanges {
        /// The operator.
        name: OperatorName,
        /// Until it may make another.
        retry_after: Duration,
    },
}

/// Why an operator was not added or revoked.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// The name is that of the built-in operator, or looks like it.
    #[error("`admin` is the built-in operator: take another name")]
    Reserved,
    /// It has no record that could be revoked.
    #[error(
        "`admin` is the built-in operator, whose key is `admin.key` in the data directory: to replace it, stop the server and delete that file; to lock it away, write the one word `locked` into it. Then start again"
    )]
    BuiltIn,
    /// The store refused, or could not.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl From<StoreError> for OperatorError {
    fn from(error: StoreError) -> Self {
        Self::Registry(error.into())
    }
}

impl AuthError {
    /// One word for it, for a metric and for logs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Bearer(BearerError::Missing) => "missing",
            Self::Bearer(_) | Self::Malformed(_) => "malformed",
            Self::Token(refusal) => refusal.reason(),
            Self::OtherAdminKey | Self::Unknown => "unknown",
            Self::Revoked(_) => "revoked",
            Self::Expired { .. } => "expired",
            Self::TooManyFailures { .. } | Self::TooManyChanges { .. } => "limited",
            Self::Unavailable(_) => "unavailable",
            Self::Forbidden { .. } => "forbidden",
        }
    }

    /// True if a key was presented that does not count: what somebody does who guesses.
    pub(super) const fn is_a_wrong_key(&self) -> bool {
        match self {
            Self::Bearer(BearerError::Missing) | Self::Unavailable(_) => false,
            Self::Token(refusal) => refusal.is_wrong(),
            Self::Bearer(_)
            | Self::Malformed(_)
            | Self::OtherAdminKey
            | Self::Unknown
            | Self::Revoked(_)
            | Self::Expired { .. } => true,
            Self::TooManyFailures { .. } | Self::Forbidden { .. } | Self::TooManyChanges { .. } => {
                false
            }
        }
    }
}

/// Whole seconds, as the header `retry-after` has them (RFC 9110 section 10.2.3).
pub(crate) fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1)
}

fn any_of(roles: &[Role]) -> String {
    let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
    match names.split_last() {
        Some((last, [])) => format!("only {last}"),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "nobody".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_permission_and_who_has_it() {
        let forbidden = |permission| {
            let name = "oncall".parse().unwrap();
            AuthError::Forbidden { name, role: Role::Operator, permission }.to_string()
        };
        assert_eq!(
            forbidden(Permission::RestoreAgents),
            "the operator oncall has the role operator, which has not the permission agents.restore: only admin may do this"
        );
        let said = forbidden(Permission::ReadEvents);
        assert!(said.ends_with("events.read: auditor and admin may do this"), "{said}");
    }

    #[test]
    fn a_part_of_a_second_is_a_second_to_wait() {
        let waits = [0, 1, 999, 1_000, 1_001].map(|ms| seconds(Duration::from_millis(ms)));
        assert_eq!(waits, [1, 1, 1, 1, 2]);
    }
}
