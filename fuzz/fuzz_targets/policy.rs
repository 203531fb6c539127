//! Policies: any document, what is canonical about it, and two of them against each
//! other.
//!
//! An input is two documents in JSON, a line each, then names of actions and of
//! services.
#![no_main]

use kya_core::action::ActionName;
use kya_core::policy::{Pattern, Policy, PolicyDocument, diff, is_within};
use libfuzzer_sys::fuzz_target;

fn read(json: &str) -> Option<Policy> {
    let document: PolicyDocument = serde_json::from_str(json).ok()?;
    match document.check() {
        Ok(policy) => {
            check(&document, &policy);
            Some(policy)
        }
        Err(problems) => {
            assert!(!problems.0.is_empty());
            assert!(problems.0.iter().all(|it| !it.field.is_empty() && !it.problem.is_empty()));
            assert!(!problems.to_string().contains('\n'), "{problems}");
            None
        }
    }
}

fn check(written: &PolicyDocument, policy: &Policy) {
    let canonical = policy.to_document();
    assert_eq!(canonical.check().as_ref(), Ok(policy));
    assert_eq!(canonical.check().unwrap().to_document(), canonical);
    let json = serde_json::to_string(&canonical).unwrap();
    assert_eq!(serde_json::from_str::<PolicyDocument>(&json).unwrap(), canonical);
    assert_eq!(written.allow.len(), canonical.allow.len());
    assert_eq!(written.currency.is_some(), written.daily_limit.is_some());
    if let Some(limit) = policy.daily_limit() {
        assert!(limit.minor_units < 10u64.pow(15));
    }
    assert!(is_within(policy, policy));
    assert!(diff(policy, policy, &[]).is_empty());
}

/// By the definition of a star. Takes as long as it takes: names are short.
fn naive(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => naive(rest, name),
        (Some((b'*', rest)), Some((_, tail))) => naive(rest, name) || naive(pattern, tail),
        (Some((mine, rest)), Some((theirs, tail))) => mine == theirs && naive(rest, tail),
        _ => false,
    }
}

fn is_one(list: &[String], name: &str) -> bool {
    list.iter().any(|text| {
        let pattern: Pattern = text.parse().expect("the document was checked");
        let is = pattern.matches(name);
        if text.matches('*').count() <= 3 && name.len() <= 32 {
            assert_eq!(is, naive(text.as_bytes(), name.as_bytes()), "{text} for {name}");
        }
        is
    })
}

fuzz_target!(|input: &str| {
    let mut lines = input.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (one, two, names) = (read(next()), read(next()), next());
    let names: Vec<&str> = names.split_whitespace().take(16).collect();
    let actions: Vec<ActionName> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let asked: Vec<Option<&ActionName>> = actions.iter().map(Some).chain([None]).collect();
    let services: Vec<Option<&str>> = names.iter().copied().map(Some).chain([None]).collect();

    for policy in [&one, &two].into_iter().flatten() {
        let document = policy.to_document();
        for action in &actions {
            let is_permitted = is_one(&document.allow, action.as_str())
                && !is_one(&document.deny, action.as_str());
            let anywhere = services.iter().any(|it| policy.permits(Some(action), *it).is_ok());
            assert!(is_permitted || !anywhere, "{action}");
            assert!(document.services.is_some() || is_permitted == anywhere, "{action}");
        }
        let is_open = document.allow.iter().any(|it| it == "*") && document.deny.is_empty();
        assert!(is_open || policy.permits(None, None).is_err());
    }
    let (Some(one), Some(two)) = (one, two) else { return };
    let changes = diff(&one, &two, &actions);
    // No services is every service.
    let meant = |policy: &Policy| {
        let mut document = policy.to_document();
        document.services.get_or_insert_with(|| vec!["*".to_owned()]);
        document
    };
    assert_eq!(changes.is_empty(), meant(&one) == meant(&two));
    assert!(!changes.now_denied.iter().any(|it| changes.now_permitted.contains(it)));
    for (child, parent) in [(&one, &two), (&two, &one)] {
        if !is_within(child, parent) {
            continue;
        }
        for action in &asked {
            for service in &services {
                if child.permits(*action, *service).is_ok() {
                    assert_eq!(parent.permits(*action, *service), Ok(()), "{action:?} {service:?}");
                    let (mine, theirs) =
                        (child.max_staleness(*action), parent.max_staleness(*action));
                    assert!(theirs.is_none_or(|theirs| mine.is_some_and(|mine| mine <= theirs)));
                }
            }
        }
        assert!(parent.max_ttl().is_none_or(|it| child.max_ttl().is_some_and(|mine| mine <= it)));
    }
});
