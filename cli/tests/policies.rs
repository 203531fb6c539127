//! `kya policy`: what is sent, what is printed, and what never leaves the machine.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::*;

const POLICY: &str = "pol_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
const ACKNOWLEDGED: &str = "Acknowledged by 4 of 4 workers of 2 of 2 proxies in 3.1 ms\n";
const AT: &str = "2026-02-05T14:47:23.891Z";

/// One version of a policy, as the server shows it.
fn policy(version: u32, step: &str, again: Option<u32>) -> Value {
    json!({
        "policy_id": POLICY, "name": "checkout", "version": version, "newest_version": version,
        "step": step, "rolled_back_to": again,
        "document": { "name": "checkout", "allow": ["create_charge"], "deny": [] },
        "committed_at": AT, "actor": "anna", "reason": "review", "incident_id": null,
        "revision": 42,
    })
}

fn change(policy: &Value, changed: bool) -> Value {
    json!({
        "policy": policy, "changed": changed, "revision": 42, "committed_at": AT,
        "committed_unix_ms": 1.0,
    })
}

fn difference() -> Value {
    json!({
        "tendency": "narrows",
        "fields": [
            { "change": "items", "field": "allow", "added": [], "removed": ["issue_refund"] },
            { "change": "changed", "field": "drain_window", "from": "60s", "to": "30s" },
            { "change": "added", "field": "max_ttl", "value": "1h" },
        ],
        "now_denied": ["issue_refund"], "now_permitted": [], "unmapped": "denied",
    })
}

const DIFFERS: &str = "\
It permits less
- allow: issue_refund
- drain_window: 60s
+ drain_window: 30s
+ max_ttl: 1h
now denied: issue_refund
now denied: requests whose action is unknown
";

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A server that answers one request, which the line is method and path of.
fn answering(line: &str, status: u16, answer: &Value) -> Fake {
    let fake = Fake::start();
    fake.on(line.split('?').next().unwrap(), status, answer);
    fake.on(ACKS, 200, &acknowledgements(&[]));
    fake
}

#[test]
fn a_policy_is_applied_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let json = r#"{"name": "checkout", "allow": ["create_charge"]}"#;
    let path = file(&folder, "checkout.json", json);
    let line = "POST /v1/policies?reason=review&incident_id=INC-1";
    let fake = answering(line, 200, &change(&policy(3, "applied", None), true));
    let why = ["--reason", "review", "--incident-id", "INC-1"];
    let ended = kya(&fake.url, &[&["policy", "apply", "-f", &path][..], &why].concat());
    let lines = format!("Applied: checkout version 3\n{ACKNOWLEDGED}");
    assert_eq!((ended.code, ended.out), (0, lines), "{}", ended.err);
    assert_eq!(fake.seen()[0].line, line);
    assert_eq!(fake.seen()[0].body, serde_json::from_str::<Value>(json).unwrap());

    let yaml = file(&folder, "checkout.yaml", "name: checkout\nallow: [create_charge]\n");
    let again = change(&policy(3, "applied", None), false);
    let fake = answering("POST /v1/policies", 200, &again);
    let out = kya(&fake.url, &["policy", "apply", "-f", &yaml, "--if-version", "3"]).out;
    assert!(out.contains("(it says that already; nothing changed)"), "{out}");
    let fake = answering("POST /v1/policies", 200, &again);
    let out = kya(&fake.url, &["-o", "json", "policy", "apply", "-f", &yaml]).out;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["change"]["policy"]["version"], 3);
}

