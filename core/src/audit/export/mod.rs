//! An export of the trail: a file that can be verified without the server that wrote it.
//!
//! JSON Lines, described byte for byte in `docs/audit.md`:
//!
//! 1. a [`Header`];
//! 2. each record that is shown, with its hash in the chain, in order; for each run of
//!    records that are not shown a [`Skipped`]; checkpoints, each after the record with the
//!    number that is its size;
//! 3. at the end the checkpoint that covers all of it, with the verifier keys.

mod read;
mod write;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::merkle::NodeHash;
use super::{ChainHash, MAX_RECORD_BYTES, VerifierKey};

pub use read::{BadLine, Line};
pub use write::{ExportError, ExportWriter};

/// The version of the format that is written and read here.
pub const VERSION: u32 = 1;
/// Media type of an export.
pub const MEDIA_TYPE: &str = "application/jsonl";
/// Longest line, in bytes without its line break.
pub const MAX_LINE_BYTES: usize = MAX_RECORD_BYTES + 64 * 1024;

/// The first line of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`VERSION`].
    pub version: u32,
    /// Which trail, as its checkpoints say.
    pub origin: String,
    /// The first record that the export is about. Of those before it only such are shown as
    /// name keys.
    pub first: u64,
    /// The last one, which is the size of the checkpoint at its end; one less than `first`
    /// if there is none.
    pub last: u64,
    /// Hash of the record before the first, in the chain.
    pub previous: ChainHash,
    /// By what the records that are shown were chosen, if not all of them are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
}

/// A run of records that are not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// Hashes of the full subtrees, largest possible, that the leaves of these records
    /// consist of, from left to right.
    pub cover: Vec<NodeHash>,
    /// Hash of the last of them in the chain.
    pub hash: ChainHash,
}

/// A line with a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The signed note.
    pub checkpoint: String,
    /// The verifier keys of the trail, in the last line only. They are said by whoever wrote
    /// the file, so they prove nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<VerifierKey>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    export: Header,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SkippedLine {
    skipped: Skipped,
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
