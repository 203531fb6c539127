//! `kya audit export`: what is given out, and what is not.

use kya_core::audit::verify::{Options, Outcome, Verifier};
use kya_core::audit::{Filter, VerifierKey};
use serde_json::{Value, json};

use crate::support;
use crate::support::trail::{START, Trail};
use crate::support::*;

const EXPORT: &str = "GET /v1/audit/export";
const KEYS: &str = "GET /v1/audit/keys";

/// A server with this export, and this trail's keys.
fn server(trail: &Trail, export: &str) -> Fake {
    let fake = Fake::start();
    fake.on_text(EXPORT, 200, export);
    fake.on(KEYS, 200, &trail.keys());
    fake
}

fn proved(fake: &Fake, args: &[&str]) -> Ended {
    kya(&fake.url, &[&["audit", "export", "--verify-chain"], args].concat())
}

fn outcome(export: &str, key: VerifierKey) -> Outcome {
    let mut verifier = Verifier::new(Options { keys: vec![key], ..Options::default() });
    verifier.write(export.as_bytes());
    verifier.finish().outcome
}

fn records(export: &str) -> Vec<u64> {
    let lines = export.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line["record"]["seq"].as_u64()).collect()
}

#[test]
fn the_command_of_the_reference_gives_out_what_it_has_proved() {
    let trail = Trail::of_a_kill();
    let fake = server(&trail, &trail.whole());
    let ended = proved(&fake, &["--agent", AGENT, "--since", "2026-02-05T14:00:00Z"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    // The key of the trail is always there: whoever pins an old one needs it.
    assert_eq!(records(&ended.out), [1, 2, 3, 4, 6]);
    assert_eq!(outcome(&ended.out, trail.key()), Outcome::Partial);
    let header: Value = serde_json::from_str(ended.out.lines().next().unwrap()).unwrap();
    assert_eq!(header["export"]["filter"]["agent"], AGENT);
    for part in [
        "Verified: records 1 to 7 are whole",
        "No key was pinned",
        "this trusts the server",
        "4 of the 7 records are given out",
    ] {
        assert!(ended.err.contains(part), "{part}: {ended:?}");
    }
    // The server is not asked to pick, so that it can hide nothing.
    let export = fake.seen().into_iter().find(|it| it.line.starts_with(EXPORT)).unwrap();
    assert_eq!(export.line, "GET /v1/audit/export?format=jsonl");
}

#[test]
fn all_of_it_is_given_out_byte_by_byte_and_a_pinned_key_asks_nobody() {
    let trail = Trail::of_a_kill();
    let fake = server(&trail, &trail.whole());
    let ended = proved(&fake, &["--key", &trail.key().to_string()]);
    assert_eq!((ended.code, ended.out), (0, trail.whole()), "{}", ended.err);
    assert!(ended.err.contains("the one that you pinned"), "{}", ended.err);
    assert_eq!(fake.seen().len(), 1);

    let fake = server(&trail, &trail.whole());
    let mut pinned = command(&fake.url, &["audit", "export", "--verify-chain"]);
    let ended = end(pinned.env("KYA_AUDIT_KEY", trail.key().to_string()).spawn().unwrap());
    assert_eq!((ended.code, ended.out), (0, trail.whole()), "{}", ended.err);
}

#[test]
fn whatever_was_changed_is_found_and_nothing_is_given_out() {
    let trail = Trail::of_a_kill();
    let whole = trail.whole();
    let lines: Vec<_> = whole.lines().collect();
    let without = |n: usize| {
        let kept = lines.iter().enumerate().filter(|it| it.0 != n).map(|it| *it.1);
        kept.collect::<Vec<_>>().join("\n") + "\n"
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("trail.jsonl");
    for (what, changed, part) in [
        ("edited", whole.replacen("\"action\":\"pay\"", "\"action\":\"read\"", 1), "record 2"),
        ("removed", without(3), "record 3 was taken out"),
        ("cut", lines[..5].join("\n"), "cut off"),
        ("no checkpoint", without(8), "cut off"),
        ("nothing", String::new(), "everything was taken out"),
        ("no text", "\u{0}\n".to_owned(), "malformed"),
        ("put in", whole.replacen(lines[2], &format!("{0}\n{0}", lines[2]), 1), "put in"),
    ] {
        assert_ne!(changed, whole, "{what}");
        for args in [&[][..], &["--out", out.to_str().unwrap()], &["--format", "csv"]] {
            let fake = server(&trail, &changed);
            let ended = proved(&fake, args);
            assert_eq!((ended.code, ended.out.as_str()), (7, ""), "{what}: {ended:?}");
            assert!(ended.err.contains("NOT VERIFIED"), "{what}: {ended:?}");
            assert!(ended.err.contains(part), "{what}: {part}: {ended:?}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let fake = server(&trail, &without(3));
    let ended = proved(&fake, &["-o", "json"]);
    let problem = ended.problem();
    assert_eq!((ended.code, problem["code"].as_str()), (7, Some("not_verified")));
    let problems = &problem["verification"]["report"]["problems"];
    assert_eq!((&problems[0]["kind"], &problems[0]["record"]), (&json!("removed"), &json!(3)));
}

#[test]
fn a_server_that_hides_a_record_of_the_whole_trail_is_found() {
    let trail = Trail::of_a_kill();
    let hiding = Filter { decision: Some(kya_core::audit::Verdict::Deny), ..Filter::default() };
    let fake = server(&trail, &trail.export(&hiding));
    let ended = proved(&fake, &[]);
    assert_eq!((ended.code, ended.out.as_str()), (7, ""), "{ended:?}");
    assert!(ended.err.contains("hides 2 to 5"), "{ended:?}");
}

#[test]
fn another_key_than_the_pinned_one_proves_nothing() {
    let trail = Trail::of_a_kill();
    let other = kya_core::Signer::from_seed([8; 32]).public_key();
    let other = VerifierKey::new(support::trail::ORIGIN, other).unwrap().to_string();
    let fake = server(&trail, &trail.whole());
    let ended = proved(&fake, &["--key", &other]);
    assert_eq!((ended.code, ended.out.as_str()), (7, ""), "{ended:?}");
    assert!(ended.err.contains("wrong_key"), "{ended:?}");
}

#[test]
fn a_trail_that_was_cut_or_replaced_since_a_checkpoint_was_kept_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.checkpoint");
    let trail = Trail::of_a_kill();
    std::fs::write(&path, trail.checkpoint()).unwrap();
    let kept = ["--checkpoint", path.to_str().unwrap()];
    let (mut longer, mut other) = (Trail::of_a_kill(), Trail::new());
    longer.decision(5, "deny", 42, AGENT);
    for number in 1..=9 {
        other.decision(number, "deny", 42, AGENT);
    }
    for (now, code, part) in [
        (&trail, 0, "Verified"),
        (&longer, 0, "Verified"),
        (&Trail::of_two(), 7, "rollback"),
        (&other, 7, "split_view"),
    ] {
        let ended = proved(&server(now, &now.whole()), &kept);
        assert_eq!((ended.code, ended.out.is_empty()), (code, code == 7), "{ended:?}");
        assert!(ended.err.contains(part), "{part}: {ended:?}");
    }
}

#[test]
fn what_is_asked_for_is_picked_and_written_as_asked() {
    let trail = Trail::of_a_kill();
    for (args, count) in [
        (&["--decision", "deny"][..], 1),
        (&["--decision", "allow"], 2),
        (&["--action", "pay"], 3),
        (&["--type", "kill_activated,kill_scope"], 2),
        (&["--act", "agent.revoked"], 1),
        (&["--since", "2026-02-05T14:00:06Z"], 2),
        (&["--until", "2026-02-05T14:00:06Z"], 5),
        (&["--agent", AGENT, "--decision", "allow"], 1),
        (&[], 7),
    ] {
        let fake = server(&trail, &trail.whole());
        let ended = proved(&fake, &[args, &["--format", "csv"]].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        let lines: Vec<_> = ended.out.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), count + 1, "{args:?}: {ended:?}");
        assert!(lines[0].starts_with("seq,time,recorded,type,"), "{}", lines[0]);

        let fake = server(&trail, &trail.whole());
        let ended = proved(&fake, &[args, &["--format", "cloudevents"]].concat());
        let events: Vec<Value> =
            ended.out.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        assert_eq!(events.len(), count, "{args:?}: {ended:?}");
        for event in events {
            assert_eq!(event["specversion"], "1.0");
            assert_eq!(event["source"], "//kya.test/audit");
            assert_eq!(event["id"], event["data"]["seq"].to_string());
        }
    }
}

#[test]
fn a_file_is_whole_or_not_there() {
    let trail = Trail::of_a_kill();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trail.jsonl");
    let out = path.to_str().unwrap();
    let fake = server(&trail, &trail.whole());
    let ended = proved(&fake, &["--out", out, "-o", "json"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, ""), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), trail.whole());
    let said = ended.problem();
    assert_eq!((&said["verified"], &said["keys_from"]), (&json!(true), &json!("server")));
    assert_eq!(said["report"]["outcome"], "whole");

    // The answer ends in the middle.
    let fake = Fake::start();
    fake.on_cut(EXPORT, &trail.whole());
    let ended = kya(&fake.url, &["audit", "export", "--out", out, "--timeout", "5s"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), trail.whole());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn without_proof_the_server_picks_and_that_is_said() {
    let trail = Trail::of_a_kill();
    let fake = server(&trail, "seq,time\r\n");
    let args = ["audit", "export", "--agent", AGENT, "--since", "2026-02-05T14:00:00Z"];
    let more = ["--decision", "deny", "--type", "decision", "--format", "csv"];
    let ended = kya(&fake.url, &[&args[..], &more].concat());
    assert_eq!((ended.code, ended.out.as_str()), (0, "seq,time\r\n"), "{ended:?}");
    assert!(ended.err.contains("Not verified"), "{ended:?}");
    let since = kya_core::audit::Timestamp(START).to_string().replace(':', "%3A");
    assert_eq!(
        fake.seen()[0].line,
        format!(
            "GET /v1/audit/export?agent_id={AGENT}&since={since}&decision=deny&type=decision&format=csv"
        )
    );
}

#[test]
fn what_can_be_nothing_is_refused_before_anything_is_sent() {
    let fake = Fake::start();
    for (args, part) in [
        (&["--since", "2026-02-05T15:00:00Z", "--until", "2026-02-05T14:00:00Z"][..], "not before"),
        (&["--since", "1h", "--until", "2h"], "not before"),
        (&["--out", "/nonexistent/kya/trail.jsonl"], "nothing can be written there"),
        (&["--out", "/"], "nothing can be written there"),
        (&["--type", "decision,ended"], "the server picks one --type"),
        (&["--format", "xml"], "possible values: jsonl, csv, cloudevents"),
        (&["--type", "decisions"], "possible values: decision, ended"),
        (&["--decision", "ALLOW"], "possible values: allow, deny, pass"),
        (&["--since", "yesterday"], "like 2h"),
        (&["--agent", "billing"], "must start with `agt_`"),
    ] {
        let ended = kya(&fake.url, &[&["audit", "export"], args].concat());
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{args:?}: {ended:?}");
        assert!(ended.err.contains(part), "{part}: {ended:?}");
    }
    assert_eq!(fake.seen(), []);
}
