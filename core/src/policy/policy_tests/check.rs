//! What is wrong with a document.

use super::*;

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
