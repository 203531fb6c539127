//! What `kya key` asks for, in which order, and what it says.

use serde_json::{Value, json};

use crate::support::{
    Fake, KEY, acknowledgements, key_change, keys, kya, nobody, problem, script_rotation,
};

fn lines(fake: &Fake) -> Vec<String> {
    fake.seen().into_iter().map(|seen| seen.line.replace("?wait_ms=30000", "")).collect()
}

/// A control plane whose keys are in this phase, and whose proxies follow.
fn rotating(phase: &str, acks: &Value) -> Fake {
    let fake = Fake::start();
    script_rotation(&fake, phase, acks);
    fake
}

const ROTATE: &[&str] = &["key", "rotate", "--reason", "yearly"];

#[test]
fn rotate_takes_each_step_when_the_one_before_is_acknowledged() {
    for acks in [acknowledgements(&[]), nobody()] {
        let fake = rotating("steady", &acks);
        let ended = kya(&fake.url, ROTATE);
        assert_eq!((ended.code, &*ended.out), (0, &*format!("{KEY}\n")), "{ended:?}");
        assert_eq!(
            lines(&fake),
            [
                "GET /v1/keys",
                "POST /v1/keys/announce",
                "GET /v1/revisions/41/acknowledgements",
                "POST /v1/keys/activate",
                "GET /v1/revisions/42/acknowledgements",
                "POST /v1/keys/retire",
                "GET /v1/revisions/43/acknowledgements",
            ]
        );
        assert_eq!(fake.seen()[1].body, json!({ "reason": "yearly" }));
        assert_eq!(fake.seen()[3].body, json!({ "reason": "yearly", "force": false }));
        assert!(ended.err.contains("Announced, revision 41: next id-next"), "{ended:?}");
    }
}

#[test]
fn rotate_goes_on_from_where_it_was_interrupted() {
    let all = ["announce", "activate", "retire"];
    for (phase, rest) in [("announced", &all[1..]), ("activated", &all[2..])] {
        let fake = rotating(phase, &acknowledgements(&[]));
        assert_eq!(kya(&fake.url, ROTATE).code, 0);
        let seen = lines(&fake);
        let posts: Vec<_> =
            seen.iter().filter_map(|line| line.strip_prefix("POST /v1/keys/")).collect();
        assert_eq!(posts, rest);
        assert_eq!(seen[1], "GET /v1/revisions/40/acknowledgements");
    }
}

#[test]
fn rotate_stops_where_somebody_has_not_acknowledged() {
    let fake = rotating("steady", &acknowledgements(&[("sidecar", 1)]));
    let ended = kya(&fake.url, ROTATE);
    assert_eq!((ended.code, &*ended.out), (1, ""), "{ended:?}");
    assert!(ended.err.contains("not every worker has acknowledged revision 41"), "{ended:?}");
    assert!(ended.err.contains("run the same command again"), "{ended:?}");
    assert_eq!(lines(&fake).len(), 3, "nothing was activated");
    let fake = rotating("steady", &acknowledgements(&[("sidecar", 1)]));
    let ended = kya(&fake.url, &[&["-o", "json"], ROTATE].concat());
    assert_eq!((ended.code, ended.problem()["code"].as_str()), (1, Some("not_acknowledged")));
    let fake = rotating("steady", &acknowledgements(&[("sidecar", 1)]));
    assert_eq!(kya(&fake.url, &[ROTATE, &["--force"]].concat()).code, 0);
    assert_eq!(fake.seen()[3].body, json!({ "reason": "yearly", "force": true }));
}

#[test]
fn rotate_in_json_is_one_document() {
    let fake = rotating("steady", &acknowledgements(&[]));
    let ended = kya(&fake.url, &[&["-o", "json"], ROTATE].concat());
    assert_eq!((ended.code, &*ended.err), (0, ""));
    assert_eq!(ended.json()["keys"]["phase"], "steady");
    assert_eq!(ended.json()["steps"].as_array().unwrap().len(), 3);
}

#[test]
fn list_shows_the_keys_the_steps_and_what_is_next() {
    let fake = rotating("announced", &nobody());
    let ended = kya(&fake.url, &["key", "list"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for shown in [format!("id-next     next     {KEY}"), "r\\u{1b}".to_owned()] {
        assert!(ended.out.contains(&shown), "{shown} is not in {}", ended.out);
    }
    assert!(ended.err.contains("`kya key activate` is next"), "{ended:?}");
    assert!(ended.err.contains("2 of at most 16"), "{ended:?}");
    let fake = rotating("announced", &nobody());
    assert_eq!(kya(&fake.url, &["-o", "json", "key", "list"]).json(), keys("announced", 40));
}

#[test]
fn a_single_step_says_what_it_did_and_a_refusal_why() {
    let fake = rotating("steady", &nobody());
    let ended = kya(&fake.url, &["key", "activate", "--reason", "r"]);
    assert_eq!(ended.out, format!("Activated, revision 42: active id-active {KEY}\n"));
    let why = "one key counts: there is none to retire";
    fake.on("POST /v1/keys/retire", 409, &problem(409, "conflict", why));
    let ended = kya(&fake.url, &["key", "retire", "--reason", "r"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains(why), "{ended:?}");
}

#[test]
fn compact_names_the_key_that_is_pinned() {
    let fake = Fake::start();
    fake.on("POST /v1/keys/compact", 200, &key_change("steady", 44));
    let ended = kya(&fake.url, &["key", "compact", "--pinned", KEY, "--reason", "all pin it"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(fake.seen()[0].body, json!({ "pinned": KEY, "reason": "all pin it" }));
    assert_eq!(kya(&fake.url, &["key", "compact", "--reason", "r"]).code, 2);
}
