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
        "drills": {
            "schedules": 2, "paused": 1, "overdue": [],
            "next": { "schedule": "canary", "at": "2026-02-05T14:50:00.000Z" },
            "last_passed_at": "2026-02-05T14:45:02.317Z",
        },
    })
}

/// A schedule of drills, as the API gives it.
pub fn schedule(state: &str) -> Value {
    let paused = state == "paused";
    let time = "2026-02-05T14:50:00.000Z";
    json!({
        "name": "canary", "state": state, "cron": null, "time_zone": null, "every_s": 300,
        "window_s": 300,
        "drill": {
            "parties": [{ "name": "payments", "url": "http://127.0.0.1:9/" }], "samples": 1,
            "rate": 1000, "act": "suspend", "selector": "env!=prod", "agent_id": null,
            "p99_ms": 1000,
        },
        "created_at": time, "created_by": "oncall",
        "paused_at": if paused { json!(time) } else { json!(null) },
        "paused_by": if paused { json!("oncall") } else { json!(null) },
        "next": if paused { json!([]) } else { json!([time]) },
        "last_passed_at": "2026-02-05T14:45:02.317Z", "overdue_since": null,
        "last_run": {
            "due_at": "2026-02-05T14:45:00.000Z", "at": "2026-02-05T14:45:00.512Z",
            "outcome": "passed", "drill_id": "drl_01JXMK9P2Q3R4S5T6V7W8X9Y0Z", "why": null,
        },
    })
}
