use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

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
fn every_problem_is_found_at_once() {
    let found = problems(json!({
        "name": "pol_03",
        "description": "\u{1b}[2J",
        "allow": ["a", "B", "a", "**"],
        "deny": [""],
        "services": [],
        "max_ttl": "0s",
        "daily_limit": "1,5",
        "currency": "euro",
        "auto_suspend": {"condition": "x", "threshold": "30%", "window": "30s", "action": "y"},
        "in_flight": "Drain",
        "drain_window": "2h",
        "max_staleness": {"a\n": "5s", "b": "2d"}
    }));
    let fields: Vec<_> = found.iter().map(|problem| problem.split('`').nth(1).unwrap()).collect();
    assert_eq!(
        fields,
        [
            "name",
            "description",
            "allow[1]",
            "allow[2]",
            "allow[3]",
            "deny[0]",
            "services",
            "max_ttl",
            "currency",
            "daily_limit",
            "auto_suspend.condition",
            "auto_suspend.threshold",
            "auto_suspend.window",
            "auto_suspend.action",
            "in_flight",
            "drain_window",
            "max_staleness[\"a\\n\"]",
            "max_staleness[\"b\"]",
        ]
    );
    assert_eq!(found[3], "`allow[2]` is the same as `allow[0]`: name each once");
    assert_eq!(found[12], "`auto_suspend.window` is 30s: `1min` to `24h` are possible");
}

#[test]
fn an_amount_and_its_currency_go_together() {
    is_refused(without("currency"), "currency", "is missing");
    is_refused(without("daily_limit"), "daily_limit", "is missing");
    is_refused(with("daily_limit", json!("0.001")), "daily_limit", "at most 2 digits");
    is_refused(with("currency", json!("JPY")), "daily_limit", "at most 0 digits");
    is_refused(with("currency", json!("XXX")), "currency", "ISO 4217");
}

#[test]
fn every_span_has_its_bounds() {
    for (field, good, bad) in [
        ("max_ttl", ["1s", "365d"], ["0s", "366d"]),
        ("drain_window", ["1s", "1h"], ["0m", "3601s"]),
    ] {
        for span in good {
            assert_eq!(problems(with(field, json!(span))), [""; 0], "{field} {span}");
        }
        for span in bad {
            is_refused(with(field, json!(span)), field, "");
        }
    }
    for (span, is_good) in [("59s", false), ("60s", true), ("24h", true), ("1441min", false)] {
        let mut value = checkout();
        value["auto_suspend"]["window"] = json!(span);
        assert_eq!(problems(value).is_empty(), is_good, "{span}");
    }
    for (span, is_good) in [("1s", true), ("1d", true), ("86401s", false), ("5", false)] {
        let found = problems(with("max_staleness", json!({"*": span})));
        assert_eq!(found.is_empty(), is_good, "{span}");
    }
}

#[test]
fn lists_are_bounded() {
    let names = |count: usize| Value::from((0..count).map(|n| format!("a{n}")).collect::<Vec<_>>());
    for (field, most) in [("allow", 256), ("deny", 256), ("services", 64)] {
        assert_eq!(problems(with(field, names(most))), [""; 0], "{field}");
        is_refused(with(field, names(most + 1)), field, "entries");
    }
    is_refused(with("services", json!([])), "services", "leave it out for all");
    let entries = |count: usize| (0..count).map(|n| (format!("a{n}"), json!("5s"))).collect();
    assert_eq!(problems(with("max_staleness", Value::Object(entries(64)))), [""; 0]);
    is_refused(with("max_staleness", Value::Object(entries(65))), "max_staleness", "65 entries");
    let long = |bytes: usize| with("description", json!("x".repeat(bytes)));
    assert_eq!(problems(long(1024)), [""; 0]);
    is_refused(long(1025), "description", "1 to 1024 bytes");
}

