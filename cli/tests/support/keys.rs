//! The keys that sign, as the API gives them.

use serde_json::{Value, json};

use super::{Fake, KEY};

const OLD_KEY: &str = "ed25519:MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";

/// The keys in this phase; the last step has this revision.
pub fn keys(phase: &str, revision: u64) -> Value {
    let key =
        |role, key| json!({ "key_id": format!("id-{role}"), "public_key": key, "role": role });
    let keys = match phase {
        "announced" => json!([key("active", OLD_KEY), key("next", KEY)]),
        "activated" => json!([key("previous", OLD_KEY), key("active", KEY)]),
        _ => json!([key("active", KEY)]),
    };
    let step = json!({
        "action": phase, "key_id": "id", "serial": 7, "actor": "admin", "reason": "r\u{1b}",
        "incident_id": null, "revision": revision, "committed_at": "2026-02-05T14:47:23.891Z",
    });
    json!({
        "phase": phase, "keys": keys, "serial": 7,
        "chain": { "length": 2, "most": 16 }, "steps": [step],
    })
}

/// The answer to a step with them.
pub fn key_change(phase: &str, revision: u64) -> Value {
    let mut change = keys(phase, revision);
    change["changed"] = json!(true);
    change["revision"] = json!(revision);
    change["committed_at"] = json!("2026-02-05T14:47:23.891Z");
    change
}

/// Has the keys in this phase, and takes every step from there, acknowledged so.
pub fn script_rotation(fake: &Fake, phase: &str, acks: &Value) {
    fake.on("GET /v1/keys", 200, &keys(phase, 40));
    for (line, phase, revision) in
        [("announce", "announced", 41), ("activate", "activated", 42), ("retire", "steady", 43)]
    {
        fake.on(&format!("POST /v1/keys/{line}"), 200, &key_change(phase, revision));
    }
    for revision in 40..=43 {
        fake.on(&format!("GET /v1/revisions/{revision}/acknowledgements"), 200, acks);
    }
}
