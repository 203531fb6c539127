//! Every command, and a server that answers each of them well.

use serde_json::{Value, json};

use super::trail::Trail;
use super::*;

/// Every command, in a form that is right.
pub const COMMANDS: [&[&str]; 75] = [
    &["agent", "register", "--name", "billing-agent", "--pubkey", KEY],
    &["agent", "list", "--status", "active"],
    &["agent", "list", "--selector", "env=prod", "--owner", ALICE],
    &["agent", "show", AGENT],
    &["agent", "tree", AGENT],
    &["agent", "revoke", AGENT, "--reason", "r", "--incident-id", "INC-1"],
    &["agent", "suspend", AGENT, "--reason", "r"],
    &["agent", "restore", AGENT],
    &["agent", "restore", AGENT, "--reason", "r"],
    &["agent", "suspend", "--selector", "env=staging", "--reason", "r"],
    &["agent", "revoke", "--selector", "env=staging", "--reason", "r"],
    &["principal", "add", ALICE],
    &["principal", "list", "--status", "active"],
    &["principal", "show", ALICE],
    &["principal", "offboard", ALICE, "--reason", "r", "--incident-id", "HR-7"],
    &["principal", "suspend", ALICE, "--reason", "r"],
    &["principal", "restore", ALICE],
    &["capability", "list", "--agent", AGENT],
    &["capability", "revoke", "--agent", AGENT, "--action", "issue_refund", "--reason", "r"],
    &["capability", "suspend", "--agent", AGENT, "--action", "issue_refund", "--reason", "r"],
    &["capability", "restore", "--agent", AGENT, "--action", "issue_refund"],
    &["halt", "--all", "--reason", "r"],
    &["resume", "--yes", "--reason", "r"],
    &["approval", "list"],
    &["approval", "approve", APPROVAL],
    &["approval", "reject", APPROVAL, "--reason", "r"],
    &["token", "issue", "--agent", AGENT, "--ttl", "8h"],
    &["token", "issue", "--capability", "--agent", AGENT, "--service", "shop", "--ttl", "5m"],
    &["token", "list", "--agent", AGENT],
    &["token", "list", "--capability", "--agent", AGENT],
    &["token", "revoke", TOKEN_ID, "--reason", "r"],
    &["token", "revoke", "--agent", AGENT, "--service", "shop", "--reason", "r"],
    &["token", "revoke", CAP, "--reason", "r"],
    &["token-key", "list"],
    &["token-key", "announce"],
    &["token-key", "activate", KEY],
    &["token-key", "retire", KEY, "--reason", "r"],
    &["verify", "--agent", AGENT, "--action", "pay"],
    &["node", "add", "web-1", "--match", "web-*", "--expires-in", "90d"],
    &["node", "list"],
    &["node", "challenge"],
    &["node", "revoke", "web-1", "--reason", "r"],
    &["key", "list"],
    &["key", "rotate", "--reason", "r"],
    &["key", "announce", "--reason", "r"],
    &["key", "activate", "--reason", "r"],
    &["key", "retire", "--reason", "r", "--force"],
    &["key", "compact", "--reason", "r", "--pinned", KEY],
    &["operator", "add", "oncall", "--role", "operator", "--expires-in", "90d"],
    &["operator", "list"],
    &["operator", "revoke", "oncall", "--reason", "r"],
    &["kill", "list", "--act", "agent.revoked"],
    &["kill", "show", KILL],
    &["kill", "wait", KILL],
    &["audit", "export", "--agent", AGENT, "--since", "2h"],
    &["audit", "export", "--verify-chain"],
    &["audit", "tail", "-n", "1"],
    &["audit", "show", "1"],
    &["audit", "checkpoint"],
    &["audit", "proof", "1"],
    &["audit", "keys"],
    &["audit", "keys", "announce", "--reason", "r"],
    &["audit", "keys", "activate", "--reason", "r"],
    &["audit", "keys", "rotate", "--now", "--reason", "r"],
    &["audit", "keys", "recover", "--lost", "5b1d5c4d", "--reason", "r"],
    &["audit", "archive", "--dry-run", "--out", "segment-that-is-not-there.jsonl"],
    &["audit", "check-kills", "--since", "2h"],
    &["drill", "schedule", "add", "canary", "--every", "5m", "--probe", "http://127.0.0.1:9/"],
    &["drill", "schedule", "list"],
    &["drill", "schedule", "show", "canary"],
    &["drill", "schedule", "pause", "canary", "--reason", "r"],
    &["drill", "schedule", "resume", "canary"],
    &["drill", "schedule", "remove", "canary", "--reason", "r", "--incident-id", "INC-1"],
    &["status"],
    &["whoami"],
];

