//! Which rules go together.

use super::*;

#[test]
fn rules_that_do_not_go_together_are_both_named() {
    use ActionMapError::*;
    type Error = fn(String, String) -> ActionMapError;
    let cases: [(&str, &str, Error); 12] = [
        ("GET /a", "GET /a", Same),
        ("GET /a/{x}", "GET /a/{y}", Same),
        ("GET /a/{x}:v", "GET /a/{y}:v", Same),
        ("GET /a/{x=**}", "GET /a/{y=**}", Same),
        ("grpc: a.B/C", "POST /a.B/C", Same),
        ("GET /a/b", "PUT /A/c", Case),
        ("GET /a/b", "GET /a/B", Case),
        ("GET /a/{x}", "PUT /a/{x=**}", Shadowed),
        ("GET /a/{x}/b", "GET /a/{x=**}", Shadowed),
        ("GET /a/{x=**}", "GET /a/{x}:v", Shadowed),
        ("GET /a/{x}/c", "GET /a/b/{y}", Ambiguous),
        ("GET /{x}/b", "GET /a/{y=**}", Ambiguous),
    ];
    for (first, second, error) in cases {
        let (one, two): (Route, Route) = (first.parse().unwrap(), second.parse().unwrap());
        assert_eq!(
            ActionMap::new(rules(&[(first, "one"), (second, "two")])),
            Err(error(one.to_string(), two.to_string())),
            "{first}, {second}"
        );
        // Even if both stand for the same action.
        assert!(ActionMap::new(rules(&[(second, "one"), (first, "one")])).is_err());
    }
}

#[test]
fn a_rule_for_what_two_are_about_settles_it() {
    let map = map(&[("GET /a/{x}/c", "xc"), ("GET /a/b/{y}", "by"), ("GET /a/b/c", "bc")]);
    for (target, action) in [("/a/x/c", "xc"), ("/a/b/y", "by"), ("/a/b/c", "bc")] {
        assert_eq!(named(&map, "GET", target), Some(action));
    }
}

#[test]
fn rules_that_are_about_different_requests_go_together() {
    for (first, second) in [
        ("GET /a/{x}/c", "PUT /a/b/{y}"),
        ("GET /a/{x}/c", "GET /a/b/{y}:v"),
        ("GET /a/{x}/", "GET /{y=**}"),
        ("GET /{x}/", "GET /a/{r=**}"),
        ("GET /{x}/b/", "GET /a/{r=**}"),
        ("GET /a/{x}", "GET /a/"),
        ("GET /a/{x}", "GET /a/{x}:v"),
        ("GET /a/{x}", "GET /a/x:v"),
    ] {
        let list = [(first, "one"), (second, "two")];
        let both = ActionMap::new(rules(&list));
        let turned = ActionMap::new(rules(&[list[1], list[0]]));
        assert_eq!(both.is_ok(), turned.is_ok(), "{first}, {second}");
        assert!(both.is_ok(), "{first}, {second}: {both:?}");
    }
}

#[test]
fn rules_are_bounded() {
    let many = |count: usize| {
        let text = |n: usize| (format!("GET /a{n}/{{id}}").parse().unwrap(), "a".parse().unwrap());
        ActionMap::new((0..count).map(text).collect())
    };
    let map = many(MAX_ACTION_RULES).unwrap();
    assert_eq!(map.len(), 1024);
    assert_eq!(named(&map, "GET", "/a1023/x"), Some("a"));
    assert_eq!(many(MAX_ACTION_RULES + 1), Err(ActionMapError::TooMany(1025)));
}
