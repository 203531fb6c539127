//! A control plane that says what the test tells it to, and `kya` as a
//! process.

#![allow(unreachable_pub, reason = "reached from nowhere but the tests beside it")]

pub mod browser;
mod fake;
mod keys;
mod kills;
mod process;
mod proxies;
mod real;
mod status;
mod stops;
pub mod tls;
mod tokens;
pub mod trail;
mod willing;

use serde_json::{Value, json};

pub use fake::*;
pub use keys::*;
pub use kills::*;
pub use process::*;
pub use proxies::*;
pub use real::*;
pub use status::*;
pub use stops::*;
pub use tokens::*;
pub use willing::*;

pub const AGENT: &str = "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
pub const ALICE: &str = "alice@example.com";
pub const TOKEN_ID: &str = "tok_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
pub const APPROVAL: &str = "apr_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
pub const CAP: &str = "cap_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
pub const KEY: &str = "ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
pub const ADMIN_KEY: &str = "an-admin-key-of-a-test";

pub fn problem(status: u16, code: &str, detail: &str) -> Value {
    json!({
        "type": format!("urn:kya:problem:{code}"),
        "title": "A problem",
        "status": status,
        "detail": detail,
        "code": code,
    })
}

pub fn agent(status: &str) -> Value {
    let revoked = status == "revoked";
    json!({
        "agent_id": AGENT,
        "name": "billing-agent",
        "status": status,
        "public_key": KEY,
        "principal_id": null,
        "owner": null,
        "owner_status": null,
        "labels": {},
        "expires_at": null,
        "policy_id": null,
        "created_at": "2026-02-05T14:00:00.000Z",
        "revoked_at": revoked.then_some("2026-02-05T14:47:23.891Z"),
        "status_changed_at": "2026-02-05T14:47:23.891Z",
        "status_actor": "oncall-anna",
        "status_reason": "prompt_injection_suspected",
        "incident_id": "INC-2026-0205-001",
        "revision": 42,
    })
}

/// The answer to a change that made an agent's status what it is.
pub fn change(status: &str, changed: bool) -> Value {
    json!({
        "agent": agent(status),
        "changed": changed,
        "revision": 42,
        "committed_at": "2026-02-05T14:47:23.891Z",
        "committed_unix_ms": 1_770_302_843_891.123,
    })
}

/// What was committed, with what is changed in `fields`.
fn committed(changed: bool, fields: Value) -> Value {
    let mut change = json!({
        "changed": changed,
        "revision": 42,
        "committed_at": "2026-02-05T14:47:23.891Z",
        "committed_unix_ms": 1_770_302_843_891.123,
    });
    change.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    change
}

pub fn reach(agents: u64, tokens: u64) -> Value {
    json!({ "agents": agents, "tokens": tokens })
}