#[test]
fn a_document_of_another_shape_is_refused() {
    for (value, part) in [
        (with("alow", json!([])), "unknown field `alow`"),
        (without("name"), "missing field `name`"),
        (with("name", json!(3)), "expected a string"),
        (with("allow", json!("*")), "expected a sequence"),
        (with("allow", Value::Null), "invalid type: null"),
        (with("deny", Value::Null), "invalid type: null"),
        // Read as if it had been left out, it would be for every service.
        (with("services", Value::Null), "invalid type: null"),
        (with("max_ttl", Value::Null), "invalid type: null"),
        (with("max_ttl", json!(3600)), "expected a string"),
        (with("daily_limit", json!(500.5)), "expected a decimal as text, such as \"500.00\""),
        (with("daily_limit", json!(500)), "expected a decimal as text"),
        (with("max_staleness", json!("5s")), "expected patterns of actions"),
        (
            with("auto_suspend", json!(["deny_rate_exceeds", "0.3", "5min", "x"])),
            "expected `condition`",
        ),
        (with("auto_suspend", json!({"condition": "deny_rate_exceeds"})), "missing field"),
        (json!(["checkout", "x", ["*"], []]), "expected a policy"),
        (json!("checkout"), "expected a policy"),
        (Value::Null, "expected a policy"),
    ] {
        let error = read(value).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let mut threshold = checkout();
    threshold["auto_suspend"]["threshold"] = json!(0.3);
    assert!(read(threshold).unwrap_err().contains("expected a share as text"));
}

#[test]
fn nothing_is_written_twice() {
    for (text, part) in [
        (r#"{"name": "a", "name": "b"}"#, "duplicate field `name`"),
        (r#"{"name": "a", "deny": ["*"], "deny": []}"#, "duplicate field `deny`"),
        (r#"{"name": "a", "max_staleness": {"x": "5s", "x": "1h"}}"#, "written twice"),
    ] {
        let error = serde_json::from_str::<PolicyDocument>(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
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

fn patterns(most: usize) -> impl Strategy<Value = Vec<String>> {
    let pattern = "[ab]{0,2}\\*?[ab]{0,2}\\*?[ab]?"
        .prop_filter("not a pattern", |text| text.parse::<Pattern>().is_ok());
    prop::collection::btree_set(prop_oneof![9 => pattern, 1 => Just("*".to_owned())], 0..=most)
        .prop_map(|set| set.into_iter().collect())
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let spans = prop::collection::btree_map("(\\*|[ab]\\*|a|b)", "[1-3]s", 0..3);
    let services = prop::option::of(patterns(2).prop_filter("none", |list| !list.is_empty()));
    (patterns(4), patterns(3), services, spans).prop_map(
        |(allow, deny, services, max_staleness)| {
            let document = PolicyDocument {
                name: "p".to_owned(),
                allow,
                deny,
                services,
                max_staleness,
                ..PolicyDocument::default()
            };
            document.check().unwrap()
        },
    )
}

/// A policy, and one that is often within it.
fn pair() -> impl Strategy<Value = (Policy, Policy)> {
    (any_policy(), any_policy(), any::<[bool; 4]>()).prop_map(|(parent, other, same)| {
        let mut child = other.to_document();
        let model = parent.to_document();
        if same[0] {
            child.allow.retain(|text| model.allow.contains(text));
            child.allow.extend(model.allow.iter().take(2).cloned());
            child.allow.sort();
            child.allow.dedup();
        }
        if same[1] {
            child.deny.extend(model.deny);
            child.deny.sort();
            child.deny.dedup();
        }
        if same[2] {
            child.services = model.services;
        }
        if same[3] {
            child.max_staleness = model.max_staleness;
        }
        (child.check().unwrap(), parent)
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,6}",
        prop::sample::select(vec![
            "checkout",
            "*",
            "read_*",
            "1h",
            "500.00",
            "EUR",
            "drain",
            "0.3",
            "deny_rate_exceeds",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "name",
        "description",
        "allow",
        "deny",
        "services",
        "max_ttl",
        "daily_limit",
        "currency",
        "auto_suspend",
        "in_flight",
        "drain_window",
        "max_staleness",
        "condition",
        "threshold",
        "x",
    ]);
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_is_denied_is_denied_whatever_is_allowed(
        policy in any_policy(),
        more in patterns(4),
        name in "[ab]{1,5}",
    ) {
        let name = action(&name);
        let mut document = policy.to_document();
        let is_denied = document.deny.iter().any(|text| {
            text.parse::<Pattern>().unwrap().matches(name.as_str())
        });
        document.allow.extend(more);
        document.allow.sort();
        document.allow.dedup();
        let wider = document.check().unwrap();
        if is_denied {
            prop_assert_eq!(wider.permits(Some(&name), Some("a")), Err(PolicyDenied::Action));
        }
        // And by the plainest reading of both lists.
        let is_allowed = document.allow.iter().any(|text| {
            text.parse::<Pattern>().unwrap().matches(name.as_str())
        });
        prop_assert_eq!(wider.permits_action(Some(&name)).is_ok(), is_allowed && !is_denied);
    }

    #[test]
    fn what_a_policy_within_permits_the_other_permits(
        (child, parent) in pair(),
        actions in prop::collection::vec("[ab]{1,5}", 24),
        service in "[ab]{0,3}",
    ) {
        if !is_within(&child, &parent) {
            return Ok(());
        }
        let actions: Vec<_> = actions.iter().map(|text| action(text)).collect();
        for action in actions.iter().map(Some).chain([None]) {
            for service in [Some(service.as_str()), None] {
                if child.permits(action, service).is_ok() {
                    prop_assert_eq!(parent.permits(action, service), Ok(()), "{:?}", action);
                    let (mine, theirs) = (child.max_staleness(action), parent.max_staleness(action));
                    prop_assert!(theirs.is_none_or(|theirs| mine.is_some_and(|it| it <= theirs)));
                }
            }
        }
    }

    #[test]
    fn a_policy_is_within_itself_and_its_document_is_canonical(policy in any_policy()) {
        prop_assert!(is_within(&policy, &policy));
        let document = policy.to_document();
        prop_assert_eq!(document.check(), Ok(policy));
        let json = serde_json::to_string(&document).unwrap();
        prop_assert_eq!(serde_json::from_str::<PolicyDocument>(&json).unwrap(), document);
    }

    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        let checked = read(value).ok().and_then(|document| document.check().ok());
        if let Some(policy) = checked {
            prop_assert_eq!(policy.to_document().check(), Ok(policy));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text: String) {
        let _ = serde_json::from_str::<PolicyDocument>(&text);
        let document = PolicyDocument {
            name: text.clone(),
            allow: vec![text.clone()],
            max_ttl: Some(text.clone()),
            daily_limit: Some(text.clone()),
            max_staleness: [(text.clone(), text)].into(),
            ..PolicyDocument::default()
        };
        let _ = document.check().map_err(|problems| problems.to_string());
    }
}
