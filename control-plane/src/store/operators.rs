//! The records of operators.

use kya_core::{OperatorKeyDigest, UnixSeconds};

use crate::operators::{OperatorName, Role};
use crate::time::UnixMicros;

/// Somebody, or something, that may use the HTTP API; without its key. The built-in
/// operator `admin` has no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRecord {
    /// What it is called, for ever: no other operator gets the name.
    pub name: OperatorName,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of its key.
    pub digest: OperatorKeyDigest,
    /// When it was added.
    pub created_at: UnixMicros,
    /// Name of the operator that added it.
    pub created_by: String,
    /// It is expired from this second on; never, if there is none.
    pub expires: Option<UnixSeconds>,
    /// Of one that was revoked.
    pub revoked: Option<RevokedOperator>,
}

/// By what an operator's key ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedOperator {
    /// When.
    pub at: UnixMicros,
    /// Name of the operator that did it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// The incident that it belongs to.
    pub incident_id: Option<String>,
}

/// An operator to be added.
#[derive(Debug, Clone)]
pub struct NewOperator {
    /// A name that no operator has had.
    pub name: OperatorName,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of its key.
    pub digest: OperatorKeyDigest,
    /// How many seconds the key counts, from now by the store's clock.
    pub ttl_seconds: Option<u64>,
}

/// What became of a change of an operator, which is no change of authority and has
/// no revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorOutcome {
    /// The operator as it is now.
    pub record: OperatorRecord,
    /// False when it already was as asked, and nothing was written.
    pub changed: bool,
}

impl OperatorRecord {
    /// True from the second on at which its key ends by itself.
    pub fn is_expired(&self, now: UnixMicros) -> bool {
        self.expires.is_some_and(|expires| expires <= now.seconds())
    }
}
