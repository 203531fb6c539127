//! The state of a switch, as the API gives it.

use serde_json::{Value, json};

use super::{AGENT, KILL};

/// One with nothing wrong.
pub fn switch_status() -> Value {
    json!({
        "checked_at": "2026-02-05T14:48:00.000Z",
        "version": "0.1.0",
        "ok": true,
        "problems": [],
        "registry": {
            "revision": 42, "epoch": 1, "published": 42, "shared": true,
            "halted": false, "halted_at": null,
        },
        "proxies": {
            "armed": 2, "stale": 0, "unknown": 0, "streams": 2, "pulls": 0, "workers": 4,
            "most_behind": 0, "slowest": null, "not_armed": [], "more": 0,
        },
        "last_kill": {
            "kill_id": KILL, "act": "agent.revoked", "subject": AGENT,
            "at": "2026-02-05T14:47:23.891Z", "recorded": true, "complete": true,
            "workers_there": 4, "acknowledged": 4, "last_acknowledged_after_ms": 3.124,
            "laggards": [],
        },
        "audit": {
            "origin": "kya.test/audit", "size": 17, "checkpoint_size": 17,
            "checkpoint_at": "2026-02-05T14:47:24.000Z", "acts_waiting": 0, "signs_here": true,
        },
    })
}
