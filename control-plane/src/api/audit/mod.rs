//! The audit trail over HTTP: what workers report, and what operators read.

mod report;

pub(super) use report::report;
