//! Changes of status: what is printed, and what is said of acknowledgements.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout};

use serde_json::{Value, json};

use crate::support::*;

const REVOKE: &[&str] =
    &["agent", "revoke", AGENT, "--reason", "prompt_injection_suspected", "--incident-id", "INC-1"];
const THREE_LINES: &str = "\
Revoked: agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z
All verify calls will now return DENY
Revocation logged at: 2026-02-05T14:47:23.891Z
";

fn revoking(change: &Value, acks: &Value) -> Fake {
    let fake = Fake::start();
    fake.on(&format!("POST /v1/agents/{AGENT}/revoke"), 200, change);
    fake.on(ACKS, 200, acks);
    fake
}

#[test]
fn revoke_prints_the_three_lines_and_who_acknowledged() {
    let fake = revoking(&change("revoked", true), &acknowledgements(&[]));
    let ended = kya(&fake.url, REVOKE);
    let acknowledged = "Acknowledged by 4 of 4 workers of 2 of 2 proxies in 3.1 ms\n";
    assert_eq!((ended.code, &*ended.err), (0, ""));
    assert_eq!(ended.out, format!("{THREE_LINES}{acknowledged}"));
    let seen = fake.seen();
    assert_eq!(seen[0].line, format!("POST /v1/agents/{AGENT}/revoke"));
    let why = json!({"reason": "prompt_injection_suspected", "incident_id": "INC-1"});
    assert_eq!(seen[0].body, why);
    assert_eq!(seen[1].line, format!("{ACKS}?wait_ms=2000"));
}

/// A revocation under way that has printed its three lines and no more.
fn after_three_lines(fake: &Fake) -> (Child, BufReader<ChildStdout>) {
    let mut child = command(&fake.url, REVOKE).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut lines = String::new();
    for _ in 0..3 {
        out.read_line(&mut lines).unwrap();
    }
    assert_eq!(lines, THREE_LINES);
    (child, out)
}

#[test]
fn the_three_lines_are_out_before_the_acknowledgements_are_in() {
    let fake = Fake::start();
    fake.on(&format!("POST /v1/agents/{AGENT}/revoke"), 200, &change("revoked", true));
    let release = fake.on_held(ACKS, 200, &acknowledgements(&[]));
    let (mut child, mut out) = after_three_lines(&fake);
    assert_eq!(child.try_wait().unwrap(), None, "it did not wait");
    release.send(()).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("Acknowledged by 4 of 4 workers"), "{rest}");
    assert_eq!(end(child).code, 0);
}

#[test]
fn workers_that_have_not_acknowledged_are_named() {
    let pending = [("sidecar-b", 1), ("sidecar-a", 1), ("sidecar-b", 0)];
    let fake = revoking(&change("revoked", true), &acknowledgements(&pending));
    let ended = kya(&fake.url, &[REVOKE, &["--wait", "150ms"]].concat());
    assert_eq!(ended.code, 0);
    assert_eq!(
        ended.out.strip_prefix(THREE_LINES),
        Some(
            "Acknowledged by 1 of 4 workers of 0 of 2 proxies within 150ms
Not yet: proxy sidecar-a worker 1
Not yet: proxy sidecar-b worker 0
Not yet: proxy sidecar-b worker 1
Whatever has not acknowledged may still allow the agent.
"
        )
    );
    assert_eq!(fake.seen()[1].line, format!("{ACKS}?wait_ms=150"));
}

#[test]
fn a_proxy_that_is_not_connected_is_named_whatever_the_others_say() {
    let absent = |count: u32| -> Value {
        let each =
            |n| json!({"node_id": format!("gone-{n}\u{1b}"), "since": "2026-02-05T14:30:00.000Z"});
        (0..count).map(each).collect()
    };
    let line = |n| {
        format!(
            "Not connected: proxy gone-{n}\\u{{1b}} since 2026-02-05T14:30:00.000Z: \
             it decides by the last state it received\n"
        )
    };
    for (mut acks, before, after) in [
        (acknowledgements(&[]), "2 proxies in 3.1 ms\n", ""),
        (
            acknowledgements(&[("sidecar-a", 1)]),
            "Not yet: proxy sidecar-a worker 1\n",
            "Whatever has not acknowledged may still allow the agent.\n",
        ),
        (nobody(), "may still allow the agent until then.\n", ""),
    ] {
        acks["disconnected"] = absent(2);
        let ended = kya(&revoking(&change("revoked", true), &acks).url, REVOKE);
        assert_eq!(ended.code, 0);
        let expected = format!("{before}{}{}{after}", line(0), line(1));
        assert!(ended.out.ends_with(&expected), "{ended:?}");
    }
    let mut acks = acknowledgements(&[]);
    acks["disconnected"] = absent(60);
    let ended = kya(&revoking(&change("revoked", true), &acks).url, REVOKE);
    assert_eq!(ended.out.matches("Not connected: proxy").count(), 50);
    let rest = "\nNot connected: 10 more proxies (`-o json` names all)\n";
    assert!(ended.out.ends_with(rest), "{ended:?}");
}

