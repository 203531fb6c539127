//! Tokens and their keys, as the API gives them.

use serde_json::{Value, json};

use super::*;

pub fn token(status: &str) -> Value {
    json!({
        "token_id": TOKEN_ID,
        "agent_id": AGENT,
        "status": status,
        "issued_at": "2026-02-05T14:00:00.000Z",
        "expires_at": "2026-02-06T14:00:00.000Z",
        "revoked_at": (status == "revoked").then_some("2026-02-05T14:47:23.891Z"),
        "revision": 42,
    })
}

pub fn token_change(changed: bool) -> Value {
    let mut change = change("revoked", changed);
    let fields = change.as_object_mut().unwrap();
    fields.remove("agent");
    fields.insert("token".into(), token("revoked"));
    change
}

/// A capability token by its name.
pub fn capability_token(status: &str) -> Value {
    let mut record = token(status);
    record["token_id"] = json!(CAP);
    record["services"] = json!(["shop"]);
    record["actions"] = json!(["pay", "read"]);
    record
}

/// The issuer of capability tokens, with one key of this status.
pub fn issuer(status: &str) -> Value {
    json!({
        "issuer": "https://kya.example", "max_lifetime_seconds": 3600, "revision": 42,
        "keys": [{
            "public_key": KEY, "kid": "a-thumbprint", "status": status,
            "published_at": "2026-02-05T14:00:00.000Z",
            "activated_at": (status != "published").then_some("2026-02-05T14:10:00.000Z"),
            "retired_at": (status == "retired").then_some("2026-02-05T15:00:00.000Z"),
        }],
    })
}

/// The answer to a step that made the key so.
pub fn token_key_step(status: &str) -> Value {
    json!({
        "issuer": issuer(status), "changed": true, "revision": 42,
        "committed_at": "2026-02-05T14:47:23.891Z", "committed_unix_ms": 1_770_302_843_891.123,
    })
}

/// The answer to a revocation of the tokens that `selection` names: of so many, or by one
/// record of all.
pub fn tokens_change(selection: &Value, tokens: Option<u64>) -> Value {
    let until = tokens.is_none().then_some("2026-02-05T14:47:23.000Z");
    let mut change = committed(
        true,
        json!({
            "agent_id": null, "selector": null, "service": null, "action": null,
            "tokens": tokens, "tokens_not_before": until, "revisions": 1,
        }),
    );
    change.as_object_mut().unwrap().extend(selection.as_object().unwrap().clone());
    change
}
