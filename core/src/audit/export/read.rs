//! Reading an export, line by line.

use thiserror::Error;

use super::{Header, HeaderLine, MAX_LINE_BYTES, Sealed, Skipped, SkippedLine, VERSION};
use crate::audit::ChainHash;

/// One line of an export.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'a> {
    /// What the export is about.
    Header(Header),
    /// A record that is shown.
    Record {
        /// What its hash in the chain is said to be.
        hash: ChainHash,
        /// Its text, which should be canonical.
        record: &'a str,
    },
    /// Records that are not shown.
    Skipped(Skipped),
    /// A checkpoint.
    Sealed(Sealed),
}

/// A line that no export has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadLine {
    /// It is of another form.
    #[error("not a line of an export")]
    Form,
    /// The export is of another version.
    #[error("an export of version {0}, and only {VERSION} is read here")]
    Version(u32),
    /// It is too long.
    #[error("a line of more than {MAX_LINE_BYTES} bytes")]
    TooLong,
}

impl<'a> Line<'a> {
    /// Reads a line, given without its line break.
    pub fn parse(line: &'a str) -> Result<Self, BadLine> {
        if line.len() > MAX_LINE_BYTES {
            return Err(BadLine::TooLong);
        }
        // Of records there are many, and they are hashed as they stand there.
        if let Some(rest) = line.strip_prefix("{\"hash\":\"") {
            return record(rest).ok_or(BadLine::Form);
        }
        let form = |_| BadLine::Form;
        if line.starts_with("{\"export\":") {
            let HeaderLine { export } = serde_json::from_str(line).map_err(form)?;
            return match export.version {
                VERSION => Ok(Self::Header(export)),
                other => Err(BadLine::Version(other)),
            };
        }
        if line.starts_with("{\"skipped\":") {
            let SkippedLine { skipped } = serde_json::from_str(line).map_err(form)?;
            return Ok(Self::Skipped(skipped));
        }
        serde_json::from_str(line).map(Self::Sealed).map_err(form)
    }
}

fn record(rest: &str) -> Option<Line<'_>> {
    let (hash, rest) = rest.split_at_checked(64)?;
    let record = rest.strip_prefix("\",\"record\":")?.strip_suffix('}')?;
    Some(Line::Record { hash: hash.parse().ok()?, record })
}
