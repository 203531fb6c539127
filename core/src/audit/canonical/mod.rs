//! The one spelling of a record: canonical JSON (RFC 8785, JCS).
//!
//! What is hashed is bytes, and JSON has many spellings of one value. [`Canonical`] holds
//! the one that RFC 8785 names: members in the order of their names' UTF-16 code units,
//! no white space, the shortest escapes, numbers as ECMAScript writes them.

mod decision;
mod draft;
mod number;
mod outline;
mod write;

use std::fmt;

use serde::Serialize;
use thiserror::Error;

pub use draft::Draft;
pub use outline::{NotCanonical, Outline};

/// Largest record, in bytes of its canonical form.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;

/// The canonical bytes of one record: UTF-8, one line, at most [`MAX_RECORD_BYTES`].
#[derive(Clone, PartialEq, Eq)]
pub struct Canonical(String);

/// Why a value has no canonical form.
#[derive(Debug, Error)]
pub enum CanonicalError {
    /// It says something that JSON, or every parser of it, cannot hold: a number of
    /// 2^53 or more, a name that is no text, a name twice.
    #[error("no canonical JSON: {0}")]
    Unwritable(serde_json::Error),
    /// It is larger than [`MAX_RECORD_BYTES`].
    #[error("{0} bytes of canonical JSON, of which at most {MAX_RECORD_BYTES} are kept")]
    TooLong(usize),
}

impl Canonical {
    /// The canonical form of `value`, which is a [`Record`](super::Record) wherever it
    /// enters the trail.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, CanonicalError> {
        let text = Self::text_of(value)?;
        if text.len() > MAX_RECORD_BYTES {
            return Err(CanonicalError::TooLong(text.len()));
        }
        Ok(Self(text))
    }

    /// The canonical form of a document that is no record, of any length.
    pub(super) fn text_of<T: Serialize + ?Sized>(value: &T) -> Result<String, CanonicalError> {
        write::to_text(value).map_err(CanonicalError::Unwritable)
    }

    /// The text, if it is canonical, and what it says of itself.
    pub fn read(text: &str) -> Result<Outline<'_>, NotCanonical> {
        outline::read(text)
    }

    /// What is hashed, and what is written into an export as it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The text, to be kept.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[path = "canonical_tests.rs"]
mod tests;
