//! Successors, agents that act for others, tokens for less, and `kya verify`.

mod support;

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use support::*;

const OTHER: &str = "agt_01JXMK9P2Q3R4S5T6V7W8X9Y1Z";

#[test]
fn a_successor_is_believed_only_of_the_agent_that_was_named() {
    let path = format!("POST /v1/agents/{AGENT}/replace");
    let mut new = agent("active");
    new["agent_id"] = json!(OTHER);
    new["replaces"] = json!(AGENT);
    let replace = ["agent", "replace", AGENT, "--pubkey", KEY];
    let fake = Fake::start();
    fake.on(&path, 201, &new);
    let why = ["--revoke", "--reason", "leaked", "--incident-id", "INC-7"];
    let ended = kya(&fake.url, &[&replace[..], &why].concat());
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains(&format!("Replaces            {AGENT}\n")), "{}", ended.out);
    let sent =
        json!({ "public_key": KEY, "revoke": true, "reason": "leaked", "incident_id": "INC-7" });
    assert_eq!(fake.seen()[0].body, sent);
    new["replaces"] = Value::Null;
    let fake = Fake::start();
    fake.on(&path, 201, &new);
    let ended = kya(&fake.url, &replace);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert_eq!(fake.seen()[0].body, json!({ "public_key": KEY }));
    // A revocation has a reason.
    assert_eq!(kya(&fake.url, &[&replace[..], &["--revoke"]].concat()).code, 2);
    assert_eq!(kya(&fake.url, &["agent", "replace", AGENT]).code, 2);
}

#[test]
fn an_agent_is_registered_below_another_and_a_token_issued_for_less() {
    let fake = Fake::start();
    fake.on("POST /v1/agents", 201, &agent("active"));
    let register = ["agent", "register", "--name", "a", "--parent", OTHER];
    assert_eq!(kya(&fake.url, &register).code, 0);
    assert_eq!(fake.seen()[0].body, json!({ "name": "a", "parent_id": OTHER }));
    let fake = Fake::start();
    let issue = ["token", "issue", "--agent", AGENT, "--ttl", "1h", "--service", "shop"];
    kya(&fake.url, &[&issue[..], &["--action", "pay", "--action", "read"]].concat());
    let sent = json!({
        "agent_id": AGENT, "services": ["shop"], "actions": ["pay", "read"], "ttl_seconds": 3600,
    });
    assert_eq!(fake.seen()[0].body, sent);
    for bad in [["--service", "Shop"], ["--service", "sh\u{43e}p"], ["--action", "Pay"]] {
        let ended = kya(&fake.url, &[&issue[..6], &bad].concat());
        assert_eq!(ended.code, 2, "{bad:?}: {}", ended.err);
    }
}

#[test]
fn a_decision_is_one_line_and_an_exit_code() {
    let allow = json!({
        "decision": "ALLOW", "reason": null, "agent_id": AGENT, "revision": 42, "epoch": 1,
        "policy": { "id": "pol_01JXMK9P2Q3R4S5T6V7W8X9Y0Z", "version": 3 }, "state_age_ms": 0.1,
    });
    let deny = json!({
        "decision": "DENY", "reason": "agent_revoked", "agent_id": AGENT, "revision": 43,
        "epoch": 1, "policy": null, "state_age_ms": 0.1,
    });
    let asked = ["verify", "--agent", AGENT, "--action", "pay", "--service", "shop"];
    let fake = Fake::start();
    fake.on("POST /v1/verify", 200, &allow);
    let ended = kya(&fake.url, &asked);
    let line = format!(
        "ALLOW for {AGENT} by version 3 of pol_01JXMK9P2Q3R4S5T6V7W8X9Y0Z at revision 42\n"
    );
    assert_eq!((ended.code, ended.out), (0, line), "{}", ended.err);
    let sent = json!({ "agent_id": AGENT, "action": "pay", "service": "shop" });
    assert_eq!(fake.seen()[0].body, sent);
    let fake = Fake::start();
    fake.on("POST /v1/verify", 200, &deny);
    let ended = kya(&fake.url, &asked);
    let line = format!("DENY agent_revoked for {AGENT} at revision 43\n");
    assert_eq!((ended.code, ended.out), (5, line), "{}", ended.err);
    // What is neither is no permission.
    for odd in [json!({ "decision": "allow" }), json!({ "decision": "ALLOW", "reason": "stale" })] {
        let fake = Fake::start();
        fake.on("POST /v1/verify", 200, &odd);
        assert_eq!(kya(&fake.url, &asked).code, 1);
    }
}

#[test]
fn a_token_is_read_from_a_file_or_from_standard_input_and_never_shown() {
    let deny = json!({ "decision": "DENY", "reason": "token_unknown" });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "at_secret\n").unwrap();
    let fake = Fake::start();
    fake.on("POST /v1/verify", 200, &deny);
    let ended = kya(&fake.url, &["verify", "--token-file", path.to_str().unwrap()]);
    assert_eq!(ended.code, 5);
    assert!(!ended.out.contains("at_secret") && !ended.err.contains("at_secret"));
    assert_eq!(fake.seen()[0].body, json!({ "token": "at_secret" }));
    let fake = Fake::start();
    fake.on("POST /v1/verify", 200, &deny);
    let mut command = command(&fake.url, &["verify", "--token-file", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"at_other").unwrap();
    assert_eq!(end(child).code, 5);
    assert_eq!(fake.seen()[0].body, json!({ "token": "at_other" }));
    for wrong in [&["verify"][..], &["verify", "--agent", AGENT, "--token-file", "-"]] {
        assert_eq!(kya(&fake.url, wrong).code, 2);
    }
}
