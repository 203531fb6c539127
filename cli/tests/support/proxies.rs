//! Proxies, operators, and what proxies have acknowledged and proved, as the API gives it.

use serde_json::{Value, json};

pub fn registration(status: &str) -> Value {
    json!({
        "name": "web-1",
        "match": "web-*",
        "status": status,
        "created_at": "2026-02-05T14:00:00.000Z",
        "expires_at": "2026-05-06T14:00:00.000Z",
        "revoked_at": (status == "revoked").then_some("2026-02-05T14:47:23.891Z"),
        "revoked_reason": null,
        "incident_id": null,
    })
}

pub fn operator(status: &str) -> Value {
    let revoked = status == "revoked";
    json!({
        "name": "oncall",
        "role": "operator",
        "status": status,
        "created_at": "2026-02-05T14:00:00.000Z",
        "created_by": "admin",
        "expires_at": "2026-05-06T14:00:00.000Z",
        "revoked_at": revoked.then_some("2026-02-05T14:47:23.891Z"),
        "revoked_by": revoked.then_some("boss"),
        "revoked_reason": null,
        "incident_id": null,
    })
}

pub const ACKS: &str = "GET /v1/revisions/42/acknowledgements";

/// Acknowledgements of two proxies of two workers each, of which these
/// `(node, slot)` are pending.
pub fn acknowledgements(pending: &[(&str, u32)]) -> Value {
    let mut nodes: Vec<_> = pending.iter().map(|(node, _)| node).collect();
    nodes.sort();
    nodes.dedup();
    let pending: Vec<_> = pending
        .iter()
        .map(|(node, slot)| json!({"node_id": node, "slot": slot, "instance": "00000000000000ff"}))
        .collect();
    json!({
        "revision": 42,
        "committed_at": "2026-02-05T14:47:23.891Z",
        "committed_unix_ms": 1_770_302_843_891.123,
        "complete": pending.is_empty(),
        "proxies": 2,
        "proxies_acknowledged": 2 - nodes.len(),
        "workers": 4,
        "workers_acknowledged": 4 - pending.len(),
        "elapsed_ms": 3.124,
        "acknowledgements": [],
        "pending": pending,
    })
}

/// Acknowledgements when no proxy is connected.
pub fn nobody() -> Value {
    let mut nobody = acknowledgements(&[]);
    for (field, value) in [
        ("complete", json!(false)),
        ("proxies", json!(0)),
        ("proxies_acknowledged", json!(0)),
        ("workers", json!(0)),
        ("workers_acknowledged", json!(0)),
        ("elapsed_ms", Value::Null),
    ] {
        nobody[field] = value;
    }
    nobody
}

/// What came of a challenge that `sidecar-a` has answered with two workers and,
/// unless that is all, `sidecar-b` with one of two.
pub fn proof(all: bool) -> Value {
    let worker = |slot: u32, after: Option<f64>| {
        json!({
            "slot": slot,
            "instance": "00000000000000ff",
            "epoch": after.map(|_| 1),
            "revision": after.map(|_| 42),
            "state_age_ms": after.map(|_| 230),
            "answered_after_ms": after,
        })
    };
    let node = |id: &str, why: Value, workers: Value| {
        json!({
            "node_id": id,
            "registration": "web-1",
            "armed": {
                "state": if why.is_null() { "armed" } else { "stale" },
                "why": why,
                "challenged_at": "2026-02-05T14:47:23.891Z",
                "answered_at": null,
            },
            "filter_version": "0.1.0",
            "configuration_hash": "0123456789abcdef".repeat(4),
            "clock_ahead_ms": 3,
            "revision": 42,
            "workers": workers,
        })
    };
    let answered = json!([worker(0, Some(1.25)), worker(1, Some(3.0))]);
    let mut nodes = vec![node("sidecar-a", Value::Null, answered)];
    if !all {
        let why = json!("worker 1 has not answered the challenge of 5.0 s ago");
        nodes.push(node("sidecar-b", why, json!([worker(0, Some(2.0)), worker(1, None)])));
    }
    json!({
        "nonce": "00ff".repeat(16),
        "challenged_at": "2026-02-05T14:47:23.891Z",
        "revision": 42,
        "epoch": 1,
        "armed": all,
        "challenged": nodes.len(),
        "left": 0,
        "nodes": nodes,
        "disconnected": [],
    })
}
