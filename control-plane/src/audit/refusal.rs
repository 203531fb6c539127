//! Why what a worker reports is not taken.

use kya_core::Position;

use super::writer::NotAppended;

/// Most workers of one node that are taken to be there at a time: as many as a proxy may
/// name in a `WorkerReport`.
pub const MAX_WORKERS: u64 = 128;

/// Why a batch is not in the trail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It could not be appended now.
    #[error(transparent)]
    NotAppended(#[from] NotAppended),
    /// The node has as many workers as it may have.
    #[error(
        "{MAX_WORKERS} workers of node {node} are there already. One more is taken when one of them has ended, or was seen by no server for a minute. If this proxy has not that many, somebody else reports in its name: revoke its node registration, and register it anew"
    )]
    TooManyWorkers {
        /// Which node.
        node: String,
    },
    /// It says that a worker has applied what has not happened yet.
    #[error(
        "event {number}: position {}/{} is beyond the newest change, {}/{}", .said.epoch, .said.revision.0, .newest.epoch, .newest.revision.0
    )]
    Ahead {
        /// Number of the event.
        number: u64,
        /// What it says.
        said: Position,
        /// The newest there is.
        newest: Position,
    },
    /// The worker reported by another registration before.
    #[error(
        "this worker has reported by another node registration than {registration}: a worker with another credential is another instance"
    )]
    OtherRegistration {
        /// The one by which it reports now.
        registration: String,
    },
    /// A number is taken by another event.
    #[error(
        "event {number} is in the trail and says something else: somebody else reports as this worker. The trail says so, too. Revoke the node registration, register the proxy anew, and restart it"
    )]
    Conflict {
        /// The first such number.
        number: u64,
    },
}