/// A server that answers every command well.
pub fn willing() -> Fake {
    let fake = Fake::start();
    fake.on("GET /v1/status", 200, &switch_status());
    fake.on("POST /v1/agents", 201, &agent("active"));
    fake.on("GET /v1/agents", 200, &json!({"agents": [agent("active")], "next": null}));
    fake.on(&format!("GET /v1/agents/{AGENT}"), 200, &agent("revoked"));
    for (action, status) in [("revoke", "revoked"), ("suspend", "suspended"), ("restore", "active")]
    {
        fake.on(&format!("POST /v1/agents/{AGENT}/{action}"), 200, &change(status, true));
    }
    for (action, status) in
        [("offboard", "revoked"), ("suspend", "suspended"), ("restore", "active")]
    {
        let path = format!("POST /v1/principals/{ALICE}/{action}");
        fake.on(&path, 200, &principal_change(status, true));
    }
    for (action, status) in [("revoke", "revoked"), ("suspend", "suspended")] {
        fake.on(&format!("POST /v1/agents/{action}"), 200, &selection_change(status, 0));
    }
    for (action, status) in [("revoke", "revoked"), ("suspend", "suspended"), ("restore", "active")]
    {
        let path = format!("POST /v1/agents/{AGENT}/capabilities/{action}");
        fake.on(&path, 200, &capability_change(status, true, &[]));
    }
    let known = json!({ "capabilities": [capability("issue_refund", "revoked")] });
    fake.on(&format!("GET /v1/agents/{AGENT}/capabilities"), 200, &known);
    fake.on("POST /v1/principals", 201, &principal("active"));
    let principals = json!({ "principals": [principal("active")], "next": null });
    fake.on("GET /v1/principals", 200, &principals);
    fake.on(&format!("GET /v1/principals/{ALICE}"), 200, &principal("active"));
    let approvals = json!({ "approvals": [approval("pending")], "next": null });
    fake.on("GET /v1/approvals", 200, &approvals);
    let place = format!("POST /v1/approvals/{APPROVAL}");
    fake.on(&format!("{place}/approve"), 200, &approval_change(true));
    fake.on(&format!("{place}/reject"), 200, &approval("rejected"));
    fake.on("POST /v1/fleet/halt", 200, &fleet_change("suspended", true));
    fake.on("POST /v1/fleet/resume", 200, &fleet_change("active", true));
    fake.on("POST /v1/tokens", 201, &issued());
    fake.on("GET /v1/tokens", 200, &json!({"tokens": [token("active")], "next": null}));
    fake.on(&format!("POST /v1/tokens/{TOKEN_ID}/revoke"), 200, &token_change(true));
    let mut signed = capability_token("active");
    signed["token"] = json!("eyJ-the-token-itself");
    fake.on("POST /v1/capability-tokens", 201, &signed);
    let page = json!({ "tokens": [capability_token("active")], "next": null });
    fake.on("GET /v1/capability-tokens", 200, &page);
    let mut revoked = token_change(true);
    revoked["token"] = capability_token("revoked");
    fake.on(&format!("POST /v1/capability-tokens/{CAP}/revoke"), 200, &revoked);
    fake.on("GET /v1/token-keys", 200, &issuer("active"));
    for (step, status) in [("announce", "published"), ("activate", "active"), ("retire", "retired")]
    {
        fake.on(&format!("POST /v1/token-keys/{step}"), 200, &token_key_step(status));
    }
    let of = json!({ "agent_id": AGENT, "service": "shop" });
    fake.on("POST /v1/tokens/revoke", 200, &tokens_change(&of, Some(2)));
    let tree = json!({ "agents": [agent("active")], "truncated": false });
    fake.on(&format!("GET /v1/agents/{AGENT}/tree"), 200, &tree);
    fake.on("POST /v1/verify", 200, &json!({ "decision": "ALLOW", "reason": null }));
    fake.on("GET /v1/nodes", 200, &nodes());
    let mut added = registration("active");
    added["credential"] = json!("nc_the-credential-itself");
    fake.on("POST /v1/nodes", 201, &added);
    let revoked = json!({"node": registration("revoked"), "changed": true});
    fake.on("POST /v1/nodes/web-1/revoke", 200, &revoked);
    fake.on("POST /v1/challenges", 200, &proof(true));
    let mut added = operator("active");
    added["key"] = json!("ok_the-key-itself");
    fake.on("POST /v1/operators", 201, &added);
    fake.on("GET /v1/operators", 200, &json!({"operators": [operator("active")], "next": null}));
    let revoked = json!({"operator": operator("revoked"), "changed": true});
    fake.on("POST /v1/operators/oncall/revoke", 200, &revoked);
    let may = json!(["self.read", "agents.stop"]);
    let who = json!({"name": "oncall", "role": "operator", "built_in": false, "permissions": may});
    fake.on("GET /v1/whoami", 200, &who);
    script_rotation(&fake, "steady", &acknowledgements(&[]));
    fake.on("POST /v1/keys/compact", 200, &key_change("steady", 44));
    fake.on("GET /v1/kills", 200, &json!({ "kills": [a_kill()], "next": null }));
    let kill = kill_report(true, &[kill_worker("done", &json!([]))]);
    fake.on(&format!("GET /v1/kills/{KILL}"), 200, &kill);
    fake.on("POST /v1/drill-schedules", 201, &schedule("active"));
    fake.on("GET /v1/drill-schedules", 200, &json!({ "schedules": [schedule("active")] }));
    let mut shown = schedule("active");
    shown["runs"] = json!([shown["last_run"]]);
    fake.on("GET /v1/drill-schedules/canary", 200, &shown);
    for (action, state) in [("pause", "paused"), ("resume", "active"), ("remove", "active")] {
        let change = json!({ "schedule": schedule(state), "changed": true });
        fake.on(&format!("POST /v1/drill-schedules/canary/{action}"), 200, &change);
    }
    let trail = Trail::of_two();
    fake.on_text("GET /v1/audit/export", 200, &trail.whole());
    fake.on("GET /v1/audit/records", 200, &json!({ "records": [trail.line(2)], "next": null }));
    fake.on("GET /v1/audit/records/1", 200, &trail.line(1));
    fake.on("GET /v1/audit/keys", 200, &trail.keys());
    fake.on("GET /v1/audit/checkpoint", 200, &trail.newest_checkpoint());
    let announced = json!({ "seq": 3, "verifier_key": trail.key(), "signs": false });
    for step in ["announce", "activate", "rotate", "recover"] {
        let mut keys = trail.keys();
        keys["announced"] = announced.clone();
        fake.on(&format!("POST /v1/audit/keys/{step}"), 200, &keys);
    }
    fake.on("GET /v1/audit/proofs/inclusion", 200, &trail.proof_of_two(1));
    fake
}

