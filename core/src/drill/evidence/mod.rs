//! The evidence of a drill: one JSON document from which everything that a report of it
//! shows can be found again, and proved by a pinned key.
//!
//! It has the samples with every probe, the signed receipt of each stop, and an export of
//! the audit trail with the records of the drill; `drill` says what follows from these and
//! holds nothing of its own. `docs/drills.md` describes it for strangers.

mod check;
mod facts;
mod figures;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

pub use check::{Checked, Problem, check};
pub use facts::{Act, Facts, Head, Receipted, Restored, Stop, belongs};

use super::raw::RawSample;

/// The version of the document that is written and read here.
pub const VERSION: u32 = 1;
/// Largest document that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`VERSION`].
    pub kya_drill_report: u32,
    /// What follows from the rest: [`Facts`].
    pub drill: Value,
    /// Every sample with its probes.
    pub samples: Vec<RawSample>,
    /// The receipts of the stops, as they were signed.
    pub receipts: Vec<Value>,
    /// The lines of an export of the audit trail.
    pub export: Vec<String>,
}

/// What is no such document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadDocument {
    /// It is larger than any.
    #[error("more than {MAX_BYTES} bytes")]
    TooLong,
    /// It is not written as one is.
    #[error("not the evidence of a drill: {0}")]
    Form(String),
    /// It is of another version.
    #[error("evidence of version {0}, and only {VERSION} is read here")]
    Version(u32),
}

impl Document {
    /// Reads one that somebody shows. Nothing of it is believed by that.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(shown: &[u8]) -> Result<Self, BadDocument> {
        #[derive(Deserialize)]
        struct Peek {
            kya_drill_report: u32,
        }
        if shown.len() > MAX_BYTES {
            return Err(BadDocument::TooLong);
        }
        let form = |error: serde_json::Error| BadDocument::Form(error.to_string());
        let Peek { kya_drill_report } = serde_json::from_slice(shown).map_err(form)?;
        match kya_drill_report {
            VERSION => serde_json::from_slice(shown).map_err(form),
            other => Err(BadDocument::Version(other)),
        }
    }

    /// Its text: JSON in ASCII, a line for each sample, receipt and line of the export,
    /// without `<`, `>` and `&`, so that it can stand in a page as it is.
    ///
    /// # Errors
    /// When something in it cannot be written as JSON.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        let mut text = format!("{{\"kya_drill_report\":{},\n\"drill\":", self.kya_drill_report);
        add(&self.drill, &mut text)?;
        list("samples", &self.samples, &mut text)?;
        list("receipts", &self.receipts, &mut text)?;
        list("export", &self.export, &mut text)?;
        text.push_str("}\n");
        Ok(text)
    }
}

/// A member of an object, or null.
fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

fn list<T: Serialize>(name: &str, items: &[T], text: &mut String) -> Result<(), serde_json::Error> {
    text.push_str(",\n\"");
    text.push_str(name);
    text.push_str("\":[");
    for (n, item) in items.iter().enumerate() {
        text.push_str(if n == 0 { "\n" } else { ",\n" });
        add(item, text)?;
    }
    text.push(']');
    Ok(())
}

/// Adds a value in ASCII. The characters that are written as escapes stand only in texts.
fn add(value: &impl Serialize, text: &mut String) -> Result<(), serde_json::Error> {
    for character in serde_json::to_string(value)?.chars() {
        if character.is_ascii() && !matches!(character, '<' | '>' | '&' | '\u{7f}') {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
