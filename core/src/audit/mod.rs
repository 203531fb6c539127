//! The audit trail: what its records say.
//!
//! A [`Record`] is one line of the trail. What a proxy reports travels as
//! [`AuditBatch`](crate::wire::AuditBatch), is read and checked as an [`event::Batch`], and
//! becomes records in the control plane; so does what operators do.

pub mod check_kills;
pub mod event;
mod record;
mod timestamp;

pub use record::{
    Activated, Administered, Applied, Archived, BodyHash, Closed, Completed, Concerned, Decided,
    Disposition, Dropped, Ended, Entry, FlightEnd, Gap, KeyNamed, Lost, Payload, Record, Restored,
    Scope, Source, Verdict,
};
pub use timestamp::{BadTimestamp, Timestamp};
