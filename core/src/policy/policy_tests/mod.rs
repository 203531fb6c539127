//! What a policy permits, and what its document is.

mod any;
mod check;
mod compare;

use serde_json::{Value, json};

use super::*;
use crate::action::ActionName;
use crate::standing::InFlight;

fn read(value: Value) -> Result<PolicyDocument, String> {
    serde_json::from_str(&value.to_string()).map_err(|error| error.to_string())
}

fn checkout() -> Value {
    json!({
        "name": "checkout",
        "description": "What the checkout agent may do.\n",
        "allow": ["create_charge", "read_*"],
        "deny": ["issue_refund"],
        "services": ["payments", "billing-*"],
        "max_ttl": "1h",
        "daily_limit": "500.00",
        "currency": "EUR",
        "auto_suspend": {
            "condition": "deny_rate_exceeds",
            "threshold": "0.30",
            "window": "5min",
            "action": "suspend_pending_review"
        },
        "in_flight": "drain",
        "drain_window": "60s",
        "max_staleness": {"issue_refund": "5s", "*": "60s"}
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut document = checkout();
    document[field] = value;
    document
}

fn without(field: &str) -> Value {
    let mut document = checkout();
    document.as_object_mut().unwrap().remove(field);
    document
}

fn policy(value: Value) -> Policy {
    read(value).unwrap().check().unwrap()
}

fn lists(allow: &[&str], deny: &[&str]) -> Policy {
    policy(json!({"name": "p", "allow": allow, "deny": deny}))
}

fn action(text: &str) -> ActionName {
    text.parse().unwrap()
}

fn problems(value: Value) -> Vec<String> {
    match read(value).unwrap().check() {
        Ok(_) => Vec::new(),
        Err(PolicyProblems(problems)) => problems.iter().map(PolicyProblem::to_string).collect(),
    }
}

#[track_caller]
fn is_refused(value: Value, field: &str, part: &str) {
    let found = problems(value);
    let [problem] = found.as_slice() else { panic!("{found:?}") };
    assert!(problem.starts_with(&format!("`{field}` ")) && problem.contains(part), "{problem}");
}

#[test]
fn a_policy_says_what_its_document_says() {
    let policy = policy(checkout());
    assert_eq!(policy.name().as_str(), "checkout");
    assert_eq!(policy.max_ttl().map(Span::seconds), Some(3_600));
    let limit = policy.daily_limit().unwrap();
    assert_eq!((limit.minor_units, limit.currency.code()), (50_000, "EUR"));
    let suspend = policy.auto_suspend().unwrap();
    assert_eq!((suspend.threshold.get(), suspend.window.seconds()), (300, 300));
    assert_eq!(policy.in_flight(), InFlight::Drain);
    assert_eq!(policy.drain_window().seconds(), 60);
}

#[test]
fn what_is_left_out_has_the_strict_default() {
    let policy = policy(json!({"name": "nothing"}));
    assert_eq!(policy.permits(Some(&action("a")), None), Err(PolicyDenied::Action));
    assert_eq!(policy.permits(None, None), Err(PolicyDenied::Unmapped));
    assert_eq!(policy.in_flight(), InFlight::Abort);
    assert_eq!(policy.drain_window().seconds(), 60);
    assert_eq!(policy.max_staleness(None), None);
    assert_eq!((policy.max_ttl(), policy.daily_limit(), policy.auto_suspend()), (None, None, None));
}

#[test]
fn an_action_is_permitted_if_it_is_allowed_and_not_denied() {
    let policy = policy(with("deny", json!(["read_secret*"])));
    let payments = Some("payments");
    for name in ["create_charge", "read_", "read_customer"] {
        assert_eq!(policy.permits(Some(&action(name)), payments), Ok(()), "{name}");
    }
    for name in ["issue_refund", "create_charges", "read", "read_secrets", "read_secret"] {
        let denied = Err(PolicyDenied::Action);
        assert_eq!(policy.permits(Some(&action(name)), payments), denied, "{name}");
    }
    assert_eq!(policy.permits(None, payments), Err(PolicyDenied::Unmapped));
}

#[test]
fn a_service_is_permitted_if_a_pattern_stands_for_it() {
    let charge = action("create_charge");
    let listed = policy(checkout());
    for service in ["payments", "billing-", "billing-eu"] {
        assert_eq!(listed.permits(Some(&charge), Some(service)), Ok(()), "{service}");
    }
    for service in [Some("payment"), Some("Payments"), Some("billing"), Some(""), None] {
        let denied = Err(PolicyDenied::Service);
        assert_eq!(listed.permits(Some(&charge), service), denied, "{service:?}");
    }
    for value in [without("services"), with("services", json!(["*"]))] {
        for service in [Some("payments"), Some("x y"), None] {
            assert_eq!(policy(value.clone()).permits(Some(&charge), service), Ok(()));
        }
    }
    // The action comes first, so that who probes services learns nothing by it.
    assert_eq!(listed.permits(Some(&action("x")), Some("x")), Err(PolicyDenied::Action));
}

#[test]
fn what_is_unmapped_is_permitted_where_all_is_allowed_and_nothing_denied() {
    assert_eq!(lists(&["*"], &[]).permits(None, None), Ok(()));
    for (allow, deny) in [
        (&["*"][..], &["*"][..]),
        // It may be a refund, by a path that the map does not know.
        (&["*"], &["issue_refund"]),
        (&["a*", "*a"], &[]),
        (&["*_*"], &[]),
        (&[], &[]),
    ] {
        let denied = Err(PolicyDenied::Unmapped);
        assert_eq!(lists(allow, deny).permits(None, None), denied, "{allow:?} {deny:?}");
    }
}

#[test]
fn a_star_that_is_denied_denies_all() {
    let policy = lists(&["*", "read_customer"], &["*"]);
    assert_eq!(policy.permits(Some(&action("read_customer")), None), Err(PolicyDenied::Action));
}

#[test]
fn the_shortest_staleness_counts() {
    let staleness = json!({"issue_*": "30s", "issue_refund": "5s", "*_refund": "10s", "*": "1min"});
    let policy = policy(with("max_staleness", staleness));
    for (name, millis) in
        [("issue_refund", 5_000), ("read_refund", 10_000), ("issue_x", 30_000), ("x", 60_000)]
    {
        assert_eq!(policy.max_staleness(Some(&action(name))), Some(millis), "{name}");
    }
    assert_eq!(policy.max_staleness(None), Some(5_000));
}

#[test]
fn what_no_staleness_is_for_has_none() {
    let policy = policy(with("max_staleness", json!({"issue_*": "30s"})));
    assert_eq!(policy.max_staleness(Some(&action("read"))), None);
    assert_eq!(policy.max_staleness(None), Some(30_000));
}

#[test]
fn a_policy_has_one_canonical_document() {
    let written = json!({
        "currency": "EUR",
        "name": "checkout",
        "allow": ["read_*", "create_charge", "a*"],
        "daily_limit": "500",
        "max_ttl": "3600s",
        "auto_suspend": {
            "action": "suspend_pending_review",
            "window": "300s",
            "threshold": "0.300",
            "condition": "deny_rate_exceeds"
        },
        "max_staleness": {"issue_refund": "5s", "*": "60s"}
    });
    let document = policy(written).to_document();
    assert_eq!(
        serde_json::to_string(&document).unwrap(),
        concat!(
            r#"{"name":"checkout","allow":["create_charge","a*","read_*"],"deny":[],"#,
            r#""max_ttl":"1h","daily_limit":"500.00","currency":"EUR","#,
            r#""auto_suspend":{"condition":"deny_rate_exceeds","threshold":"0.3","#,
            r#""window":"5min","action":"suspend_pending_review"},"#,
            r#""in_flight":"abort","drain_window":"1min","#,
            r#""max_staleness":{"*":"1min","issue_refund":"5s"}}"#
        )
    );
}
