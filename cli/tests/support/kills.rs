//! What a server says of kills.

use serde_json::{Value, json};

use super::AGENT;

pub const KILL: &str = "kil_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";

pub fn a_kill() -> Value {
    json!({
        "kill_id": KILL,
        "act": "agent.revoked",
        "subject": AGENT,
        "in_flight": "abort",
        "at": "2026-02-05T14:47:23.891Z",
        "epoch": 1,
        "revision": 42,
        "event": 77,
        "actor": "oncall-anna",
        "role": "operator",
        "address": "192.0.2.7",
        "reason": "leak",
        "incident_id": null,
    })
}

pub fn kill_worker(state: &str, requests: &Value) -> Value {
    let applied = state != "waiting";
    json!({
        "proxy": "web-1",
        "worker": 0,
        "instance": "0000000000000009",
        "state": state,
        "acknowledged_at": applied.then_some("2026-02-05T14:47:23.900Z"),
        "applied_at": applied.then_some("2026-02-05T14:47:23.899Z"),
        "applied_number": applied.then_some(7),
        "applied_seq": applied.then_some(100),
        "requests": requests,
        "more_requests": 0,
        "missing": 0,
        "untracked": 0,
    })
}

pub fn kill_report(complete: bool, workers: &[Value]) -> Value {
    let waiting = workers.iter().filter(|worker| worker["state"] == "waiting").count();
    let laggards: Vec<_> = (0..waiting).map(|_| "web-1/0000000000000009").collect();
    json!({
        "kill": a_kill(),
        "state": if complete { "closed" } else { "open" },
        "complete": complete,
        "summary": "As it is.",
        "workers_there": workers.len(),
        "acknowledged": workers.len() - waiting,
        "laggards": laggards,
        "in_flight":
            { "requests": 0, "committed": 0, "rolled_back": 0, "escalated": 0, "open": 0 },
        "workers": workers,
        "unknown": laggards,
        "rows": [
            { "seq": 12, "record": { "type": "kill_activated", "act": "agent.revoked",
                                     "actor": "oncall-anna", "reason": "leak" } },
            { "seq": 13, "record": { "type": "kill_scope", "agents": 2, "tokens": 3,
                                     "capability_tokens": 1 } },
        ],
    })
}
