//! Records as CSV (RFC 4180), one a line.

use serde_json::{Map, Value};

use super::{NoRecord, members};

/// The columns. What a record has besides is in the last one, as JSON.
pub const CSV_COLUMNS: [&str; 40] = [
    "seq",
    "time",
    "recorded",
    "type",
    "decision",
    "reason",
    "agent_id",
    "principal_id",
    "token_id",
    "service",
    "action",
    "method",
    "path_template",
    "policy_id",
    "policy_version",
    "epoch",
    "revision",
    "state_age_ms",
    "request_id",
    "trace_id",
    "disposition",
    "upstream_status",
    "duration_us",
    "cut_by_revision",
    "payload_hashed",
    "payload_sha256",
    "payload_bytes",
    "proxy",
    "worker",
    "instance",
    "number",
    "decision_number",
    "actor",
    "role",
    "address",
    "act",
    "subject",
    "kill_id",
    "incident_id",
    "other",
];

/// The first line, with its line break.
pub fn csv_header() -> String {
    format!("{}\r\n", CSV_COLUMNS.join(","))
}

/// The line of a record, by its JSON, with its line break. What a spreadsheet would take
/// for a formula stands behind an apostrophe (OWASP, "CSV Injection").
pub fn csv_row(record: &str) -> Result<String, NoRecord> {
    let mut members = members(record)?;
    flatten(&mut members);
    let mut row = String::with_capacity(record.len());
    for column in CSV_COLUMNS.iter().filter(|it| **it != "other") {
        if let Some(value) = members.remove(*column) {
            cell(&mut row, &text(value));
        }
        row.push(',');
    }
    if !members.is_empty() {
        cell(&mut row, &Value::Object(members).to_string());
    }
    row.push_str("\r\n");
    Ok(row)
}

/// Takes the members of `end` and of its `payload` out of them.
fn flatten(members: &mut Map<String, Value>) {
    let Some(Value::Object(mut end)) = members.remove("end") else { return };
    if let Some(Value::Object(payload)) = end.remove("payload") {
        members.extend(payload.into_iter().map(|(name, it)| (format!("payload_{name}"), it)));
    }
    members.extend(end);
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Writes one cell, quoted where that is needed.
fn cell(row: &mut String, text: &str) {
    // The wide forms are read as the plain ones by some spreadsheets.
    let formula = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    let guarded = text.starts_with(formula);
    let quoted = guarded || text.contains([',', '"', '\r', '\n', ';', '\t', '\'']);
    if quoted {
        row.push('"');
    }
    if guarded {
        row.push('\'');
    }
    for character in text.chars() {
        if character == '"' {
            row.push('"');
        }
        row.push(character);
    }
    if quoted {
        row.push('"');
    }
}
