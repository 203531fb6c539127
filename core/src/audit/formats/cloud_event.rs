//! Records as CloudEvents 1.0, in the JSON event format, one a line.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{NoRecord, members, subject};

/// What stands before the type of a record.
const TYPE: &str = "kya.audit.";

#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    time: &'a Value,
    /// The extension "Recorded Time".
    recordedtime: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    datacontenttype: &'static str,
    data: &'a Map<String, Value>,
}

/// The event that a record is, by its JSON, without a line break. `origin` is the name of
/// the trail; with the number of the record it names the event.
pub fn cloud_event(record: &str, origin: &str) -> Result<String, NoRecord> {
    let members = members(record)?;
    let member = |name: &str| members.get(name).ok_or(NoRecord);
    let kind = member("type")?.as_str().ok_or(NoRecord)?;
    let event = Event {
        specversion: "1.0",
        id: member("seq")?.to_string(),
        source: source(origin),
        kind: format!("{TYPE}{kind}"),
        time: member("time")?,
        recordedtime: member("recorded")?,
        subject: subject(&members).filter(|it| !it.is_empty()),
        datacontenttype: "application/json",
        data: &members,
    };
    serde_json::to_string(&event).map_err(|_| NoRecord)
}

/// The name of the trail as a URI reference (RFC 3986 section 4.2) without a scheme, as the
/// name itself is written.
fn source(origin: &str) -> String {
    use std::fmt::Write;

    let mut uri = String::from("//");
    for byte in origin.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:@!$&'()*,;=".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}