#[test]
fn a_proxy_without_workers_is_not_taken_for_acknowledged() {
    let mut acks = acknowledgements(&[]);
    for (field, value) in [("complete", json!(false)), ("proxies_acknowledged", json!(1))] {
        acks[field] = value;
    }
    let fake = revoking(&change("revoked", true), &acks);
    let ended = kya(&fake.url, REVOKE);
    assert!(
        ended.out.ends_with(
            "workers of 1 of 2 proxies within 2s
Not yet: 1 proxy that has not reported any worker
Whatever has not acknowledged may still allow the agent.
"
        ),
        "{ended:?}"
    );
}

#[test]
fn a_long_list_of_laggards_is_cut_and_the_rest_counted() {
    let pending: Vec<_> = (0..60).map(|slot| ("sidecar-a", slot)).collect();
    let mut acks = acknowledgements(&[]);
    let named = |(node, slot): &(&str, u32)| json!({"node_id": node, "slot": slot, "instance": ""});
    acks["pending"] = pending.iter().map(named).collect();
    acks["complete"] = json!(false);
    acks["proxies_acknowledged"] = json!(1);
    let fake = revoking(&change("revoked", true), &acks);
    let ended = kya(&fake.url, REVOKE);
    assert_eq!(ended.out.matches("Not yet: proxy").count(), 50);
    assert!(ended.out.contains("\nNot yet: 10 more workers (`-o json` names all)\n"), "{ended:?}");
}

#[test]
fn with_no_proxy_connected_nothing_is_claimed() {
    let fake = revoking(&change("revoked", true), &nobody());
    let ended = kya(&fake.url, REVOKE);
    assert_eq!(ended.code, 0);
    assert_eq!(
        ended.out.strip_prefix(THREE_LINES),
        Some(
            "No proxy is connected: no worker has acknowledged this revocation.
It takes effect in a proxy when that proxy connects; one that has lost its connection may still \
             allow the agent until then.
"
        )
    );
}

#[test]
fn revoking_again_says_so_and_claims_no_time() {
    let fake = revoking(&change("revoked", false), &acknowledgements(&[]));
    let ended = kya(&fake.url, REVOKE);
    assert_eq!(ended.code, 0);
    assert_eq!(
        ended.out.strip_prefix(THREE_LINES),
        Some(
            "(already revoked; nothing changed)
Acknowledged by 4 of 4 workers of 2 of 2 proxies
"
        )
    );
}

#[test]
fn json_is_one_document_of_the_change_and_its_acknowledgements() {
    let (change, acks) = (change("revoked", true), acknowledgements(&[("sidecar-a", 1)]));
    let fake = revoking(&change, &acks);
    let ended = kya(&fake.url, &[REVOKE, &["-o", "json"]].concat());
    assert_eq!((ended.code, &*ended.err), (0, ""));
    assert_eq!(ended.json(), json!({"change": change, "acknowledgements": acks}));
}

