//! Opaque tokens: how they are shown, and many taken back at once.

use serde_json::{Value, json};

use crate::support::*;

const PATH: &str = "POST /v1/tokens/revoke";
const WHY: [&str; 4] = ["--reason", "refund_loop", "--incident-id", "INC-7"];

fn answering(answer: &Value) -> Fake {
    let fake = Fake::start();
    fake.on(PATH, 200, answer);
    fake.on(ACKS, 200, &acknowledgements(&[]));
    fake
}

fn revoke(fake: &Fake, targets: &[&str]) -> Ended {
    kya(&fake.url, &[&["token", "revoke"], targets, &WHY].concat())
}

fn lines(what: &str) -> String {
    format!(
        "Revoked: {what}
All verify calls with these tokens will now return DENY
Revocation logged at: 2026-02-05T14:47:23.891Z
Acknowledged by 4 of 4 workers of 2 of 2 proxies in 3.1 ms
"
    )
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
fn all_tokens_of_an_agent_are_taken_back_until_an_instant() {
    let of = json!({ "agent_id": AGENT });
    let fake = answering(&tokens_change(&of, None));
    let ended = revoke(&fake, &["--agent", AGENT]);
    let what = format!("every token of {AGENT} that was issued up to 2026-02-05T14:47:23.000Z");
    assert_eq!((ended.code, ended.out), (0, lines(&what)), "{}", ended.err);
    let sent = json!({ "agent_id": AGENT, "reason": "refund_loop", "incident_id": "INC-7" });
    assert_eq!(fake.seen()[0].body, sent);

    let mut again = tokens_change(&of, None);
    again["changed"] = json!(false);
    let out = revoke(&answering(&again), &["--agent", AGENT]).out;
    assert!(out.contains("(already revoked; nothing changed)\n"), "{out}");

    let answer = tokens_change(&of, None);
    let json = revoke(&answering(&answer), &["--agent", AGENT, "-o", "json"]).json();
    assert_eq!((&json["change"], &json["acknowledgements"]["complete"]), (&answer, &json!(true)));
}

#[test]
fn tokens_are_selected_by_labels_and_by_what_they_are_for() {
    let of = json!({
        "agent_id": AGENT, "selector": "env=staging", "service": "shop", "action": "pay",
    });
    let targets =
        ["--agent", AGENT, "--selector", "env=staging", "--service", "shop", "--action", "pay"];
    let fake = answering(&tokens_change(&of, Some(3)));
    let ended = revoke(&fake, &targets);
    let which = format!(
        "of {AGENT} of agents matching env=staging for the service shop for the action pay"
    );
    assert_eq!((ended.code, ended.out), (0, lines(&format!("3 tokens {which}"))), "{}", ended.err);
    let mut sent = of.clone();
    sent["reason"] = json!("refund_loop");
    sent["incident_id"] = json!("INC-7");
    assert_eq!(fake.seen()[0].body, sent);

    let mut none = tokens_change(&of, Some(0));
    for gone in ["revision", "committed_at", "committed_unix_ms"] {
        none.as_object_mut().unwrap().remove(gone);
    }
    none["changed"] = json!(false);
    let fake = answering(&none);
    let ended = revoke(&fake, &targets);
    let said = format!("There is no token to revoke {which}: nothing was changed\n");
    assert_eq!((ended.code, ended.out), (0, said));
    assert_eq!(fake.seen().len(), 1, "there is nothing to acknowledge");
    let json = revoke(&answering(&none), &[&targets[..], &["-o", "json"]].concat()).json();
    assert_eq!(json, json!({ "change": none, "acknowledgements": null }));
}

#[test]
fn revoked_is_said_only_of_what_was_meant() {
    let of = json!({ "agent_id": AGENT, "service": "shop" });
    for (field, other) in [
        ("agent_id", json!("agt_01JXMK9P2Q3R4S5T6V7W8X9Y1Z")),
        ("agent_id", Value::Null),
        ("selector", json!("env=prod")),
        ("service", Value::Null),
        ("action", json!("pay")),
    ] {
        let mut answer = tokens_change(&of, Some(3));
        answer[field] = other;
        let ended = revoke(&answering(&answer), &["--agent", AGENT, "--service", "shop"]);
        assert_eq!((ended.code, &*ended.out), (1, ""), "{field}: {}", ended.err);
        assert!(ended.err.contains("it says that it was those"), "{}", ended.err);
    }
}

#[test]
fn a_dry_run_says_how_many_and_writes_nothing() {
    let would = json!({ "dry_run": true, "changed": true, "reach": reach(0, 5) });
    let fake = answering(&would);
    let ended = revoke(&fake, &["--selector", "env=staging", "--dry-run"]);
    let lines =
        "Would revoke every token of agents matching env=staging: it reaches 5 unexpired tokens
Dry run: nothing was written
";

    assert_eq!((ended.code, &*ended.out), (0, lines), "{}", ended.err);

    assert_eq!((fake.seen().len(), &fake.seen()[0].body["dry_run"]), (1, &json!(true)));

    // What was done after all is not called a dry run.
    let done = tokens_change(&json!({ "selector": "env=staging" }), Some(5));
    let ended = revoke(&answering(&done), &["--selector", "env=staging", "--dry-run"]);
    assert_eq!((ended.code, &*ended.out), (1, ""), "{}", ended.err);
}

#[test]
fn one_token_is_one_and_a_revocation_says_whose_tokens_it_means() {
    let fake = Fake::start();
    for (targets, part) in [
        (&[][..], "<TOKEN_ID|--agent <ID>|--selector <SELECTOR>>"),
        (&[TOKEN_ID, "--agent", AGENT], "cannot be used with"),
        (&[TOKEN_ID, "--selector", "env=x"], "cannot be used with"),
        (&[TOKEN_ID, "--service", "shop"], "cannot be used with"),
        (&[TOKEN_ID, "--action", "pay"], "cannot be used with"),
        (&["--service", "shop"], "--agent <ID>|--selector <SELECTOR>"),
        (&["--action", "pay"], "--agent <ID>|--selector <SELECTOR>"),
        (&["--agent", TOKEN_ID], "must start with `agt_`"),
        (&["--agent", AGENT, "--service", "Shop"], "lower-case letters"),
        (&["--agent", AGENT, "--action", "p\u{430}y"], "--action"),
        (&["--selector", "env="], "--selector"),
    ] {
        let ended = revoke(&fake, targets);
        assert_eq!((ended.code, &*ended.out), (2, ""), "{targets:?}: {ended:?}");
        assert!(ended.err.contains(part), "{targets:?}: {}", ended.err);
    }
    assert_eq!(fake.seen(), []);
}
