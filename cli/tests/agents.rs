//! `kya agent` where it stops nobody: what it sends, and how agents are shown.

use serde_json::json;

use crate::support::*;

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
