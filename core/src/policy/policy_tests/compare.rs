//! Two policies: what differs, and which is within the other.

use super::*;

#[test]
fn a_diff_names_every_field_that_means_something_else() {
    let mut value = checkout();
    value["allow"] = json!(["read_*", "*_charge"]);
    value["max_ttl"] = json!("60m");
    value["daily_limit"] = json!("400");
    value["auto_suspend"]["threshold"] = json!("0.25");
    value["max_staleness"] = json!({"*": "60s", "create_charge": "5s"});
    value.as_object_mut().unwrap().remove("services");
    let known = ["create_charge", "void_charge", "read_x", "issue_refund"].map(action);
    let diff = diff(&policy(checkout()), &policy(value), &known);
    assert_eq!(
        serde_json::to_value(&diff).unwrap(),
        json!({
            "fields": [
                {"change": "items", "field": "allow", "added": ["*_charge"], "removed": ["create_charge"]},
                {"change": "items", "field": "services", "added": ["*"], "removed": ["billing-*", "payments"]},
                {"change": "changed", "field": "auto_suspend.threshold", "from": "0.3", "to": "0.25"},
                {"change": "changed", "field": "daily_limit", "from": "500.00", "to": "400.00"},
                {"change": "added", "field": "max_staleness[\"create_charge\"]", "value": "5s"},
                {"change": "removed", "field": "max_staleness[\"issue_refund\"]", "value": "5s"},
            ],
            "now_denied": [],
            "now_permitted": ["void_charge"],
            "unmapped": null
        })
    );
}

#[test]
fn a_diff_says_which_actions_turn_and_what_becomes_of_the_unmapped() {
    let known = ["read_x", "issue_refund", "read_x", "a"].map(action);
    let (open, closed) = (lists(&["*"], &[]), lists(&["issue_refund"], &["a"]));
    let shut = diff(&open, &closed, &known);
    assert_eq!(shut.now_denied, ["a", "read_x"].map(action));
    assert_eq!((shut.now_permitted.len(), shut.unmapped), (0, Some(Verdict::Denied)));
    let opened = diff(&closed, &open, &known);
    assert_eq!(opened.now_permitted, ["a", "read_x"].map(action));
    assert_eq!((opened.now_denied.len(), opened.unmapped), (0, Some(Verdict::Permitted)));
    assert!(diff(&open, &open, &known).is_empty() && !opened.is_empty());
}

#[test]
fn what_means_the_same_is_no_difference() {
    let mut value = checkout();
    value["allow"] = json!(["read_*", "create_charge"]);
    value["max_ttl"] = json!("60min");
    value["daily_limit"] = json!("500");
    assert!(diff(&policy(checkout()), &policy(value), &[]).is_empty());
}

#[test]
fn a_policy_is_within_one_that_gives_as_much_or_more() {
    for (child, parent) in [
        (lists(&["read_x"], &[]), lists(&["read_*"], &[])),
        (lists(&["read_*_x", "a"], &[]), lists(&["a", "read_*"], &[])),
        (lists(&[], &[]), lists(&[], &["*"])),
        (lists(&["read_*"], &["read_secret*"]), lists(&["*"], &["read_secret"])),
        (lists(&["read_*"], &[]), lists(&["*"], &["write_*"])),
        (lists(&["read_*", "write_*"], &["write_*"]), lists(&["*"], &["write_x"])),
        (lists(&["*"], &[]), lists(&["*"], &[])),
    ] {
        assert_eq!(excess(&child, &parent), None, "{child:?}\n{parent:?}");
    }
    assert!(is_within(&policy(checkout()), &policy(checkout())));
}

#[test]
fn a_policy_that_gives_more_is_not_within() {
    for (child, parent, field) in [
        (lists(&["read_*"], &[]), lists(&["read_x"], &[]), "allow"),
        (lists(&["*"], &[]), lists(&["a*", "*a"], &[]), "allow"),
        (lists(&["read_*"], &[]), lists(&["*"], &["read_secret"]), "deny"),
        (lists(&["read_*"], &["read_secret"]), lists(&["*"], &["read_secret*"]), "deny"),
        (lists(&["a*"], &[]), lists(&["*"], &["*z"]), "deny"),
    ] {
        assert_eq!(excess(&child, &parent).unwrap().field, field, "{child:?}\n{parent:?}");
    }
    let mut drain = checkout();
    drain["in_flight"] = json!("abort");
    assert_eq!(excess(&policy(checkout()), &policy(drain)).unwrap().field, "in_flight");
    let suspend = |threshold: &str, window: &str| {
        let mut value = checkout();
        value["auto_suspend"]["threshold"] = json!(threshold);
        value["auto_suspend"]["window"] = json!(window);
        value
    };
    for (value, field) in [
        (without("services"), "services"),
        (with("services", json!(["*"])), "services"),
        (with("services", json!(["payments", "x"])), "services"),
        (without("max_ttl"), "max_ttl"),
        (with("max_ttl", json!("61min")), "max_ttl"),
        (with("daily_limit", json!("500.01")), "daily_limit"),
        (with("currency", json!("USD")), "daily_limit"),
        (without("auto_suspend"), "auto_suspend"),
        (suspend("0.301", "5min"), "auto_suspend"),
        (suspend("0.3", "6min"), "auto_suspend"),
        (with("drain_window", json!("61s")), "drain_window"),
        (without("max_staleness"), "max_staleness"),
        (with("max_staleness", json!({"*": "61s"})), "max_staleness"),
    ] {
        assert_eq!(excess(&policy(value), &policy(checkout())).unwrap().field, field);
    }
    let mut unlimited = without("daily_limit");
    unlimited.as_object_mut().unwrap().remove("currency");
    assert_eq!(excess(&policy(unlimited), &policy(checkout())).unwrap().field, "daily_limit");
}

#[test]
fn a_staleness_for_what_is_not_allowed_binds_nobody() {
    let child = policy(json!({"name": "c", "allow": ["read_x"]}));
    let parent =
        |key: &str| policy(json!({"name": "p", "allow": ["*"], "max_staleness": {key: "5s"}}));
    assert_eq!(excess(&child, &parent("issue_refund")), None);
    assert_eq!(excess(&child, &parent("read_*")).unwrap().field, "max_staleness");
}
