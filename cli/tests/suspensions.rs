//! `kya agent suspend`: what it asks for, and that what it says is true of each kind of token.

use serde_json::{Value, json};

use crate::support::*;

const LOGGED: &str = "Suspension logged at: 2026-02-05T14:47:23.891Z\n";
const ALL: &str = "All verify calls will now return DENY, until the agent is restored\n";
const OPAQUE: &str = "Opaque tokens are denied now, until the agent is restored\n";

/// What a server answers that does this with what is in flight, until then.
fn suspending(in_flight: Option<&str>, until: Option<&str>) -> Fake {
    let mut change = change("suspended", true);
    change["agent"]["in_flight"] = json!(in_flight);
    change["drains_until"] = json!(until);
    let fake = Fake::start();
    fake.on(&format!("POST /v1/agents/{AGENT}/suspend"), 200, &change);
    fake.on(ACKS, 200, &acknowledgements(&[]));
    fake
}

fn suspend(fake: &Fake, more: &[&str]) -> (Ended, Value) {
    let ended = kya(&fake.url, &[&["agent", "suspend", AGENT, "--reason", "r"], more].concat());
    (ended, fake.seen()[0].body.clone())
}

#[test]
fn a_suspension_says_what_is_denied_and_until_when_capability_tokens_go_on() {
    let fake = suspending(Some("drain"), Some("2026-02-05T14:48:23.000Z"));
    let (ended, body) = suspend(&fake, &[]);
    let lines = format!(
        "Suspended: {AGENT}
{OPAQUE}\
Capability tokens issued before may finish their work until 2026-02-05T14:48:23.000Z (drain window); --in-flight abort ends them now
{LOGGED}"
    );
    assert_eq!((ended.code, &*ended.err), (0, ""));
    assert!(ended.out.starts_with(&lines), "{}", ended.out);
    assert_eq!(body, json!({ "reason": "r" }), "what it is by default says the server");
    // Asked for by name, and of a server that does not say until when, or what.
    for in_flight in [Some("drain"), None] {
        let (ended, body) = suspend(&suspending(in_flight, None), &["--in-flight", "drain"]);
        let how_long = "for the drain_window of the policy (60s without one); --in-flight abort";
        assert!(ended.out.contains(OPAQUE) && ended.out.contains(how_long), "{}", ended.out);
        assert_eq!(body, json!({ "reason": "r", "in_flight": "drain" }));
    }
}

#[test]
fn aborted_nothing_goes_on() {
    let fake = suspending(Some("abort"), None);
    let (ended, body) = suspend(&fake, &["--in-flight", "abort"]);
    assert!(ended.out.starts_with(&format!("Suspended: {AGENT}\n{ALL}{LOGGED}")), "{ended:?}");
    assert_eq!(body, json!({ "reason": "r", "in_flight": "abort" }));
    // It was so already, and is not taken back.
    let (ended, _) = suspend(&suspending(Some("abort"), None), &["--in-flight", "drain"]);
    assert!(ended.out.contains(ALL), "{ended:?}");
}

#[test]
fn that_all_is_denied_is_said_only_when_the_server_says_so() {
    for in_flight in [Some("drain"), None] {
        let (ended, _) = suspend(&suspending(in_flight, None), &["--in-flight", "abort"]);
        assert_eq!((ended.code, &*ended.out), (1, ""), "{ended:?}");
        assert!(ended.err.contains("does not say that it does"), "{ended:?}");
    }
}

#[test]
fn of_many_agents_it_is_said_for_all() {
    for (more, expected) in [(&[][..], OPAQUE), (&["--in-flight", "abort"], ALL)] {
        let fake = Fake::start();
        fake.on("POST /v1/agents/suspend", 200, &selection_change("suspended", 0));
        fake.on(ACKS, 200, &acknowledgements(&[]));
        let args = ["agent", "suspend", "--selector", "env=staging", "--reason", "r"];
        let ended = kya(&fake.url, &[&args, more].concat());
        assert_eq!((ended.code, &*ended.err), (0, ""));
        let first = format!("Suspended: 3 agents matching env=staging\n{expected}");
        assert!(ended.out.starts_with(&first), "{ended:?}");
        assert_eq!(fake.seen()[0].body.get("in_flight").is_some(), !more.is_empty());
    }
}
