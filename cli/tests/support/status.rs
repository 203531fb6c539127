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
            "armed": 2, "stale": 0, "unknown": 0, "left": 0, "streams": 2, "pulls": 0, "workers": 4,
            "most_behind": 0, "slowest": null, "not_armed": [], "more": 0,
        },
        "servers": [{
            "name": "cp-1:/var/lib/kya", "version": "0.1.0",
            "started_at": "2026-02-05T08:00:00.000Z", "seen_at": "2026-02-05T14:47:59.000Z",
            "here": true, "live": true, "publishes": true, "published": 42,
            "signs_audit": true, "proxies": 2,
        }],
        "certificates": [{
            "listener": "http", "expires_at": "2026-03-05T00:00:00.000Z", "days_left": 27,
        }],
        "last_kill": {
            "kill_id": KILL, "act": "agent.revoked", "subject": AGENT,
            "at": "2026-02-05T14:47:23.891Z", "recorded": true, "complete": true,
            "receipt_complete": true,
            "workers_there": 4, "acknowledged": 4, "last_acknowledged_after_ms": 3.124,
            "laggards": [],
        },
        "last_drill": {
            "drill_id": "drl_01JXMK9P2Q3R4S5T6V7W8X9Y0Z", "state": "passed",
            "ended_at": "2026-02-05T09:00:00.000Z", "last_rejection_p99_ms": 41.2,
        },
        "audit": {
            "origin": "kya.test/audit", "size": 17, "checkpoint_size": 17,
            "checkpoint_at": "2026-02-05T14:47:24.000Z", "acts_waiting": 0, "signs_here": true,
        },
    })
}
