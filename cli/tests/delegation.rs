//! Successors, agents that act for others, tokens for less, and `kya verify`.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::*;

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
    // A revocation has a reason, and the reason is that of a revocation.
    let ended = kya(&fake.url, &[&replace[..], &["--reason", "leaked"]].concat());
    assert!(ended.code == 2 && ended.err.contains("--revoke"), "{ended:?}");
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

#[test]
fn a_token_is_read_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let fake = Fake::start();
    fake.on("POST /v1/verify", 200, &json!({ "decision": "ALLOW", "reason": null }));
    let asked = ["verify", "--token-file", path.to_str().unwrap()];
    let longest = "a".repeat(8 * 1024);
    // Cut off, the second would be the first.
    for (content, says) in [
        (format!("{longest}a").into_bytes(), "more than 8192 bytes"),
        (format!("{longest}\n").into_bytes(), "more than 8192 bytes"),
        (b"\n".to_vec(), "holds no token"),
        (vec![0xff, 0xfe], "holds no text"),
    ] {
        std::fs::write(&path, content).unwrap();
        let ended = kya(&fake.url, &asked);
        assert_eq!((ended.code, &*ended.out), (2, ""), "{says}");
        assert!(ended.err.contains("--token-file") && ended.err.contains(says), "{}", ended.err);
    }
    let mut command = command(&fake.url, &["verify", "--token-file", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{longest}aa").as_bytes()).unwrap();
    assert_eq!(end(child).code, 2);
    assert_eq!(fake.seen(), []);
    std::fs::write(&path, &longest).unwrap();
    assert_eq!(kya(&fake.url, &asked).code, 0);
    assert_eq!(fake.seen()[0].body, json!({ "token": longest }));
}

#[test]
fn a_tree_shows_each_agent_below_the_one_that_it_acts_for() {
    let id = |n: u32| format!("agt_01JXMK9P2Q3R4S5T6V7W8X9Y{n}Z");
    let branch = |n: u32, depth: u32, parent: Option<u32>, status: &str| {
        let mut branch = agent(status);
        let (name, parent) = (format!("n{n}"), parent.map(id));
        let fields =
            json!({ "agent_id": id(n), "parent_id": parent, "depth": depth, "name": name });
        branch.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        branch
    };
    let (top, path) = (id(0), format!("GET /v1/agents/{}/tree", id(0)));
    let agents = [
        // Whom it acts for itself is not part of the answer.
        branch(0, 0, Some(9), "active"),
        branch(1, 1, Some(0), "suspended"),
        branch(2, 1, Some(0), "active"),
        branch(3, 2, Some(1), "active"),
    ];
    let asked = ["agent", "tree", &top];
    let fake = Fake::start();
    let tree = json!({ "agents": agents, "truncated": true });
    fake.on(&path, 200, &tree);
    let ended = kya(&fake.url, &asked);
    let rows: Vec<_> = ended.out.lines().skip(1).collect();
    let [n0, n1, n2, n3] = [0, 1, 2, 3].map(id);
    let expected = [
        format!("{n0}       n0     active      -        -"),
        format!("  {n1}     n1     suspended   -        -"),
        format!("    {n3}   n3     active      -        -"),
        format!("  {n2}     n2     active      -        -"),
    ];
    assert_eq!(rows, expected, "{}", ended.out);
    assert!(ended.code == 0 && ended.err.contains("4 are shown"), "{}", ended.err);
    fake.on(&path, 200, &tree);
    assert_eq!(kya(&fake.url, &[&asked[..], &["-o", "json"]].concat()).json(), tree);
    // One that is of no such tree, of another, or in a circle, is not believed.
    for agents in [
        json!([]),
        json!([agents[1], agents[3]]),
        json!([agents[0], agents[3]]),
        json!([agents[0], branch(1, 1, Some(2), "active"), branch(2, 1, Some(1), "active")]),
    ] {
        let fake = Fake::start();
        fake.on(&path, 200, &json!({ "agents": agents, "truncated": false }));
        let ended = kya(&fake.url, &asked);
        assert_eq!((ended.code, &*ended.out), (1, ""), "{}", ended.err);
    }
}
