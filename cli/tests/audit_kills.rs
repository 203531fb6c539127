//! `kya audit check-kills`: what got past a kill, what did not, and what nobody knows.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::trail::{Trail, from};
use crate::support::*;

/// Checks an export, which is written to a file.
fn check(export: &str, args: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trail.jsonl");
    std::fs::write(&path, export).unwrap();
    // No server is there, and no key to it is needed.
    let line = [&["audit", "check-kills", path.to_str().unwrap()], args].concat();
    end(command("http://127.0.0.1:1", &line).env_remove("KYA_TOKEN").spawn().unwrap())
}

#[test]
fn a_trail_in_which_nothing_got_past_a_kill() {
    let trail = Trail::of_a_kill();
    let ended = check(&trail.whole(), &["--key", &trail.key().to_string()]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for part in ["kil_1", "agent.revoked", AGENT, "operator:ada", "Nothing was allowed past 1 kill"]
    {
        assert!(ended.out.contains(part), "{part}: {ended:?}");
    }
    assert!(!ended.out.contains("cannot say"), "{ended:?}");
    assert!(ended.err.contains("Verified: records 1 to 7 are whole"), "{ended:?}");
    assert!(ended.err.contains("the one that you pinned"), "{ended:?}");
}

#[test]
fn what_got_past_a_kill_is_shown_with_its_record() {
    let mut trail = Trail::of_a_kill();
    trail.decision(5, "allow", 42, AGENT);
    trail.decision(6, "allow", 41, AGENT);
    let ended = check(&trail.whole(), &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    for part in [
        "2 requests of 4 that were allowed got past 1 kill",
        "record 8  2026-02-05T14:00:08.000000Z",
        "past kil_1: it was decided by a state that held the kill",
        "record 9",
        "past kil_1: its worker had said before that it had applied the kill",
        "\"decision\":\"allow\"",
    ] {
        assert!(ended.out.contains(part), "{part}: {ended:?}");
    }
    assert!(ended.err.contains("2 requests were allowed past a kill"), "{ended:?}");
    assert!(ended.err.contains("trusts whoever wrote the file"), "{ended:?}");

    let ended = check(&trail.whole(), &["-o", "json"]);
    let found = ended.json();
    assert_eq!((ended.code, &found["violations_in_all"]), (1, &json!(2)));
    assert_eq!(found["violations"][0]["record"], trail.records[7]);
    assert_eq!(found["violations"][1]["why"], "after_acknowledgement");
    assert_eq!(ended.problem()["code"], "allowed_past_kill");
}

#[test]
fn the_bound_counts_when_it_is_given() {
    let mut trail = Trail::of_a_kill();
    // Of a worker that has not heard of it, 5 seconds after it.
    let other = json!({
        "type": "decision", "decision": "allow", "agent_id": AGENT, "epoch": 1, "revision": 41,
        "instance": "0000000000000001",
    });
    trail.add(&from(1, other));
    assert_eq!(check(&trail.whole(), &[]).code, 0);
    assert_eq!(check(&trail.whole(), &["--bound", "5s"]).code, 0);
    let ended = check(&trail.whole(), &["--bound", "4s"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("later after the kill than the bound"), "{ended:?}");
}

#[test]
fn what_the_trail_cannot_say_is_said() {
    let mut trail = Trail::of_a_kill();
    trail.add(&from(5, json!({ "type": "worker_lost", "unended": 0 })));
    let ended = check(&trail.whole(), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("What the trail cannot say"), "{ended:?}");
    assert!(ended.out.contains("lost before it had sent everything"), "{ended:?}");

    // An export of a part.
    let filter = kya_core::audit::Filter {
        types: vec!["kill_activated".to_owned(), "kill_scope".to_owned()],
        ..Default::default()
    };
    let ended = check(&trail.export(&filter), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("5 records are not shown in what was read"), "{ended:?}");
}

#[test]
fn what_was_stopped_counts_though_the_trail_has_no_rows_of_a_kill() {
    let act = |act: &str, subject: &str| {
        json!({
            "type": "admin", "event": 1, "epoch": 1, "revision": 42, "actor": "ada", "act": act,
            "subject": subject,
        })
    };
    let mut trail = Trail::new();
    trail.add(&act("agent.revoked", AGENT));
    trail.decision(1, "allow", 42, AGENT);
    let ended = check(&trail.whole(), &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("past record 2: it was decided by a state"), "{ended:?}");
    assert_eq!(check(&trail.whole(), &["--since", "2026-02-05T15:00:00Z"]).code, 0);

    // An act that has its rows is counted once.
    let mut trail = Trail::of_a_kill();
    trail.add(&act("agent.revoked", AGENT));
    let found = check(&trail.whole(), &["-o", "json"]).json();
    assert_eq!(found["kills"].as_array().unwrap().len(), 1, "{found}");

    // Of these nobody's requests were stopped.
    let mut trail = Trail::new();
    for (done, subject) in [
        ("agent.registered", AGENT),
        ("agent.restored", AGENT),
        ("operator.revoked", "ada"),
        ("node.revoked", "edge"),
    ] {
        trail.add(&act(done, subject));
    }
    let ended = check(&trail.whole(), &[]);
    assert!(ended.out.contains("No kills to check"), "{ended:?}");
}

#[test]
fn where_nothing_was_stopped_that_is_said() {
    let mut trail = Trail::new();
    trail.decision(1, "allow", 41, AGENT);
    let ended = check(&trail.whole(), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("No kills to check: nothing was stopped."), "{ended:?}");

    let mut trail = Trail::of_a_kill();
    trail.decision(5, "allow", 42, AGENT);
    let ended = check(&trail.whole(), &["--since", "2026-02-05T15:00:00Z"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("nothing was stopped since 2026-02-05T15:00:00"), "{ended:?}");
    assert_eq!(check(&trail.whole(), &["--since", "2026-02-05T14:00:00Z"]).code, 1);
}

#[test]
fn a_trail_that_does_not_verify_is_not_looked_at() {
    let trail = Trail::of_a_kill();
    let changed = trail.whole().replacen("\"decision\":\"deny\"", "\"decision\":\"allow\"", 1);
    let ended = check(&changed, &[]);
    assert_eq!((ended.code, ended.out.as_str()), (7, ""), "{ended:?}");
    assert!(ended.err.contains("record 6 was changed"), "{ended:?}");
    for bad in ["", "seq,time\r\n", "\u{0}", "{}\n"] {
        let ended = check(bad, &[]);
        assert_eq!((ended.code, ended.out.as_str()), (7, ""), "{bad:?}: {ended:?}");
    }
    for (path, part) in [("/nonexistent/trail.jsonl", "cannot be read"), ("/", "cannot be read")] {
        let ended = kya("http://127.0.0.1:1", &["audit", "check-kills", path]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains(part), "{ended:?}");
    }
}

#[test]
fn standard_input_and_the_server_are_read_twice_too() {
    let mut trail = Trail::of_a_kill();
    trail.decision(5, "allow", 42, AGENT);
    let mut piped = command("http://127.0.0.1:1", &["-o", "json", "audit", "check-kills", "-"]);
    let mut child = piped.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(trail.whole().as_bytes()).unwrap();
    let piped = end(child);
    assert_eq!((piped.code, &piped.json()["violations_in_all"]), (1, &json!(1)));

    let fake = Fake::start();
    fake.on_text("GET /v1/audit/export", 200, &trail.whole());
    fake.on("GET /v1/audit/keys", 200, &trail.keys());
    let asked = kya(&fake.url, &["-o", "json", "audit", "check-kills"]);
    assert_eq!(asked.code, 1, "{asked:?}");
    let without = |mut found: Value| {
        found.as_object_mut().unwrap().remove("verification");
        found
    };
    assert_eq!(without(asked.json()), without(piped.json()));
    assert_eq!(asked.json()["verification"][0]["keys_from"], "server");
}