#[test]
fn what_would_change_is_shown_and_believed_only_of_a_dry_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "checkout.yaml", "name: checkout\n");
    let agents = json!([{ "agent_id": AGENT, "name": "payer", "status": "active" }]);
    let mut preview = json!({
        "dry_run": true, "changed": true, "name": "checkout", "version": 2,
        "document": { "name": "checkout", "allow": [], "deny": [] }, "difference": difference(),
        "reach": { "agents": 1, "tokens": 3 }, "agents": agents, "recent_requests": null,
    });
    let expected = format!(
        "checkout would get a version after 2\n{DIFFERS}Under it are 1 agent and 3 unexpired tokens\n"
    );
    let line = "POST /v1/policies?dry_run=true";
    for command in [&["apply", "--dry-run", "-f"][..], &["diff", "-f"]] {
        let fake = answering(line, 200, &preview);
        let ended = kya(&fake.url, &[&["policy"][..], command, &[&path]].concat());
        assert_eq!((ended.code, &*fake.seen()[0].line), (0, line), "{}", ended.err);
        assert!(ended.out.starts_with(&expected), "{}", ended.out);
        assert!(ended.out.contains("payer") && ended.out.ends_with("nothing was written\n"));
    }
    preview["dry_run"] = json!(false);
    let ended = kya(&answering(line, 200, &preview).url, &["policy", "diff", "-f", &path]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("asked for a dry run"), "{}", ended.err);
}

#[test]
fn a_file_that_is_no_policy_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    for (text, part) in [
        ("name: p\nallow: [pay\n", "line"),
        ("name: p\nnever: [pay]\n", "never"),
        ("name: Checkout\nallow: [Pay]\n", "`allow[0]`"),
        (&*format!("name: p\ndescription: {}\n", "a".repeat(300_000)), "at most 262144"),
    ] {
        let path = file(&folder, "wrong.yaml", text);
        for command in ["apply", "check"] {
            let ended = kya(&fake.url, &["policy", command, "-f", &path]);
            assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{}", ended.err);
            assert!(
                ended.err.contains("wrong.yaml: ") && ended.err.contains(part),
                "{}",
                ended.err
            );
        }
    }
    let both = file(&folder, "both.yaml", "name: Checkout\nallow: [Pay]\n");
    let err = kya(&fake.url, &["policy", "check", "-f", &both]).err;
    assert!(err.contains("`name`") && err.contains("`allow[0]`"), "all that is wrong: {err}");
    let ended = kya(&fake.url, &["policy", "check", "-f", "/nowhere.yaml"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("cannot read /nowhere.yaml"), "{}", ended.err);
    assert!(fake.seen().is_empty());
}

#[test]
fn every_example_is_a_policy() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/policies");
    let files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 4);
    for path in files {
        let ended = kya("http://127.0.0.1:9", &["policy", "check", "-f", path.to_str().unwrap()]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.out.contains(" is a policy: "), "{}", ended.out);
    }
}

#[test]
fn a_policy_is_shown_listed_and_compared() {
    let line = "GET /v1/policies/checkout?version=2";
    let fake = answering(line, 200, &policy(2, "applied", None));
    let out = kya(&fake.url, &["policy", "get", "checkout", "--version", "2"]).out;
    assert_eq!(fake.seen()[0].line, line);
    assert!(
        out.contains("Version        2 of 2\n") && out.contains("By             anna"),
        "{out}"
    );
    assert!(out.contains("\"create_charge\""), "{out}");
    let page = json!({ "policies": [policy(2, "revoked", None)], "next": POLICY });
    let ended = kya(&answering("GET /v1/policies?limit=100", 200, &page).url, &["policy", "list"]);
    assert!(ended.out.contains("checkout   2         revoked"), "{}", ended.out);
    assert_eq!(ended.err, format!("There are more: --after {POLICY}\n"));
    let versions = json!({ "versions": [policy(4, "rolled_back", Some(1))], "next": 4 });
    let line = "GET /v1/policies/checkout/versions?before=5&limit=1";
    let history = ["policy", "history", "checkout", "--before", "5", "--limit", "1"];
    let fake = answering(line, 200, &versions);
    let ended = kya(&fake.url, &history);
    assert_eq!(fake.seen()[0].line, line);
    assert!(ended.out.contains("4         rolled_back to 1"), "{}", ended.out);
    assert_eq!(ended.err, "There are more: --before 4\n");
    let mut diff = difference();
    let pairs = json!({ "policy_id": POLICY, "name": "checkout", "from": 1, "to": 2 });
    diff.as_object_mut().unwrap().extend(pairs.as_object().unwrap().clone());
    let line = "GET /v1/policies/checkout/diff?from=1&to=2";
    let fake = answering(line, 200, &diff);
    let out = kya(&fake.url, &["policy", "diff", "checkout", "--from", "1", "--to", "2"]).out;
    assert_eq!(fake.seen()[0].line, line);
    assert_eq!(out, format!("checkout version 1 to 2\n{DIFFERS}"));
}

