//! What of a worker is not there, or cannot have come from it; and its end.

use serde::{Deserialize, Serialize};

use super::Source;

/// Events that had no room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Who reports it. Its number stands for all of them.
    #[serde(flatten)]
    pub source: Source,
    /// How many.
    pub events: u64,
}

/// Events that never came, though later ones did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first of them.
    #[serde(flatten)]
    pub source: Source,
    /// How many.
    pub events: u64,
}

/// A number of a worker that came again with something else than is in the trail, or after
/// a record had said that it never came. What came was refused. There is at most one such
/// record of each instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Which worker, as whoever was refused said, and the first such number.
    #[serde(flatten)]
    pub source: Source,
    /// The node registration by whose credential it came.
    pub registration: String,
}

/// A worker that is gone. What it had not sent is lost: everything from `number` on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Who is gone, and the number that would have come next.
    #[serde(flatten)]
    pub source: Source,
    /// How many of its requests had not ended; each is escalated.
    pub unended: u64,
}

/// A worker that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Who has ended, and the number that would have come next.
    #[serde(flatten)]
    pub source: Source,
}
