//! The audit trail.

use kya_core::audit::merkle::NodeHash;
use kya_core::audit::{ChainHash, VerifierKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A record and its hash in the chain, as in a line of an export.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RecordedLine {
    pub(crate) hash: ChainHash,
    pub(crate) record: Value,
}

/// `GET /v1/audit/records`.
#[derive(Debug, Deserialize)]
pub(crate) struct AuditRecords {
    pub(crate) records: Vec<RecordedLine>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<u64>,
}

/// `GET /v1/audit/checkpoint`.
#[derive(Debug, Deserialize)]
pub(crate) struct LatestCheckpoint {
    /// The signed note.
    pub(crate) note: String,
}

/// `GET /v1/audit/keys`: the first one first.
#[derive(Debug, Deserialize)]
pub(crate) struct AuditKeys {
    pub(crate) keys: Vec<AuditKey>,
    /// The one that is to sign next.
    pub(crate) announced: Option<AuditKey>,
}

/// `POST /v1/audit/keys/{step}`.
#[derive(Debug, Serialize)]
pub(crate) struct AuditKeyStep<'a> {
    /// The id of the key that is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<&'a str>,
    pub(crate) reason: &'a str,
}

/// `POST /v1/audit/archive`.
#[derive(Debug, Serialize)]
pub(crate) struct Segment<'a> {
    pub(crate) last: u64,
    pub(crate) sha256: &'a str,
}

/// What was archived.
#[derive(Debug, Deserialize)]
pub(crate) struct Sealed {
    /// The record that says so.
    pub(crate) seq: u64,
}

/// A key that signs checkpoints, or did.
#[derive(Debug, Deserialize)]
pub(crate) struct AuditKey {
    /// The record that names it.
    pub(crate) seq: u64,
    pub(crate) verifier_key: VerifierKey,
}

/// `GET /v1/audit/proofs/inclusion` and `consistency`.
#[derive(Debug, Deserialize)]
pub(crate) struct Inclusion {
    pub(crate) hashes: Vec<NodeHash>,
}
