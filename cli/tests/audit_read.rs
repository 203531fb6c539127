//! `kya audit tail`, `show`, `checkpoint`, `proof` and `keys`.

use std::io::{BufRead, BufReader};

use kya_core::audit::{SignedCheckpoint, VerifierKey};
use serde_json::{Value, json};

use crate::support::trail::{ORIGIN, Trail};
use crate::support::*;

/// A server that gives proof of record 2 of two.
fn server(trail: &Trail) -> Fake {
    let fake = Fake::start();
    fake.on("GET /v1/audit/keys", 200, &trail.keys());
    fake.on("GET /v1/audit/checkpoint", 200, &trail.newest_checkpoint());
    for seq in [1, 2] {
        fake.on(&format!("GET /v1/audit/records/{seq}"), 200, &trail.line(seq));
    }
    fake.on("GET /v1/audit/proofs/inclusion", 200, &trail.proof_of_two(2));
    fake
}

#[test]
fn a_record_is_shown_as_a_line_and_whole() {
    let ended = kya(&server(&Trail::of_two()).url, &["audit", "show", "2"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines: Vec<_> = ended.out.lines().collect();
    assert!(lines[0].starts_with("2026-02-05 14:00:02.000"), "{ended:?}");
    assert!(lines[0].contains("ALLOW") && lines[0].contains(AGENT), "{ended:?}");
    assert!(ended.out.contains("\"decision\": \"allow\""), "{ended:?}");
    let ended = kya(&server(&Trail::of_two()).url, &["-o", "json", "audit", "show", "2"]);
    assert_eq!(ended.json(), Trail::of_two().line(2));
    let fake = Fake::start();
    fake.on("GET /v1/audit/records/9", 404, &problem(404, "not_found", "there are 2 records"));
    let ended = kya(&fake.url, &["audit", "show", "9"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("there are 2 records"), "{ended:?}");
}

#[test]
fn a_checkpoint_is_given_out_as_it_was_signed() {
    let trail = Trail::of_two();
    let ended = kya(&server(&trail).url, &["audit", "checkpoint"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, trail.checkpoint().as_str()));
    SignedCheckpoint::parse(&ended.out).unwrap();
    assert!(ended.err.contains("2 records, signed at 2026-02-05T15:00:00"), "{ended:?}");
    assert!(ended.err.contains("this trusts the server"), "{ended:?}");

    let other = kya_core::Signer::from_seed([8; 32]).public_key();
    let other = VerifierKey::new(ORIGIN, other).unwrap().to_string();
    let ended = kya(&server(&trail).url, &["audit", "checkpoint", "--key", &other]);
    assert_eq!((ended.code, ended.out.as_str()), (7, ""), "{ended:?}");
}

#[test]
fn keys_are_given_out_one_a_line() {
    let trail = Trail::of_two();
    let ended = kya(&server(&trail).url, &["audit", "keys"]);
    assert_eq!((ended.code, ended.out), (0, format!("{}\n", trail.key())));
}

#[test]
fn whoever_pinned_the_key_before_follows_to_the_one_that_signs() {
    let (trail, old) = Trail::with_a_replaced_key();
    let checked = |named: Value, key: &VerifierKey| {
        let fake = Fake::start();
        let keys = json!({ "keys": [
            { "seq": 1, "verifier_key": old, "signs": false },
            { "seq": 2, "verifier_key": trail.key(), "signs": true },
        ] });
        fake.on("GET /v1/audit/keys", 200, &keys);
        fake.on("GET /v1/audit/checkpoint", 200, &trail.newest_checkpoint());
        fake.on("GET /v1/audit/records/1", 200, &trail.line(1));
        fake.on("GET /v1/audit/records/2", 200, &named);
        kya(&fake.url, &["audit", "checkpoint", "--key", &key.to_string()])
    };
    let ended = checked(trail.line(2), &old);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("the one that you pinned, or follows from it"), "{ended:?}");
    assert_eq!(checked(trail.line(2), &trail.key()).code, 0);
    // One that the key before did not sign.
    let mut forged = trail.line(2);
    forged["record"]["signature"] = json!("AAAA");
    assert_eq!(checked(forged, &old).code, 7);
    assert_eq!(checked(trail.line(1), &old).code, 7);
    let other = kya_core::Signer::from_seed([9; 32]).public_key();
    assert_eq!(checked(trail.line(2), &VerifierKey::new(ORIGIN, other).unwrap()).code, 7);
}

#[test]
fn a_record_is_proved_to_be_in_the_trail() {
    let trail = Trail::of_two();
    let key = trail.key().to_string();
    let ended = kya(&server(&trail).url, &["audit", "proof", "2", "--key", &key]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("Verified: record 2 is in the trail of 2 records"), "{ended:?}");
    let ended = kya(&server(&trail).url, &["-o", "json", "audit", "proof", "2"]);
    let proof = ended.json();
    assert_eq!((&proof["verified"], &proof["keys_from"]), (&json!(true), &json!("server")));
    assert_eq!(proof["record"], trail.records[1]);
    assert_eq!(proof["checkpoint"], trail.checkpoint());
}

#[test]
fn a_record_that_was_changed_is_not_proved() {
    let trail = Trail::of_two();
    let mut edited = trail.line(2);
    edited["record"]["action"] = json!("read");
    for (line, answer, part) in [
        ("GET /v1/audit/records/2", edited, "record 2 is not under the root"),
        ("GET /v1/audit/records/2", trail.line(1), "another record was given"),
        ("GET /v1/audit/proofs/inclusion", trail.proof_of_two(1), "not under the root"),
        (
            "GET /v1/audit/proofs/inclusion",
            json!({ "of": 2, "size": 2, "hashes": [] }),
            "not under the root",
        ),
    ] {
        let fake = server(&trail);
        fake.on(line, 200, &answer);
        let ended = kya(&fake.url, &["audit", "proof", "2"]);
        assert_eq!((ended.code, ended.out.as_str()), (7, ""), "{ended:?}");
        assert!(ended.err.contains(part), "{part}: {ended:?}");
    }
    let ended = kya(&server(&trail).url, &["audit", "proof", "3"]);
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.err.contains("not under the newest checkpoint"), "{ended:?}");
}

#[test]
fn the_newest_records_are_shown() {
    let trail = Trail::of_a_kill();
    let fake = Fake::start();
    let page = json!({ "records": [trail.line(7), trail.line(6)], "next": null });
    fake.on("GET /v1/audit/records", 200, &page);
    let ended = kya(&fake.url, &["audit", "tail", "-n", "2", "--type", "decision"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines.len(), 2, "{ended:?}");
    assert!(lines[0].contains("6  DENY") && lines[1].contains("7  ALLOW"), "{ended:?}");
    assert!(!ended.out.contains('\u{1b}'), "{ended:?}");
    assert_eq!(fake.seen()[0].line, "GET /v1/audit/records?type=decision&order=newest&limit=2");

    fake.on("GET /v1/audit/records", 200, &page);
    let ended = kya(&fake.url, &["-o", "json", "audit", "tail", "-n", "2"]);
    let lines: Vec<Value> =
        ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, [trail.line(6), trail.line(7)]);

    fake.on("GET /v1/audit/records", 200, &json!({ "records": [], "next": null }));
    let ended = kya(&fake.url, &["audit", "tail"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
    assert!(ended.err.contains("No records."), "{ended:?}");
}

#[test]
fn pages_are_asked_for_until_there_are_enough_and_types_are_picked() {
    let trail = Trail::of_a_kill();
    let fake = Fake::start();
    // A page may be empty though more follow.
    for (records, next) in
        [(vec![7, 5], Some(5)), (vec![], Some(4)), (vec![3, 4], Some(2)), (vec![1], None)]
    {
        let records: Vec<_> = records.into_iter().map(|seq| trail.line(seq)).collect();
        let page = json!({ "records": records, "next": next }).to_string();
        fake.then_text("GET /v1/audit/records", 200, &page);
    }
    let types = "kill_activated,kill_scope,key";
    let ended = kya(&fake.url, &["-o", "json", "audit", "tail", "-n", "3", "--type", types]);
    let seq = |line: &str| serde_json::from_str::<Value>(line).unwrap()["record"]["seq"].clone();
    assert_eq!(ended.out.lines().map(seq).collect::<Vec<_>>(), [1, 4, 3], "{ended:?}");
    let asked: Vec<_> = fake.seen().into_iter().map(|it| it.line).collect();
    let page = |more: &str| format!("GET /v1/audit/records?order=newest&{more}");
    assert_eq!(
        asked,
        [page("limit=3"), page("from=5&limit=3"), page("from=4&limit=3"), page("from=2&limit=1")]
    );
    // One that leads back to itself ends.
    let fake = Fake::start();
    fake.otherwise(200, &json!({ "records": [], "next": 5 }).to_string());
    assert_eq!(kya(&fake.url, &["audit", "tail"]).code, 0);
    assert_eq!(fake.seen().len(), 2);
}

/// Server-sent events of these records.
fn events(trail: &Trail, records: &[u64]) -> String {
    let event = |seq: &u64| format!("id: {seq}\ndata: {}\n\n", trail.line(*seq));
    let all: String = records.iter().map(event).collect();
    format!(": here\n\n{all}")
}

#[test]
fn what_comes_is_shown_and_a_lost_connection_is_made_again_from_there() {
    let trail = Trail::of_a_kill();
    let fake = Fake::start();
    for seq in [3, 2] {
        let page = json!({ "records": [trail.line(seq)], "next": seq - 1 }).to_string();
        fake.then_text("GET /v1/audit/records", 200, &page);
    }
    fake.then_text("GET /v1/audit/tail", 200, &events(&trail, &[4, 5]));
    fake.then_text("GET /v1/audit/tail", 200, &events(&trail, &[6]));
    fake.then_text("GET /v1/audit/tail", 403, &problem(403, "forbidden", "no more").to_string());
    let args = ["-o", "json", "audit", "tail", "-f", "-n", "1", "--agent", AGENT];
    let mut child = command(&fake.url, &args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        line["record"]["seq"].as_u64().unwrap()
    };
    assert_eq!([next(), next(), next()], [2, 4, 5]);
    assert_eq!(next(), 6);
    let ended = end(child);
    assert_eq!(ended.code, 1, "{ended:?}");
    let after = |seq: &str| Some(seq.to_owned());
    assert_eq!(fake.resumed(), [after("3"), after("5"), after("6")]);
}

#[test]
fn who_may_not_read_the_trail_is_told_and_nothing_is_tried_again() {
    let fake = Fake::start();
    fake.on("GET /v1/audit/tail", 403, &problem(403, "forbidden", "audit.read is not yours"));
    fake.on("GET /v1/audit/records", 200, &json!({ "records": [], "next": null }));
    let ended = kya(&fake.url, &["audit", "tail", "-f", "-n", "0"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("audit.read is not yours"), "{ended:?}");
    assert_eq!((fake.seen().len(), fake.resumed()), (2, vec![Some("0".to_owned())]));
    let ended = kya("http://127.0.0.1:1", &["audit", "tail", "-f", "-n", "0"]);
    assert_eq!(ended.code, 3, "{ended:?}");
}
