//! What an agent may do.
//!
//! A [`PolicyDocument`] is a policy as people write it; checked, it is a
//! [`Policy`], which decides. `docs/policies.md` explains every field to operators.

mod amount;
mod check;
mod compiled;
mod diff;
mod document;
mod name;
mod pattern;
#[cfg(feature = "yaml")]
mod read;
mod set;
mod span;
mod within;

pub use amount::{AmountError, Currency, Money, PerMille};
pub use check::{
    MAX_DESCRIPTION_BYTES, MAX_DOCUMENT_BYTES, MAX_PATTERNS, MAX_SERVICES, MAX_STALENESS_ENTRIES,
    PolicyProblem, PolicyProblems,
};
pub use compiled::{AutoSuspend, Policy, PolicyDenied};
pub use diff::{FieldChange, PolicyDiff, Verdict, diff};
pub use document::{AutoSuspendDocument, PolicyDocument};
pub use name::{PolicyName, PolicyNameError, PolicyReference, PolicyReferenceError, PolicyVersion};
pub use pattern::{Pattern, PatternError};
#[cfg(feature = "yaml")]
pub use read::{PolicyFormat, PolicyTextError, read};
pub use span::{Span, SpanError};
pub use within::{Excess, excess, is_within};

#[cfg(test)]
#[path = "policy_tests/mod.rs"]
mod tests;
