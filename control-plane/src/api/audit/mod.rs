//! The audit trail over HTTP: what workers report, and what operators read.

mod asked;
mod export;
mod keys;
mod proofs;
mod records;
mod report;
mod stream;
mod tail;

pub(super) use export::{ARCHIVE_TIMEOUT, archive, export, export_turn};
pub(super) use keys::{activate, announce, keys, recover, rotate};
pub(super) use proofs::{checkpoint, consistency, inclusion};
pub(super) use records::{list, show};
pub(super) use report::report;
pub(super) use tail::tail;