#[test]
fn the_other_changes_report_in_the_same_way() {
    let agent = |action| format!("POST /v1/agents/{AGENT}/{action}");
    for (args, line, change, lines) in [
        (
            &["agent", "restore", AGENT][..],
            agent("restore"),
            change("active", true),
            format!(
                "Restored: {AGENT}
Verify calls with its valid tokens will now return ALLOW
Restoration logged at: 2026-02-05T14:47:23.891Z
"
            ),
        ),
        (
            &["token", "revoke", TOKEN_ID, "--reason", "r"],
            format!("POST /v1/tokens/{TOKEN_ID}/revoke"),
            token_change(true),
            format!(
                "Revoked: {TOKEN_ID}
All verify calls with this token will now return DENY
Revocation logged at: 2026-02-05T14:47:23.891Z
"
            ),
        ),
    ] {
        let fake = Fake::start();
        fake.on(&line, 200, &change);
        fake.on(ACKS, 200, &acknowledgements(&[]));
        let ended = kya(&fake.url, args);
        let acknowledged = "Acknowledged by 4 of 4 workers of 2 of 2 proxies in 3.1 ms\n";
        assert_eq!((ended.code, ended.out), (0, format!("{lines}{acknowledged}")), "{args:?}");

        fake.on(&line, 200, &change);
        fake.on(ACKS, 200, &nobody());
        let ended = kya(&fake.url, &[args, &["-o", "json"]].concat());
        assert_eq!(ended.json(), json!({"change": change, "acknowledgements": nobody()}));
    }
}

#[test]
fn restoring_may_leave_a_worker_that_still_denies() {
    let fake = Fake::start();
    fake.on(&format!("POST /v1/agents/{AGENT}/restore"), 200, &change("active", true));
    fake.on(ACKS, 200, &acknowledgements(&[("sidecar-a", 0)]));
    let ended = kya(&fake.url, &["agent", "restore", AGENT]);
    assert!(
        ended.out.ends_with("Whatever has not acknowledged may still deny the agent.\n"),
        "{ended:?}"
    );
    assert_eq!(fake.seen()[0].body, json!({}));
}

#[test]
fn a_refused_question_after_the_commit_does_not_hide_the_commit() {
    let fake = Fake::start();
    let line = format!("POST /v1/agents/{AGENT}/revoke");
    fake.otherwise(503, &problem(503, "unavailable", "shutting down").to_string());
    fake.on(&line, 200, &change("revoked", true));
    let ended = kya(&fake.url, REVOKE);
    assert_eq!((ended.code, &*ended.out), (1, THREE_LINES));
    let said = "kya: the revocation IS committed (revision 42), but it is unknown which workers have \
                acknowledged it: refused: shutting down (503 unavailable)\n";
    assert!(ended.err.starts_with(said), "{ended:?}");

    fake.on(&line, 200, &change("revoked", true));
    let ended = kya(&fake.url, &[REVOKE, &["-o", "json"]].concat());
    assert_eq!(ended.code, 1);
    let document = json!({"change": change("revoked", true), "acknowledgements": null});
    assert_eq!(ended.json(), document);
    assert_eq!(ended.problem()["code"], "acknowledgement_unknown");
}

#[test]
fn a_lost_question_after_the_commit_is_unreachable_and_says_committed() {
    let fake = Fake::start();
    fake.on(&format!("POST /v1/agents/{AGENT}/revoke"), 200, &change("revoked", true));
    let held = fake.on_held(ACKS, 200, &acknowledgements(&[]));
    let (child, mut out) = after_three_lines(&fake);
    // Whether it asks already or is about to, the server is gone now.
    drop((fake, held));
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let ended = end(child);
    assert_eq!((ended.code, &*rest), (3, ""), "{ended:?}");
    assert!(ended.err.contains("the revocation IS committed (revision 42)"), "{ended:?}");
}

#[test]
fn an_answer_about_another_agent_or_status_is_no_revocation() {
    let mut other = change("revoked", true);
    other["agent"]["agent_id"] = json!("agt_01JXMK9P2Q3R4S5T6V7W8X9Y00");
    for answer in [other, change("active", true)] {
        let fake = revoking(&answer, &acknowledgements(&[]));
        let ended = kya(&fake.url, REVOKE);
        assert_eq!((ended.code, &*ended.out), (1, ""));
        assert!(ended.err.contains("asked to revoke agt_01JXMK9P2Q"), "{ended:?}");
    }
}

#[test]
fn a_token_that_the_server_did_not_revoke_is_not_called_revoked() {
    let mut change = token_change(true);
    change["token"]["revoked_at"] = Value::Null;
    change["token"]["status"] = json!("expired");
    let fake = Fake::start();
    fake.on(&format!("POST /v1/tokens/{TOKEN_ID}/revoke"), 200, &change);
    let ended = kya(&fake.url, &["token", "revoke", TOKEN_ID, "--reason", "r"]);
    assert_eq!((ended.code, &*ended.out), (1, ""));
    assert!(ended.err.contains("is expired"), "{ended:?}");
}
