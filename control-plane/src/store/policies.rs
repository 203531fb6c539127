//! Policies: what agents may do, version by version.

use kya_core::policy::PolicyReference;
use kya_core::{InFlight, MAX_POLICY_BYTES, PolicyId, PolicyName, PolicyVersion, Revision, wire};
use thiserror::Error;
use wire::change::Change;

use super::Cause;
use crate::time::UnixMicros;

/// Most policies. Each proxy keeps them all.
pub const MAX_POLICIES: u64 = 1_000;

/// One version of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its id.
    pub id: PolicyId,
    /// What it is called, for ever: no other policy gets the name.
    pub name: PolicyName,
    /// Which version this is.
    pub version: PolicyVersion,
    /// The newest version, which is the one that counts.
    pub newest: PolicyVersion,
    /// The canonical document, as JSON.
    pub document: String,
    /// How it came to be.
    pub step: PolicyStep,
    /// When.
    pub committed_at: UnixMicros,
    /// Who did it, and why.
    pub cause: Cause,
    /// Revision of the version.
    pub revision: Revision,
}

/// How a version came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyStep {
    /// Somebody wrote it.
    Applied,
    /// It is that version again.
    RolledBack(PolicyVersion),
    /// It permits nothing.
    Revoked,
}

/// The policy of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyOf {
    /// Its id.
    pub id: PolicyId,
    /// What it is called.
    pub name: PolicyName,
}

/// What is to become of a policy.
#[derive(Debug, Clone)]
pub enum PolicyChange {
    /// This is what it says from now on. A name that is new makes a policy of this id.
    Apply(PolicyId, Box<kya_core::Policy>),
    /// It says again what it said in that version.
    RollBack(PolicyReference, PolicyVersion),
    /// It permits nothing; and what becomes of requests in flight.
    Revoke(PolicyReference, InFlight),
}

/// Which version somebody who writes has seen (RFC 9110 section 13.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// There is none yet.
    Nothing,
    /// This is the newest.
    Version(PolicyVersion),
}

/// Why a policy was not changed, or not found.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// No such policy.
    #[error("there is no policy {0}; `kya policy list` shows those that there are")]
    NoSuchPolicy(PolicyReference),
    /// No such version.
    #[error("the policy {name} has no version {version}: its newest is {newest}")]
    NoSuchVersion {
        /// Of which policy.
        name: PolicyName,
        /// Which.
        version: PolicyVersion,
        /// The newest that there is.
        newest: PolicyVersion,
    },
    /// It is not as whoever writes has seen it.
    #[error(
        "the policy {name} is at version {newest} now: somebody changed it meanwhile; look at the difference, and apply again"
    )]
    NotAsExpected {
        /// Which policy.
        name: PolicyName,
        /// Its newest version.
        newest: PolicyVersion,
    },
    /// It was to be a new version of one that is not there.
    #[error("there is no policy {0} yet, and a version of it was expected")]
    NotThereYet(PolicyName),
    /// Its document does not travel.
    #[error(
        "the policy has {0} bytes as JSON, and at most {MAX_POLICY_BYTES} reach a proxy: use wider patterns, or two policies"
    )]
    TooLarge(usize),
    /// There are too many.
    #[error("there are {MAX_POLICIES} policies, and that is the most: apply one of them")]
    TooMany,
    /// Its versions are used up.
    #[error("the policy {0} has as many versions as there can be: apply one under another name")]
    TooManyVersions(PolicyName),
}

impl Policy {
    /// The policy as the protocol carries it.
    pub fn to_wire(&self) -> Change {
        Change::Policy(wire::Policy {
            id: self.id.to_bytes().to_vec(),
            version: self.version.get(),
            document: self.document.clone().into_bytes(),
        })
    }
}

impl PolicyStep {
    /// Its stored and shown name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::RolledBack(_) => "rolled_back",
            Self::Revoked => "revoked",
        }
    }

    /// The version that it is again.
    pub const fn rolled_back_to(self) -> Option<PolicyVersion> {
        match self {
            Self::RolledBack(version) => Some(version),
            Self::Applied | Self::Revoked => None,
        }
    }

    /// Its name in the log of events.
    pub const fn event(self) -> &'static str {
        match self {
            Self::Applied => "policy.applied",
            Self::RolledBack(_) => "policy.rolled_back",
            Self::Revoked => "policy.revoked",
        }
    }

    pub(crate) fn from_stored(name: &str, rolled_back_to: Option<PolicyVersion>) -> Option<Self> {
        match (name, rolled_back_to) {
            ("applied", None) => Some(Self::Applied),
            ("revoked", None) => Some(Self::Revoked),
            ("rolled_back", Some(version)) => Some(Self::RolledBack(version)),
            _ => None,
        }
    }
}
