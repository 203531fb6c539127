//! What a proxy reports, read and checked: from [`wire::AuditBatch`] to events.
//!
//! [`Batch::read`] is the only way to a [`Batch`]. Whoever reports is a known proxy, but
//! what it says is put into a trail that others read, so every field has its bounds, and
//! whatever is out of them makes the batch unreadable, with the number of the event and
//! the name of the field in the error. Nothing is cut to fit.

mod read;

use thiserror::Error;

use super::{Disposition, Timestamp, Verdict};
use crate::action::ActionName;
use crate::authority::PolicyUsed;
use crate::ids::{AgentId, CapabilityId, PrincipalId};
use crate::standing::InFlight;
use crate::table::Fingerprint;
use crate::update::Position;

/// Version of the protocol that batches are of.
pub const PROTOCOL_VERSION: u32 = 1;
/// Most events of one batch.
pub const MAX_EVENTS: usize = 1024;
/// Longest events of one batch together, encoded, in bytes.
pub const MAX_EVENTS_BYTES: usize = 512 * 1024;
/// Longest batch, encoded, in bytes: its events and what surrounds them.
pub const MAX_BATCH_BYTES: usize = MAX_EVENTS_BYTES + 16 * 1024;
/// Longest name of a node or a service, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// Longest name of a reason, in bytes.
pub const MAX_REASON_BYTES: usize = 64;
/// Longest method, in bytes.
pub const MAX_METHOD_BYTES: usize = 32;
/// Longest path template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = crate::action::MAX_ROUTE_BYTES;
/// Longest request id, in bytes.
pub const MAX_REQUEST_ID_BYTES: usize = 64;
/// The reason of a request that passed because its path is exempt.
pub const EXEMPT: &str = "exempt";
/// First number that there cannot be: every JSON parser reads those below it alike
/// (RFC 8785 section 3.2.2.3).
pub const NUMBER_END: u64 = 1 << 53;

/// What one worker has reported at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Envoy's `node.id`, 1 to 256 bytes without control characters.
    pub node: String,
    /// Slot of the worker within its proxy; the greatest number if it has none.
    pub slot: u32,
    /// Random identity of the VM.
    pub instance: u64,
    /// The service that the proxy guards, if it has a name.
    pub service: Option<String>,
    /// Number of the first event, or of the event that will come next where there is
    /// none. From 1.
    pub first: u64,
    /// The events, numbered without a gap.
    pub events: Vec<Event>,
    /// How far the proxy's wall clock is ahead of the control plane's, in milliseconds.
    pub clock_ahead_millis: i64,
    /// Nothing follows from this instance.
    pub last: bool,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Number among those of its instance, from 1.
    pub number: u64,
    /// When it happened, by the proxy's wall clock.
    pub time: Timestamp,
    /// What happened.
    pub happened: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A request was decided.
    Decision(Box<Decision>),
    /// A request ended whose decision was reported before.
    End {
        /// Number of its decision; lower than that of this event.
        decision: u64,
        /// How it ended.
        end: End,
    },
    /// The worker has applied a state that may stop somebody.
    Applied(Applied),
    /// A request in flight that such a state concerns.
    InFlight {
        /// The state.
        position: Position,
        /// Number of its decision; lower than that of this event.
        decision: u64,
        /// Whether it is ended or may end by itself.
        ending: InFlight,
    },
    /// So many events had no room.
    Dropped(u64),
}

/// One request, when it was decided. What is not known is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What was answered.
    pub verdict: Verdict,
    /// The name of the reason to deny, or [`EXEMPT`]: there unless it was allowed.
    pub reason: Option<String>,
    /// Whose request it was: there if it was allowed.
    pub agent: Option<AgentId>,
    /// On whose behalf the agent acts.
    pub principal: Option<PrincipalId>,
    /// What it presented.
    pub token: Option<Token>,
    /// What it would do.
    pub action: Option<ActionName>,
    /// Its method, an HTTP `token` of at most 32 bytes.
    pub method: Option<String>,
    /// The path template of the action, 1 to 1024 printable bytes.
    pub template: Option<String>,
    /// The holder's policy.
    pub policy: Option<PolicyUsed>,
    /// The state by which was decided: there if it was allowed.
    pub position: Option<Position>,
    /// How old that state was, in milliseconds; `None` if nothing was ever verified.
    pub state_age_millis: Option<u64>,
    /// `x-request-id`, 1 to 64 visible ASCII characters.
    pub request_id: Option<String>,
    /// W3C trace context.
    pub trace: Option<Trace>,
    /// How it ended, where that was known when it was reported.
    pub end: Option<End>,
}

