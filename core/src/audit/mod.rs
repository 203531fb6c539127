//! The audit trail: what its records say.
//!
//! A [`Record`] is one line of the trail. What a proxy reports travels as
//! [`AuditBatch`](crate::wire::AuditBatch), is read and checked as an [`event::Batch`], and
//! becomes records in the control plane; so does what operators do.
//!
//! What is kept and hashed of a record is its [`Canonical`] bytes. They make up a chain
//! ([`ChainHash`]) and the leaves of a [Merkle tree](merkle); a [`Checkpoint`] signs both
//! heads.

mod canonical;
mod chain;
pub mod check_kills;
mod checkpoint;
pub mod event;
pub mod export;
mod filter;
pub mod formats;
pub(crate) mod hex;
mod key_change;
pub mod merkle;
mod note;
mod receipt;
mod record;
mod timestamp;
pub mod verify;

pub use canonical::{Canonical, CanonicalError, Draft, MAX_RECORD_BYTES, NotCanonical, Outline};
pub use chain::{BadHash, ChainHash};
pub use checkpoint::{BadCheckpoint, Checkpoint, SignedCheckpoint};
pub use filter::{Filter, RECORD_TYPES};
pub use key_change::{BadKeyChange, KeyChange, KeyStep};
pub use note::{
    BadNote, BadVerifierKey, MAX_NOTE_BYTES, MAX_SIGNATURES, Note, NoteKeyId, VerifierKey,
};
pub use receipt::{
    BadReceipt, MAX_RECEIPT_BYTES, Receipt, ReceiptFlights, ReceiptProxy, ReceiptWorker,
    SignedReceipt, Unsigned,
};
pub use record::{
    Activated, Administered, Applied, Archived, BodyHash, Closed, Completed, Concerned, Conflict,
    Decided, Disposition, Dropped, Ended, Entry, FlightEnd, Gap, KeyNamed, Lost, Payload, Record,
    Restored, Scope, Source, Verdict,
};
pub use timestamp::{BadTimestamp, Timestamp};
