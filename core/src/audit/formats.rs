//! Records of the trail as spreadsheets and other systems read them: CSV and CloudEvents.
//!
//! These are for reading. They cannot be verified: what is hashed is a record's canonical
//! JSON, which only an export in JSON Lines holds.

mod cloud_event;
mod csv;

use serde_json::{Map, Value};
use thiserror::Error;

pub use cloud_event::cloud_event;
pub use csv::{CSV_COLUMNS, csv_header, csv_row};

/// A text is not the JSON of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not the JSON of a record: an object with `seq`, `time`, `recorded` and `type`")]
pub struct NoRecord;

/// The members of a record, whatever its type is: one that is newer than this program is
/// shown too.
fn members(record: &str) -> Result<Map<String, Value>, NoRecord> {
    let members: Map<String, Value> = serde_json::from_str(record).map_err(|_| NoRecord)?;
    let text = |name: &str| members.get(name).is_some_and(Value::is_string);
    let whole = members.get("seq").is_some_and(Value::is_u64);
    (whole && text("time") && text("recorded") && text("type")).then_some(members).ok_or(NoRecord)
}

/// The agent that it is about, or else whom or what something was done to.
fn subject(members: &Map<String, Value>) -> Option<&str> {
    ["agent_id", "subject"].iter().find_map(|name| members.get(*name)?.as_str())
}

#[cfg(test)]
#[path = "formats_tests.rs"]
mod tests;