pub fn issued() -> Value {
    json!({
        "token": "at_the-token-itself",
        "token_id": TOKEN_ID,
        "agent_id": AGENT,
        "issued_at": "2026-02-05T14:00:00.000Z",
        "expires_at": "2026-02-05T22:00:00.000Z",
        "revision": 42,
    })
}

pub fn nodes() -> Value {
    let node = |id: &str, why: Value, clock: Value, workers: Value| {
        let state = if why.is_null() { "armed" } else { "stale" };
        json!({
            "node_id": id,
            "registration": "web-1",
            "cluster": "payments",
            "filter_version": "0.1.0",
            "peer": "127.0.0.1:5000",
            "connected_at": "2026-02-05T14:00:00.000Z",
            "armed": { "state": state, "why": why, "challenged_at": null, "answered_at": null },
            "clock_ahead_ms": clock,
            "workers": workers,
        })
    };
    let worker = |slot: u32, revision: u64, age: Value| {
        json!({
            "slot": slot,
            "instance": "00000000000000ff",
            "epoch": 1,
            "revision": revision,
            "applied_at": "2026-02-05T14:47:23.892Z",
            "behind": 42 - revision,
            "proved_age_ms": age,
        })
    };
    let current = json!([worker(0, 42, json!(230)), worker(1, 42, json!(1_250))]);
    let behind = json!([worker(0, 42, json!(230)), worker(1, 40, Value::Null)]);
    let lags = json!("worker 1 decides by revision 40, 2 behind since 12 s");
    let mut registered = registration("active");
    registered["connected"] = json!(3);
    let mut unused = registration("active");
    unused["name"] = json!("web-9");
    unused["match"] = json!("web-9");
    unused["armed"] = json!({ "state": "unknown", "why": "no proxy has connected by it" });
    json!({
        "revision": 42,
        "epoch": 1,
        "nodes": [
            node("sidecar-a", Value::Null, json!(-1_500), current),
            node("sidecar-b", lags, json!(3), behind),
            node("sidecar-c", json!("no worker is named"), Value::Null, json!([])),
        ],
        "disconnected": [{
            "node_id": "sidecar-d",
            "registration": "web-1",
            "since": "2026-02-05T14:30:00.000Z",
            "armed": { "state": "unknown", "why": "it is not connected since 14:30" },
        }],
        "registrations": [registered, unused],
        "next": null,
    })
}
