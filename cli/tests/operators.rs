//! `kya operator …`, `kya whoami`, and keys that are none.

use serde_json::json;

use crate::support::*;

#[test]
fn the_key_of_a_new_operator_alone_is_on_stdout() {
    let fake = Fake::start();
    let mut added = operator("active");
    added["key"] = json!("ok_the-key-itself");
    fake.on("POST /v1/operators", 201, &added);
    let add = ["operator", "add", "oncall", "--role", "operator"];
    let ended = kya(&fake.url, &add);
    assert_eq!((ended.code, &*ended.out), (0, "ok_the-key-itself\n"));
    let said = "oncall, operator, expires 2026-05-06T14:00:00.000Z. The key is for KYA_TOKEN";
    assert!(ended.err.contains(said), "{ended:?}");
    assert!(!ended.err.contains("ok_the-key-itself"), "{ended:?}");

    fake.on("POST /v1/operators", 201, &added);
    let ended = kya(&fake.url, &[&add[..], &["--expires-in", "90d", "-q"]].concat());
    assert_eq!((&*ended.out, &*ended.err), ("ok_the-key-itself\n", ""));
    let bodies: Vec<_> = fake.seen().into_iter().map(|seen| seen.body).collect();
    let body = json!({"name": "oncall", "role": "operator"});
    let lasting = json!({"name": "oncall", "role": "operator", "ttl_seconds": 7_776_000});
    assert_eq!(bodies, [body, lasting]);
}

#[test]
fn a_key_of_another_role_than_was_asked_for_is_not_shown() {
    let fake = Fake::start();
    let mut added = operator("active");
    added["key"] = json!("ok_the-key-itself");
    added["role"] = json!("admin");
    fake.on("POST /v1/operators", 201, &added);
    let ended = kya(&fake.url, &["operator", "add", "oncall", "--role", "operator"]);
    assert_eq!((ended.code, &*ended.out), (1, ""));
    assert!(ended.err.contains("it says that oncall is admin"), "{ended:?}");
}

#[test]
fn operators_are_one_line_each_and_the_list_says_how_to_go_on() {
    let fake = Fake::start();
    let page = json!({"operators": [operator("active"), operator("revoked")], "next": "oncall"});
    fake.on("GET /v1/operators", 200, &page);
    let ended = kya(&fake.url, &["operator", "list", "--limit", "2", "--after", "a"]);
    assert_eq!(
        ended.out,
        "\
OPERATOR   ROLE       STATUS    CREATED AT                 CREATED BY   EXPIRES AT                 REVOKED BY
oncall     operator   active    2026-02-05T14:00:00.000Z   admin        2026-05-06T14:00:00.000Z   -
oncall     operator   revoked   2026-02-05T14:00:00.000Z   admin        2026-05-06T14:00:00.000Z   boss
"
    );
    assert_eq!(ended.err, "There are more: --after oncall\n");
    assert_eq!(fake.seen()[0].line, "GET /v1/operators?after=a&limit=2");
    fake.on("GET /v1/operators", 200, &json!({"operators": [], "next": null}));
    let ended = kya(&fake.url, &["operator", "list"]);
    assert!(ended.out.starts_with("No operators but the built-in `admin`"), "{ended:?}");
}

#[test]
fn a_revoked_operator_is_said_to_be_only_if_the_server_says_so() {
    let fake = Fake::start();
    let revoke = ["operator", "revoke", "oncall", "--reason", "left", "--incident-id", "INC-1"];
    let line = "POST /v1/operators/oncall/revoke";
    for (changed, last) in [(true, ""), (false, "(already revoked; nothing changed)\n")] {
        fake.on(line, 200, &json!({"operator": operator("revoked"), "changed": changed}));
        let ended = kya(&fake.url, &revoke);
        let said = format!(
            "Revoked: oncall\nIts key is refused from now on\nRevocation logged at: 2026-02-05T14:47:23.891Z\n{last}"
        );
        assert_eq!((ended.code, ended.out), (0, said));
    }
    assert_eq!(fake.seen()[0].body, json!({"reason": "left", "incident_id": "INC-1"}));
    fake.on(line, 200, &json!({"operator": operator("active"), "changed": true}));
    let ended = kya(&fake.url, &revoke);
    assert_eq!((ended.code, &*ended.out), (1, ""));
    assert!(ended.err.contains("it says that oncall is active"), "{ended:?}");
}

#[test]
fn whoami_says_the_name_the_role_and_what_it_may() {
    let fake = Fake::start();
    let may = json!(["registry.read", "agents.stop"]);
    let who = json!({"name": "admin", "role": "admin", "built_in": true, "permissions": may});
    fake.on("GET /v1/whoami", 200, &who);
    let ended = kya(&fake.url, &["whoami"]);
    assert_eq!(
        ended.out,
        "Operator   admin (built-in)\nRole       admin\nMay        registry.read agents.stop\n"
    );
}

#[test]
fn a_role_that_is_too_low_is_refused_with_what_to_do() {
    let fake = Fake::start();
    let detail = "the operator oncall has the role operator, which has not the permission agents.restore: only admin may do this";
    fake.otherwise(403, &problem(403, "forbidden", detail).to_string());
    let ended = kya(&fake.url, &["agent", "restore", AGENT]);
    assert_eq!((ended.code, &*ended.out), (1, ""));
    assert!(ended.err.contains(detail), "{ended:?}");
    assert!(ended.err.contains("hint: `kya whoami` shows whose key"), "{ended:?}");
}

#[test]
fn a_secret_of_another_kind_is_not_sent_to_anybody() {
    let fake = Fake::start();
    let whole = kya_core::OperatorKey::from_random([7; 32]);
    let whole = whole.reveal();
    let credential = kya_core::NodeCredential::from_random([7; 32]);
    for (key, said) in [
        ("at_4Zq9secret", "holds the token of an agent"),
        (credential.reveal(), "holds the credential of a proxy"),
        (&whole[..40], "must have 52 characters and has 40"),
        (&whole.replace('Y', "y"), "its checksum does not fit"),
    ] {
        let mut command = command(&fake.url, &["whoami"]);
        let ended = end(command.env("KYA_TOKEN", key).spawn().unwrap());
        assert_eq!((ended.code, &*ended.out), (2, ""), "{ended:?}");
        assert!(ended.err.contains(said), "{ended:?}");
        assert!(!ended.err.contains(&key[3..10]), "{ended:?}");
    }
    assert_eq!(fake.seen(), []);
    let mut command = command(&fake.url, &["whoami"]);
    assert_eq!(end(command.env("KYA_TOKEN", whole).spawn().unwrap()).code, 1);
    assert_eq!(fake.seen().len(), 1, "a whole key is sent");
}
