//! What is above and beside agents, and what stops it, as the API gives it.

use serde_json::{Value, json};

use super::*;

pub fn principal(status: &str) -> Value {
    json!({
        "principal_id": "prn_01JXMK9P2Q3R4S5T6V7W8X9Y0Z",
        "name": ALICE,
        "created_at": "2026-02-05T14:00:00.000Z",
        "status": status,
        "in_flight": null,
        "revoked_at": (status == "revoked").then_some("2026-02-05T14:47:23.891Z"),
        "status_changed_at": "2026-02-05T14:47:23.891Z",
        "status_reason": "she_left",
        "incident_id": null,
        "revision": 42,
    })
}

pub fn principal_change(status: &str, changed: bool) -> Value {
    committed(changed, json!({ "principal": principal(status), "reach": reach(3, 5) }))
}

pub fn capability(action: &str, status: &str) -> Value {
    json!({
        "agent_id": AGENT,
        "action": action,
        "status": status,
        "in_flight": null,
        "status_changed_at": "2026-02-05T14:47:23.891Z",
        "status_reason": "refund_loop",
        "incident_id": null,
        "revision": 42,
    })
}

/// Of `issue_refund`, where these other actions are known as active.
pub fn capability_change(status: &str, changed: bool, active: &[&str]) -> Value {
    let capability = capability("issue_refund", status);
    committed(changed, json!({ "capability": capability, "active": active }))
}

pub fn fleet_change(status: &str, changed: bool) -> Value {
    committed(changed, json!({ "fleet": { "status": status }, "reach": reach(12, 30) }))
}

/// Of three agents, beside which so many already were so.
pub fn selection_change(status: &str, unchanged: u64) -> Value {
    committed(
        true,
        json!({
            "selector": "env=staging", "status": status, "agents": 3, "unchanged": unchanged,
            "revisions": 1,
        }),
    )
}

/// Of the restoration of the agent, as oncall-anna asked.
pub fn approval(status: &str) -> Value {
    let settled = status != "pending";
    json!({
        "approval_id": APPROVAL,
        "status": status,
        "restores": "agent",
        "agent_id": AGENT,
        "action": null,
        "principal_id": null,
        "asked_by": "oncall-anna",
        "asked_at": "2026-02-05T14:47:00.000Z",
        "expires_at": "2026-02-05T15:02:00.000Z",
        "reason": "false_alarm",
        "incident_id": null,
        "settled_by": settled.then_some("boss"),
        "settled_at": settled.then_some("2026-02-05T14:47:23.891Z"),
    })
}

pub fn approval_change(changed: bool) -> Value {
    committed(changed, json!({ "approval": approval("approved") }))
}