/// Which token a request presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// An opaque one.
    Opaque(Fingerprint),
    /// A capability token.
    Capability(CapabilityId),
}

/// The ids of a `traceparent`; neither is all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub id: [u8; 16],
    /// The span that the request came from.
    pub parent: [u8; 8],
}

/// What became of a request that had gone on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// What became of it; escalated where nobody said.
    pub disposition: Disposition,
    /// Status of the upstream's response, 100 to 999, if one was seen.
    pub status: Option<u32>,
    /// From the decision to the end.
    pub duration_micros: u64,
    /// By which state the gate ended it, if it did.
    pub cut: Option<Position>,
    /// Its body.
    pub body: Body,
}

/// The body of a request, as far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// It was not looked at.
    NotHashed,
    /// There was none.
    None,
    /// All of it was hashed.
    Whole(Hashed),
    /// Its beginning was hashed: more did not come, or was not read.
    Truncated(Hashed),
}

/// A hash and what it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// SHA-256.
    pub sha256: [u8; 32],
    /// How many bytes it is of.
    pub bytes: u64,
}

/// From this event on, the worker decides by this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The state.
    pub position: Position,
    /// How many requests in flight it concerns; each follows.
    pub in_flight: u32,
    /// How many requests it may concern besides, at most: the worker does not keep track
    /// of them, or had no room to say it.
    pub untracked: u64,
}

/// Why a batch cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchError {
    /// It is longer than [`MAX_BATCH_BYTES`].
    #[error("the batch has {0} bytes: at most {MAX_BATCH_BYTES} are possible")]
    TooLong(usize),
    /// It is not an encoded `AuditBatch`.
    #[error("not an AuditBatch: {0}")]
    NotABatch(String),
    /// It is of another version of the protocol.
    #[error("of version {0} of the protocol, not {PROTOCOL_VERSION}")]
    Version(u32),
    /// A field of the batch is wrong.
    #[error("{field} {wrong}")]
    Batch {
        /// Its name in audit.proto.
        field: &'static str,
        /// What is wrong with it.
        wrong: Wrong,
    },
    /// A field of one event is wrong.
    #[error("event {number}: {field} {wrong}")]
    Event {
        /// Number of the event.
        number: u64,
        /// Name of the field in audit.proto, with those that it is in.
        field: &'static str,
        /// What is wrong with it.
        wrong: Wrong,
    },
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Wrong {
    /// It is empty, or left out.
    #[error("is missing")]
    Missing,
    /// It is there where nothing may be.
    #[error("is there, and must not be")]
    Unwanted,
    /// It is a number that stands for nothing.
    #[error("is {0}, which is not known")]
    Unknown(i32),
    /// It has another number of bytes than it must have.
    #[error("has {bytes} bytes instead of {must}")]
    Length {
        /// How many it has.
        bytes: usize,
        /// How many it must have.
        must: usize,
    },
    /// It is too long, or there are too many.
    #[error("has {has}: at most {most} are possible")]
    TooMany {
        /// How many there are.
        has: usize,
        /// How many there may be.
        most: usize,
    },
    /// It is out of its range.
    #[error("is {has}: from {from} to {to} are possible")]
    Range {
        /// What it is.
        has: u64,
        /// The least that it may be.
        from: u64,
        /// The greatest that it may be.
        to: u64,
    },
    /// It has a character that it cannot have.
    #[error("has a character that it cannot have")]
    Character,
    /// It is all zeros.
    #[error("is all zeros")]
    Zeros,
}

#[cfg(test)]
#[path = "event/tests.rs"]
mod tests;
