//! Any policy, and any document.

use proptest::prelude::*;

use super::*;

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
