//! What each command sends, prints, and ends with.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};
use support::*;

/// A server that answers every command well.
fn willing() -> Fake {
    let fake = Fake::start();
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
    support::script_rotation(&fake, "steady", &acknowledgements(&[]));
    fake.on("POST /v1/keys/compact", 200, &support::key_change("steady", 44));
    let trail = support::trail::Trail::of_two();
    fake.on_text("GET /v1/audit/export", 200, &trail.whole());
    fake.on("GET /v1/audit/records", 200, &json!({ "records": [trail.line(2)], "next": null }));
    fake.on("GET /v1/audit/records/1", 200, &trail.line(1));
    fake.on("GET /v1/audit/keys", 200, &trail.keys());
    fake.on("GET /v1/audit/checkpoint", 200, &trail.newest_checkpoint());
    fake.on("GET /v1/audit/proofs/inclusion", 200, &trail.proof_of_two(1));
    fake
}

fn issued() -> Value {
    json!({
        "token": "at_the-token-itself",
        "token_id": TOKEN_ID,
        "agent_id": AGENT,
        "issued_at": "2026-02-05T14:00:00.000Z",
        "expires_at": "2026-02-05T22:00:00.000Z",
        "revision": 42,
    })
}

fn nodes() -> Value {
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

#[test]
fn every_command_ends_well_against_a_willing_server() {
    for args in COMMANDS {
        let ended = kya(&willing().url, args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        assert!(!ended.out.is_empty(), "{args:?} printed nothing");

        let ended = kya(&willing().url, &[&["-o", "json"], args].concat());
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        match args {
            // It is the export that has a form.
            ["audit", "export", ..] => assert_eq!(ended.out.lines().count(), 4, "{ended:?}"),
            _ => assert!(ended.json().is_object(), "{args:?}"),
        }
    }
}

#[test]
fn every_command_passes_on_a_refusal_with_exit_1() {
    let refusal = problem(409, "conflict", "it is revoked, which is final");
    let fake = Fake::start();
    fake.otherwise(409, &refusal.to_string());
    for args in COMMANDS {
        let ended = kya(&fake.url, args);
        assert_eq!((ended.code, &*ended.out), (1, ""), "{args:?}");
        assert_eq!(ended.err, "kya: refused: it is revoked, which is final (409 conflict)\n");

        let ended = kya(&fake.url, &[args, &["--output=json"]].concat());
        assert_eq!((ended.code, &*ended.out), (1, ""), "{args:?}");
        assert_eq!(ended.problem(), refusal);
    }
}

#[test]
fn every_command_says_unreachable_with_exit_3() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{closed}");
    for args in COMMANDS {
        let ended = kya(&server, args);
        assert_eq!((ended.code, &*ended.out), (3, ""), "{args:?}");
        let said = format!("kya: cannot reach the control plane at {server}: ");
        assert!(ended.err.starts_with(&said), "{ended:?}");
        assert!(!ended.err.contains("unknown"), "nothing was sent: {ended:?}");

        let ended = kya(&server, &[args, &["-o", "json"]].concat());
        assert_eq!((ended.code, &*ended.out), (3, ""), "{args:?}");
        assert_eq!(ended.problem()["type"], "urn:kya:problem:unreachable");
    }
}

#[test]
fn every_command_refuses_a_wrong_option_with_exit_2_and_sends_nothing() {
    let fake = Fake::start();
    for args in COMMANDS {
        let ended = kya(&fake.url, &[args, &["--no-such-option"]].concat());
        assert_eq!((ended.code, &*ended.out), (2, ""), "{args:?}");
        assert!(ended.err.contains("Usage: kya"), "{ended:?}");

        let ended = kya(&fake.url, &[args, &["--no-such-option", "-ojson"]].concat());
        assert_eq!((ended.code, &*ended.out), (2, ""), "{args:?}");
        assert_eq!(ended.problem()["code"], "usage");
    }
    assert_eq!(fake.seen(), []);
}

#[test]
fn without_a_key_nothing_is_sent() {
    let fake = Fake::start();
    for key in [None, Some(""), Some("  \n"), Some("a\nb")] {
        let mut command = command(&fake.url, &["node", "list"]);
        command.env_remove("KYA_TOKEN");
        if let Some(key) = key {
            command.env("KYA_TOKEN", key);
        }
        let ended = end(command.spawn().unwrap());
        assert_eq!((ended.code, &*ended.out), (2, ""), "{key:?}");
        assert!(ended.err.contains("KYA_TOKEN"), "{ended:?}");
    }
    assert_eq!(fake.seen(), []);
}

#[test]
fn the_line_end_of_a_key_file_is_no_part_of_the_key() {
    let fake = willing();
    let mut command = command(&fake.url, &["node", "list"]);
    command.env("KYA_TOKEN", format!("{ADMIN_KEY}\n"));
    assert_eq!(end(command.spawn().unwrap()).code, 0);
}

#[test]
fn a_wrong_key_is_a_refusal_and_is_not_shown() {
    let fake = willing();
    for args in [&["node", "list"][..], &["--help"], &["agent", "revoke", "--help"], &["node"]] {
        let ended = kya(&fake.url, &[args, &["--token", "wr0ng-key"]].concat());
        assert!(!ended.out.contains("wr0ng-key") && !ended.err.contains("wr0ng-key"));
        let mut command = command(&fake.url, args);
        let ended = end(command.env("KYA_TOKEN", "wr0ng-key").spawn().unwrap());
        assert!(!ended.out.contains("wr0ng-key") && !ended.err.contains("wr0ng-key"));
    }
    let ended = kya(&fake.url, &["--token", "wr0ng-key", "node", "list"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("(401 unauthorized)\nhint: KYA_TOKEN must be"), "{ended:?}");
}

#[test]
fn register_sends_the_key_of_a_pem_file_in_its_one_line_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.pub");
    let encoded = KEY.strip_prefix("ed25519:").unwrap();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{encoded}\n-----END PUBLIC KEY-----\n");
    std::fs::write(&path, pem).unwrap();
    let fake = willing();
    let register = ["agent", "register", "--name", "billing-agent"];
    let ended = kya(&fake.url, &[&register[..], &["--pubkey", path.to_str().unwrap()]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(fake.seen()[0].body, json!({"name": "billing-agent", "public_key": KEY}));

    let fake = willing();
    kya(&fake.url, &register);
    assert_eq!(fake.seen()[0].body, json!({"name": "billing-agent"}));
}

#[test]
fn show_prints_the_record_and_dashes_for_what_is_not_there() {
    let ended = kya(&willing().url, &["agent", "show", AGENT]);
    assert_eq!(
        ended.out,
        "\
Agent id            agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z
Name                billing-agent
Status              revoked
Public key          ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
Owner               -
Labels              -
Expires at          -
Policy id           -
Policy              -
Acts for            -
Replaces            -
Replaced by         -
Created at          2026-02-05T14:00:00.000Z
Revoked at          2026-02-05T14:47:23.891Z
Status changed at   2026-02-05T14:47:23.891Z
Status by           oncall-anna
Status reason       prompt_injection_suspected
Incident id         INC-2026-0205-001
Revision            42
"
    );
}

#[test]
fn register_sends_owner_labels_and_expiry() {
    let fake = willing();
    let args = [
        "agent",
        "register",
        "--name",
        "billing-agent",
        "--owner",
        ALICE,
        "--label",
        "env=prod",
        "--label",
        "team=a=b",
        "--expires-at",
        "2033-01-31T12:00:00Z",
    ];
    assert_eq!(kya(&fake.url, &args).code, 0);
    let body = json!({
        "name": "billing-agent", "owner": ALICE, "labels": { "env": "prod", "team": "a=b" },
        "expires_at": "2033-01-31T12:00:00Z",
    });
    assert_eq!(fake.seen()[0].body, body);
    let ended = kya(&fake.url, &[&args[..], &["--label", "env=staging"]].concat());
    assert_eq!((ended.code, fake.seen().len()), (2, 1));
    assert!(ended.err.contains("there are two --label env"), "{ended:?}");
}

#[test]
fn an_agent_whose_owner_is_stopped_is_shown_with_that() {
    let mut hers = agent("active");
    hers["owner"] = json!(ALICE);
    hers["owner_status"] = json!("revoked");
    hers["labels"] = json!({ "env": "prod", "team": "pay" });
    hers["expires_at"] = json!("2033-01-31T12:00:00.000Z");
    let fake = Fake::start();
    fake.on(&format!("GET /v1/agents/{AGENT}"), 200, &hers);
    let shown = kya(&fake.url, &["agent", "show", AGENT]).out;
    for line in [
        "Owner               alice@example.com (revoked)",
        "Labels              env=prod,team=pay",
        "Expires at          2033-01-31T12:00:00.000Z",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in {shown}");
    }
}

#[test]
fn lists_are_one_line_a_record_and_say_how_to_go_on() {
    let fake = Fake::start();
    fake.on("GET /v1/agents", 200, &json!({"agents": [agent("suspended")], "next": AGENT}));
    let args = ["agent", "list", "--status", "suspended", "--limit", "1", "--after", AGENT];
    let ended = kya(&fake.url, &args);
    assert_eq!(
        ended.out,
        "\
AGENT ID                         NAME            STATUS      CREATED AT                 REVOKED AT
agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z   billing-agent   suspended   2026-02-05T14:00:00.000Z   -
"
    );
    assert_eq!(ended.err, format!("There are more: --after {AGENT}\n"));
    let line = format!("GET /v1/agents?status=suspended&after={AGENT}&limit=1");
    assert_eq!(fake.seen()[0].line, line);
}

#[test]
fn empty_lists_say_so() {
    let fake = Fake::start();
    fake.on("GET /v1/agents", 200, &json!({"agents": [], "next": null}));
    fake.on("GET /v1/tokens", 200, &json!({"tokens": [], "next": null}));
    let empty = json!({"revision": 7, "epoch": 1, "nodes": [], "registrations": []});
    fake.on("GET /v1/nodes", 200, &empty);
    assert_eq!(kya(&fake.url, &["agent", "list"]).out, "No agents.\n");
    assert_eq!(kya(&fake.url, &["token", "list"]).out, "No tokens.\n");
    let nodes = kya(&fake.url, &["node", "list"]).out;
    assert_eq!(
        nodes,
        "No proxy is connected.\n\nNewest revision: 7 (epoch 1)\n\nNo registrations: `kya node add` lets a proxy connect.\n"
    );
    let gone = json!([{"node_id": "gone", "since": "2026-02-05T14:30:00.000Z"}]);
    let mut all_gone = empty;
    all_gone["disconnected"] = gone;
    fake.on("GET /v1/nodes", 200, &all_gone);
    let nodes = kya(&fake.url, &["node", "list"]).out;
    assert!(nodes.starts_with("No proxy is connected.\nNODE "), "{nodes}");
    assert!(nodes.contains("\ngone "), "{nodes}");
    let lines: Vec<_> = fake.seen().into_iter().map(|seen| seen.line).collect();
    let asked = ["GET /v1/agents?limit=1000", "GET /v1/tokens?limit=1000"];
    assert_eq!(lines, [&asked[..], &["GET /v1/nodes?limit=1000"; 2]].concat());
}

#[test]
fn agents_are_listed_in_the_order_that_was_asked_for() {
    let fake = Fake::start();
    for (sort, args) in [("name", &["--sort", "name"][..]), ("-created", &["--sort=-created"])] {
        fake.on("GET /v1/agents", 200, &json!({ "agents": [], "next": null }));
        let ended = kya(&fake.url, &[&["agent", "list"], args].concat());
        assert_eq!((ended.code, &*ended.out), (0, "No agents.\n"), "{}", ended.err);
        let line = format!("GET /v1/agents?sort={sort}&limit=1000");
        assert_eq!(fake.seen().last().unwrap().line, line);
    }
    let ended = kya(&fake.url, &["agent", "list", "--sort", "-expires", "--sort", "status"]);
    assert_eq!(ended.code, 2);
    for bad in ["status", "--name", "Name", ""] {
        let ended = kya(&fake.url, &["agent", "list", "--sort", bad]);
        assert!(ended.code == 2 && ended.err.contains("--sort <KEY>"), "{bad}: {}", ended.err);
    }
    assert_eq!(fake.seen().len(), 2);
}

#[test]
fn an_issued_token_alone_is_on_stdout() {
    let fake = willing();
    let ended = kya(&fake.url, &["token", "issue", "--agent", AGENT, "--ttl", "8h"]);
    assert_eq!((ended.code, &*ended.out), (0, "at_the-token-itself\n"));
    assert!(ended.err.contains("shown this once"), "{ended:?}");
    assert!(!ended.err.contains("at_the-token-itself"), "{ended:?}");
    assert_eq!(fake.seen()[0].body, json!({"agent_id": AGENT, "ttl_seconds": 28_800}));
}

#[test]
fn a_token_list_has_no_token_in_it() {
    let ended = kya(&willing().url, &["token", "list", "--agent", AGENT]);
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("TOKEN ID"), "{ended:?}");
    let row = format!("{TOKEN_ID}   {AGENT}   active   *          *         2026-");
    assert!(lines[1].starts_with(&row), "{ended:?}");
    let (fake, mut limited) = (Fake::start(), token("active"));
    limited["services"] = json!(["shop"]);
    limited["actions"] = json!(["pay", "read"]);
    fake.on("GET /v1/tokens", 200, &json!({ "tokens": [limited], "next": null }));
    let out = kya(&fake.url, &["token", "list"]).out;
    assert!(out.contains("   active   shop       pay,read   2026-"), "{out}");
}

#[test]
fn the_credential_of_a_new_node_alone_is_on_stdout() {
    let fake = willing();
    let ended = kya(&fake.url, &["node", "add", "web-1"]);
    assert_eq!((ended.code, &*ended.out), (0, "nc_the-credential-itself\n"));
    assert!(ended.err.contains("web-1 for node.id web-*, expires 2026-05-06T14:00"), "{ended:?}");
    assert!(!ended.err.contains("nc_the-credential-itself"), "{ended:?}");
    assert_eq!(fake.seen()[0].body, json!({"name": "web-1"}));

    let fake = willing();
    let options = ["--match", "sidecar~*", "--expires-in", "90d", "-q"];
    let ended = kya(&fake.url, &[&["node", "add", "web-1"], &options[..]].concat());
    assert_eq!((&*ended.out, &*ended.err), ("nc_the-credential-itself\n", ""));
    let body = json!({"name": "web-1", "match": "sidecar~*", "ttl_seconds": 7_776_000});
    assert_eq!(fake.seen()[0].body, body);
}

#[test]
fn a_revoked_registration_is_said_to_be_only_if_the_server_says_so() {
    let revoke = ["node", "revoke", "web-1", "--reason", "lost", "--incident-id", "INC-1"];
    let fake = willing();
    let ended = kya(&fake.url, &revoke);
    assert_eq!(
        ended.out,
        "\
Revoked: web-1
No proxy is let in with its credential, and the streams that it opened are ended
Revocation logged at: 2026-02-05T14:47:23.891Z
"
    );
    assert_eq!(fake.seen()[0].body, json!({"reason": "lost", "incident_id": "INC-1"}));
    let path = "POST /v1/nodes/web-1/revoke";
    fake.on(path, 200, &json!({"node": registration("revoked"), "changed": false}));
    assert!(kya(&fake.url, &revoke).out.ends_with("(already revoked; nothing changed)\n"));
    let mut other = registration("revoked");
    other["name"] = json!("web-2");
    for wrong in [registration("active"), other] {
        fake.on(path, 200, &json!({"node": wrong, "changed": true}));
        let ended = kya(&fake.url, &revoke);
        assert_eq!((ended.code, &*ended.out), (1, ""), "{ended:?}");
        assert!(ended.err.contains("asked to revoke web-1, it says that"), "{ended:?}");
    }
}

#[test]
fn nodes_are_one_line_a_proxy_and_show_which_is_armed_and_why_not() {
    let ended = kya(&willing().url, &["node", "list"]);
    assert_eq!(
        ended.out,
        "\
NODE        STATE     WHY                                                    WORKERS   REVISION       AGE     CLOCK    FILTER   REGISTRATION
sidecar-a   armed     -                                                      2         42             1.2 s   -1.5 s   0.1.0    web-1
sidecar-b   stale     worker 1 decides by revision 40, 2 behind since 12 s   2         40, 2 behind   -       +3 ms    0.1.0    web-1
sidecar-c   stale     no worker is named                                     0         -              -       -        0.1.0    web-1
sidecar-d   unknown   it is not connected since 14:30                        -         -              -       -        -        web-1
web-9       unknown   no proxy has connected by it                           -         -              -       -        -        web-9

Newest revision: 42 (epoch 1)

REGISTRATION   MATCH   STATUS   CONNECTED   CREATED AT                 EXPIRES AT                 REVOKED AT
web-1          web-*   active   3           2026-02-05T14:00:00.000Z   2026-05-06T14:00:00.000Z   -
web-9          web-9   active   0           2026-02-05T14:00:00.000Z   2026-05-06T14:00:00.000Z   -
"
    );
    let json = kya(&willing().url, &["node", "list", "-o", "json"]).json();
    assert_eq!(json, nodes());
}

#[test]
fn a_control_plane_that_does_not_say_who_is_armed_is_not_taken_to() {
    let mut old = nodes();
    old["nodes"][0].as_object_mut().unwrap().remove("armed");
    let fake = Fake::start();
    fake.on("GET /v1/nodes", 200, &old);
    let ended = kya(&fake.url, &["node", "list"]);
    let line = ended.out.lines().nth(1).unwrap();
    assert!(line.starts_with("sidecar-a   unknown   this control plane does not say"), "{line}");
}

#[test]
fn a_challenge_shows_every_answer_and_ends_well_only_if_all_are_armed() {
    let fake = willing();
    let ended = kya(&fake.url, &["node", "challenge", "sidecar~a/b", "--wait", "2s"]);
    assert_eq!((ended.code, &*ended.err), (0, ""));
    let nonce = "00ff".repeat(16);
    assert_eq!(
        ended.out,
        format!(
            "\
NODE        STATE   WHY   WORKER   INSTANCE           REVISION   AGE      ANSWERED AFTER   FILTER   CONFIGURATION
sidecar-a   armed   -     0        00000000000000ff   42         230 ms   1.2 ms           0.1.0    0123456789ab
sidecar-a   armed   -     1        00000000000000ff   42         230 ms   3.0 ms           0.1.0    0123456789ab

Challenged at: 2026-02-05T14:47:23.891Z, with the nonce {nonce}
Newest revision: 42 (epoch 1)
"
        )
    );
    let seen = fake.seen().remove(0);
    assert_eq!(seen.line, "POST /v1/challenges");
    assert_eq!(seen.body, json!({ "node_id": "sidecar~a/b", "wait_ms": 2000 }));

    kya(&fake.url, &["node", "challenge"]);
    assert_eq!(fake.seen()[1].body, json!({ "wait_ms": 5000 }));

    fake.on("POST /v1/challenges", 200, &proof(false));
    let ended = kya(&fake.url, &["node", "challenge"]);
    assert_eq!((ended.code, &*ended.err), (4, "kya: 1 of 2 challenged proxies are armed\n"));
    let line = ended.out.lines().nth(4).unwrap();
    assert!(line.starts_with("sidecar-b   stale   worker 1 has not answered"), "{line}");
    fake.on("POST /v1/challenges", 200, &proof(false));
    let ended = kya(&fake.url, &["node", "challenge", "-o", "json"]);
    assert_eq!((ended.code, ended.json()), (4, proof(false)));
    assert_eq!(ended.problem()["code"], "not_armed");
}

#[test]
fn what_proves_less_than_it_says_is_no_proof() {
    let nobody = json!({ "challenged": 0, "nodes": [] });
    let left = json!({ "challenged": 2, "left": 1 });
    let one_too_few = json!({ "challenged": 2 });
    let stale = json!({ "nodes": proof(false)["nodes"], "challenged": 2 });
    for (change, said) in [
        (nobody, "no proxy is connected, so that none was challenged"),
        (left, "1 of 2 challenged proxies are armed, and 1 left while asked"),
        (one_too_few, "1 of 2 challenged proxies are armed"),
        (stale, "1 of 2 challenged proxies are armed"),
    ] {
        // It says `"armed": true` all the same.
        let mut claim = proof(true);
        claim.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let fake = Fake::start();
        fake.on("POST /v1/challenges", 200, &claim);
        let ended = kya(&fake.url, &["node", "challenge"]);
        assert_eq!((ended.code, ended.err), (4, format!("kya: {said}\n")));
    }
}

#[test]
fn a_name_from_the_server_cannot_rewrite_the_terminal() {
    let mut named = agent("active");
    named["name"] = json!("\u{1b}[2Jeverything is fine\r\n");
    let fake = Fake::start();
    fake.on(&format!("GET /v1/agents/{AGENT}"), 200, &named);
    let ended = kya(&fake.url, &["agent", "show", AGENT]);
    assert!(!ended.out.contains('\u{1b}') && !ended.out.contains('\r'), "{ended:?}");
    fake.otherwise(409, &problem(409, "conflict", "\u{1b}[2J").to_string());
    let ended = kya(&fake.url, &["agent", "show", AGENT]);
    assert!(!ended.err.contains('\u{1b}'), "{ended:?}");
}

#[test]
fn what_does_not_answer_as_a_control_plane_is_said_to_be_none() {
    let fake = Fake::start();
    for (status, body) in [
        (200, "<html>welcome</html>"),
        (200, "{}"),
        (200, ""),
        (302, ""),
        (502, "{\"error\":\"upstream\"}"),
    ] {
        fake.otherwise(status, body);
        let ended = kya(&fake.url, &["node", "list"]);
        assert_eq!((ended.code, &*ended.out), (1, ""), "{status} {body:?}");
        assert!(ended.err.contains("did not answer as a kya control plane"), "{ended:?}");
    }
    fake.otherwise(404, "page not found");
    let ended = kya(&fake.url, &["node", "list"]);
    assert_eq!((ended.code, &*ended.out), (1, ""));
    let said = format!("{} does not look like a kya control plane", fake.url);
    assert!(ended.err.contains(&said), "{ended:?}");
}

#[test]
fn who_asks_the_grpc_port_is_told_of_the_other_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let answers = std::thread::spawn(move || {
        for speaks_first in [true, false] {
            let (mut stream, _) = listener.accept().unwrap();
            if !speaks_first {
                assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            }
            // The SETTINGS with which HTTP/2 begins.
            stream.write_all(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x40").unwrap();
            // To the end, so that it is the client who hangs up.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    for _ in 0..2 {
        let ended = kya(&server, &["agent", "revoke", AGENT, "--reason", "r"]);
        assert_eq!(ended.code, 3, "{ended:?}");
        assert!(ended.err.contains("is this the gRPC port (7081)?"), "{ended:?}");
        assert!(!ended.err.contains("is unknown"), "nobody understood the request: {ended:?}");
    }
    answers.join().unwrap();
}

#[test]
fn a_server_that_never_answers_is_unreachable_and_the_outcome_unknown() {
    // Connections are taken by the system, and nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    for args in COMMANDS {
        let ended = kya(&server, &[args, &["--timeout", "100ms"]].concat());
        assert_eq!((ended.code, &*ended.out), (3, ""), "{args:?}");
        assert!(ended.err.contains("no answer in time"), "{ended:?}");
        // A rotation looks first.
        let reads = matches!(
            args,
            ["whoami"]
                | ["verify" | "audit", ..]
                | [_, "list" | "show" | "tree" | "challenge" | "rotate", ..]
        );
        let warned = ended.err.contains("Whether the change was made is unknown");
        assert_eq!(warned, !reads, "{args:?}: {ended:?}");
    }
}

#[test]
fn what_speaks_no_http_or_has_no_address_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let answers = std::thread::spawn(move || {
        // A TLS alert, then half an answer.
        for bytes in
            [&b"\x15\x03\x01\x00\x02\x02\x50"[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"]
        {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(bytes).unwrap();
        }
    });
    assert_eq!(kya(&server, &["node", "list"]).code, 3);
    assert_eq!(kya(&server, &["node", "list"]).code, 3);
    answers.join().unwrap();
    assert_eq!(kya("http://kya.invalid", &["node", "list"]).code, 3);
}

#[test]
fn a_server_behind_a_path_is_asked_under_it() {
    let fake = Fake::start();
    fake.on("GET /behind/v1/nodes", 200, &nodes());
    for server in [format!("{}/behind", fake.url), format!("{}/behind/", fake.url)] {
        kya(&server, &["node", "list"]);
    }
    let lines: Vec<_> = fake.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(lines, ["GET /behind/v1/nodes?limit=1000"; 2]);
}

#[test]
fn proxy_variables_do_not_lead_the_admin_key_elsewhere() {
    let (fake, proxy) = (willing(), Fake::start());
    let mut command = command(&fake.url, &["node", "list"]);
    let ended = end(command.env("http_proxy", &proxy.url).spawn().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(proxy.seen(), []);
}