#[test]
fn a_policy_is_rolled_back_and_revoked() {
    let rolled = change(&policy(5, "rolled_back", Some(3)), true);
    let fake = answering("POST /v1/policies/checkout/rollback", 200, &rolled);
    let ended = kya(&fake.url, &["policy", "rollback", "checkout", "--to", "3", "--reason", "r"]);
    let lines = format!("Applied: checkout version 5, which is version 3 again\n{ACKNOWLEDGED}");
    assert_eq!((ended.code, ended.out), (0, lines), "{}", ended.err);
    assert_eq!(fake.seen()[0].body, json!({ "to": 3, "reason": "r" }));
    let mut revoked = change(&policy(6, "revoked", None), true);
    revoked["reach"] = json!({ "agents": 2, "tokens": 1 });
    let fake = answering("POST /v1/policies/checkout/revoke", 200, &revoked);
    let out = kya(&fake.url, &["policy", "revoke", "checkout", "--reason", "r"]).out;
    let expected = "Revoked: checkout version 6\nAll verify calls of 2 agents and 1 unexpired token will now return DENY\n";
    assert!(out.starts_with(expected), "{out}");
    let dry = json!({ "dry_run": true, "changed": true, "reach": { "agents": 2, "tokens": 1 } });
    let fake = answering("POST /v1/policies/checkout/revoke", 200, &dry);
    let out = kya(&fake.url, &["policy", "revoke", "checkout", "--reason", "r", "--dry-run"]).out;
    assert!(out.starts_with("Would revoke checkout: it reaches 2 agents"), "{out}");
    assert_eq!(fake.seen()[0].body, json!({ "reason": "r", "dry_run": true }));
}

#[test]
fn an_agent_is_put_under_a_policy_only_if_the_server_says_so() {
    let line = format!("POST /v1/agents/{AGENT}/policy");
    let told = |policy: Value| {
        let mut agent = agent("active");
        agent["policy_id"] = if policy.is_null() { Value::Null } else { json!(POLICY) };
        agent["policy"] = policy;
        json!({ "agent": agent, "changed": true, "revision": 42, "committed_at": AT })
    };
    let assign = ["policy", "assign", "checkout", "--agent", AGENT];
    let fake = answering(&line, 200, &told(json!("checkout")));
    let ended = kya(&fake.url, &assign);
    let lines = format!("Assigned: {AGENT} is under checkout\n{ACKNOWLEDGED}");
    assert_eq!((ended.code, ended.out), (0, lines), "{}", ended.err);
    assert_eq!(fake.seen()[0].body, json!({ "policy": "checkout" }));
    let fake = answering(&line, 200, &told(Value::Null));
    let ended = kya(&fake.url, &["policy", "unassign", "--agent", AGENT, "--reason", "r"]);
    assert!(ended.out.starts_with(&format!("Unassigned: {AGENT} is under no policy\n")));
    assert_eq!(fake.seen()[0].body, json!({ "policy": null, "reason": "r" }));
    for wrong in [json!("other"), Value::Null] {
        let ended = kya(&answering(&line, 200, &told(wrong)).url, &assign);
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{}", ended.err);
    }
    for bad in ["Checkout", "pol_03", "", "ch\u{435}ckout", "a/b"] {
        let ended = kya(&fake.url, &["policy", "get", bad]);
        assert_eq!(ended.code, 2, "{bad}: {}", ended.err);
    }
}
