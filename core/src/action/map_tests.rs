use super::*;
use proptest::prelude::*;

fn rules(rules: &[(&str, &str)]) -> Vec<(Route, ActionName)> {
    rules.iter().map(|(route, action)| (route.parse().unwrap(), action.parse().unwrap())).collect()
}

fn map(list: &[(&str, &str)]) -> ActionMap {
    ActionMap::new(rules(list)).unwrap()
}

fn payments() -> ActionMap {
    map(&[
        ("POST /v1/refunds", "issue_refund"),
        ("GET /v1/refunds/{id}", "read_refund"),
        ("GET /v1/customers/{id}", "read_customer"),
        ("PUT /v1/customers/{id}", "write_customer"),
        ("GET /v1/customers/search", "search_customers"),
        ("DELETE /v1/customers/{id}/cards/{card}", "delete_card"),
        ("POST /v1/agents/{id}:revoke", "revoke_agent"),
        ("GET /v1/agents/{id}", "read_agent"),
        ("GET /objects/{rest=**}", "read_object"),
        ("GET /objects/admin/keys", "read_keys"),
        ("GET /docs/", "read_docs"),
        ("HEAD /v1/refunds/{id}", "probe_refund"),
        ("OPTIONS /v1/refunds", "ask_options"),
        ("grpc: payments.v1.Refunds/Issue", "issue_refund"),
    ])
}

fn named<'a>(map: &'a ActionMap, method: &str, target: &str) -> Option<&'a str> {
    map.action(method.as_bytes(), target.as_bytes()).map(ActionName::as_str)
}

#[track_caller]
fn are_unmapped(method: &str, targets: &[&str]) {
    for target in targets {
        assert_eq!(named(&payments(), method, target), None, "{method} {target:?}");
    }
}

#[test]
fn a_request_stands_for_the_action_of_its_rule() {
    for (method, target, action) in [
        ("POST", "/v1/refunds", "issue_refund"),
        ("POST", "/v1/refunds?", "issue_refund"),
        ("POST", "/v1/refunds?dry_run=1&x=/../y", "issue_refund"),
        ("GET", "/v1/refunds/re_1", "read_refund"),
        ("GET", "/v1/customers/cus-1.x~y", "read_customer"),
        ("GET", "/v1/customers/searches", "read_customer"),
        ("GET", "/v1/customers/search-1", "read_customer"),
        ("PUT", "/v1/customers/7", "write_customer"),
        ("GET", "/v1/customers/search", "search_customers"),
        ("DELETE", "/v1/customers/7/cards/8", "delete_card"),
        ("POST", "/v1/agents/agt_01:revoke", "revoke_agent"),
        ("GET", "/v1/agents/caf%C3%A9", "read_agent"),
        ("GET", "/objects/a", "read_object"),
        ("GET", "/objects/a/b:c/%C3%A9", "read_object"),
        ("GET", "/objects/admin/keys", "read_keys"),
        ("GET", "/docs/", "read_docs"),
        ("POST", "/payments.v1.Refunds/Issue", "issue_refund"),
    ] {
        assert_eq!(named(&payments(), method, target), Some(action), "{method} {target}");
    }
}

#[test]
fn what_no_rule_names_is_unmapped() {
    are_unmapped(
        "GET",
        &["/", "/v1", "/v1/refunds", "/v2/refunds/1", "/v1/customers/7/x", "/docs"],
    );
    are_unmapped("POST", &["/payments.v1.Refunds", "/payments.v1.Refunds/List"]);
    assert_eq!(named(&map(&[]), "GET", "/"), None);
    assert!(map(&[]).is_empty());
    assert_eq!(payments().len(), 14);
}

#[test]
fn a_method_is_no_other_one() {
    are_unmapped("DELETE", &["/v1/refunds", "/v1/refunds/1"]);
    for method in ["post", "Post", "POST ", " POST", "POST\0", "", "PO", "POSTS", "PATCH", "TRACE"]
    {
        are_unmapped(method, &["/v1/refunds"]);
    }
}

#[test]
fn head_is_not_get_unless_a_rule_says_so() {
    are_unmapped("HEAD", &["/v1/customers/7", "/v1/refunds"]);
    assert_eq!(named(&payments(), "HEAD", "/v1/refunds/1"), Some("probe_refund"));
}

#[test]
fn options_is_mapped_like_any_method_and_never_for_the_server() {
    assert_eq!(named(&payments(), "OPTIONS", "/v1/refunds"), Some("ask_options"));
    are_unmapped("OPTIONS", &["*", "/v1/customers/7"]);
}

#[test]
fn connect_is_never_mapped() {
    are_unmapped("CONNECT", &["", "host:443", "/", "/v1/refunds", "/objects/a"]);
}

#[test]
fn a_literal_beats_a_parameter_for_every_method() {
    // There is no `PUT …/search`, and `search` is no customer.
    are_unmapped("PUT", &["/v1/customers/search"]);
    // What is below a literal is not what `{rest=**}` was written for.
    are_unmapped("GET", &["/objects/admin", "/objects/admin/x", "/objects/admin/keys/1"]);
    let map = map(&[("GET /a/{x}/c", "c"), ("GET /a/b/d", "d")]);
    assert_eq!(named(&map, "GET", "/a/x/c"), Some("c"));
    assert_eq!(named(&map, "GET", "/a/b/c"), None);
}

#[test]
fn an_encoded_slash_is_unmapped() {
    are_unmapped("POST", &["/v1%2Frefunds", "/v1%2frefunds", "/v1%252Frefunds"]);
    are_unmapped(
        "GET",
        &["/v1/customers/7%2F8", "/v1/customers/..%2Frefunds", "/objects/a%2f..%2fb"],
    );
}

#[test]
fn a_backslash_is_unmapped() {
    are_unmapped("POST", &["/v1\\refunds", "\\v1\\refunds", "/v1%5Crefunds", "/v1%5crefunds"]);
    are_unmapped("GET", &["/v1/customers/a\\b", "/objects/a%5C..%5Cb"]);
}

#[test]
fn a_dot_segment_is_unmapped() {
    are_unmapped(
        "GET",
        &[
            "/v1/customers/.",
            "/v1/customers/..",
            "/v1/customers/../refunds/1",
            "/v1/customers/%2e%2e/refunds",
            "/v1/customers/%2E%2E",
            "/v1/customers/.%2E",
            "/objects/../v1/refunds",
            "/objects/a/./b",
            "/objects/a/..",
        ],
    );
}

#[test]
fn a_double_slash_is_unmapped() {
    are_unmapped("POST", &["//v1/refunds", "/v1//refunds", "/v1/refunds//"]);
    are_unmapped("GET", &["/objects//a", "/objects/a//b", "/v1/customers//7"]);
}

#[test]
fn a_control_character_is_unmapped() {
    are_unmapped(
        "POST",
        &["/v1/refunds\0", "/v1/refunds%00", "/v1/refunds\r\nx: y", "/v1/refunds%0A"],
    );
    are_unmapped(
        "GET",
        &["/v1/customers/7\0", "/v1/customers/7%0D", "/objects/\x7f", "/objects/a%1F"],
    );
    are_unmapped("POST", &["/v1/refunds?a\0", "/v1/refunds?a\r\nx: y", "/v1/refunds?a b"]);
}

#[test]
fn what_is_not_ascii_is_unmapped_unless_encoded() {
    are_unmapped("GET", &["/v1/agents/café", "/v1/agents/%C3", "/v1/agents/%C0%AF", "/objects/é"]);
    assert_eq!(payments().action(b"GET", b"/v1/agents/\xff"), None);
    assert_eq!(payments().action(b"GET", b"/objects/a?\xff"), None);
}

#[test]
fn an_encoded_letter_is_unmapped() {
    are_unmapped("POST", &["/v1/%72efunds", "/%761/refunds", "/v1/refund%73", "/v1/refunds%20"]);
    are_unmapped("GET", &["/v1/customers/%61", "/v1/customers/%2D", "/objects/%7E"]);
}

#[test]
fn another_case_is_unmapped() {
    are_unmapped(
        "POST",
        &["/V1/refunds", "/v1/Refunds", "/v1/REFUNDS", "/payments.v1.refunds/issue"],
    );
    // And is no value of a parameter that stands beside the literal.
    are_unmapped("GET", &["/v1/customers/Search", "/v1/customers/SEARCH", "/objects/ADMIN/keys"]);
    // Letters that some fold to `k` and `s` when they ignore case.
    are_unmapped("GET", &["/v1/customers/%C5%BFearch", "/objects/admin/%E2%84%AAeys"]);
}

#[test]
fn a_slash_at_the_end_is_unmapped_unless_a_rule_names_it() {
    are_unmapped("POST", &["/v1/refunds/"]);
    are_unmapped(
        "GET",
        &["/v1/customers/7/", "/v1/customers/", "/objects/", "/objects/a/", "/docs/x"],
    );
}

#[test]
fn path_parameters_are_unmapped() {
    are_unmapped("POST", &["/v1/refunds;a=b", "/v1;a/refunds", "/v1/refunds;", "/v1/refunds%3Ba"]);
    are_unmapped("GET", &["/v1/customers/7;jsessionid=1", "/objects/..;/v1/refunds"]);
}

#[test]
fn a_fragment_is_unmapped() {
    are_unmapped(
        "POST",
        &["/v1/refunds#", "/v1/refunds#/../x", "/v1/refunds?a#b", "/v1/refunds%23"],
    );
    are_unmapped("GET", &["/v1/customers/7#", "/objects/a#b"]);
}

#[test]
fn a_query_decides_nothing_and_is_only_cut_off() {
    are_unmapped("POST", &["?/v1/refunds", "/?/v1/refunds", "/v1?/refunds", "/v1/refunds%3Fa"]);
    assert_eq!(named(&payments(), "POST", "/v1/refunds??a=/v1/x"), Some("issue_refund"));
}

#[test]
fn an_absolute_target_is_unmapped() {
    are_unmapped(
        "POST",
        &[
            "http://host/v1/refunds",
            "HTTP://host/v1/refunds",
            "//host/v1/refunds",
            "host/v1/refunds",
            "v1/refunds",
            "",
            " /v1/refunds",
            "/http://host/v1/refunds",
        ],
    );
}

#[test]
fn an_ending_that_some_cut_off_makes_no_parameter_of_a_literal() {
    are_unmapped(
        "GET",
        &[
            "/v1/customers/search.json",
            "/v1/customers/SEARCH.xml",
            "/v1/customers/search.",
            "/v1/customers/search%20",
            "/v1/customers/%20search",
            "/v1/customers/.search",
            "/v1/customers/%09%20search%20x",
            "/v1/customers/search,x",
            "/v1/customers/search:x",
            "/objects/admin.json",
        ],
    );
    are_unmapped("POST", &["/v1/refunds.json", "/v1/refunds."]);
}

#[test]
fn a_colon_is_a_verb_or_unmapped() {
    are_unmapped(
        "POST",
        &[
            "/v1/agents/7:REVOKE",
            "/v1/agents/7:revoke.json",
            "/v1/agents/7%3Arevoke",
            "/v1/agents/7:revoke:revoke",
            "/v1/agents/7%3A8:revoke",
            "/v1/agents/:revoke",
            "/v1/agents/7:",
        ],
    );
    are_unmapped(
        "GET",
        &["/v1/agents/7:revoke", "/v1/agents/7%3Arevoke", "/v1/customers/7:delete"],
    );
}

#[test]
fn a_method_in_the_query_is_unmapped() {
    are_unmapped(
        "POST",
        &[
            "/v1/refunds?_method=DELETE",
            "/v1/refunds?a=b&_METHOD=DELETE",
            "/v1/refunds?%5Fmethod=DELETE",
            "/v1/refunds?a;_method=DELETE",
            "/v1/refunds?x-http-method-override=DELETE",
        ],
    );
    assert_eq!(named(&payments(), "POST", "/v1/refunds?payment_method=card"), Some("issue_refund"));
}

#[test]
fn a_long_target_is_unmapped_and_a_deep_one_only_for_the_rest() {
    let long = |bytes: usize| format!("/objects/{}", "a".repeat(bytes - "/objects/".len()));
    assert_eq!(named(&payments(), "GET", &long(MAX_TARGET_BYTES)), Some("read_object"));
    assert_eq!(named(&payments(), "GET", &long(MAX_TARGET_BYTES + 1)), None);
    let query = |bytes: usize| format!("/objects/a?{}", "a".repeat(bytes - "/objects/a?".len()));
    assert_eq!(named(&payments(), "GET", &query(MAX_TARGET_BYTES)), Some("read_object"));
    assert_eq!(named(&payments(), "GET", &query(MAX_TARGET_BYTES + 1)), None);
    let deep = "/a".repeat(2000);
    assert_eq!(named(&payments(), "GET", &format!("/objects{deep}")), Some("read_object"));
    are_unmapped("GET", &[&deep, &format!("/v1/customers{deep}")]);
}

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

/// Whether a template stands for a path, by the plainest reading.
fn stands_for(route: &Route, path: &str) -> bool {
    let segments: Vec<_> = path[1..].split('/').collect();
    let is_rest = route.segments.last() == Some(&Segment::Rest);
    if segments.len() < route.segments.len() || segments.len() > route.segments.len() && !is_rest {
        return false;
    }
    route.segments.iter().zip(segments).all(|(template, segment)| match template {
        Segment::Literal(literal) => literal == segment,
        Segment::Any => !segment.is_empty(),
        Segment::Verb(verb) => segment.ends_with(&format!(":{verb}")),
        Segment::Rest => !segment.is_empty(),
    })
}

fn small_rules() -> impl Strategy<Value = Vec<(Route, ActionName)>> {
    let segment = prop_oneof![
        4 => Just("a"), 3 => Just("b"), 1 => Just("c.d"), 4 => Just("{}"), 1 => Just("{}:v"),
    ];
    let end = prop_oneof![5 => Just(""), 1 => Just("/"), 1 => Just("/{r=**}")];
    let method = prop::sample::select(vec!["GET", "PUT"]);
    let rule = (method, prop::collection::vec(segment, 1..4), end);
    prop::collection::vec(rule, 0..6).prop_map(|rules| {
        let mut routes = Vec::new();
        for (index, (method, segments, end)) in rules.into_iter().enumerate() {
            let named = segments
                .iter()
                .enumerate()
                .map(|(at, text)| text.replace("{}", &format!("{{p{at}}}")));
            let path = format!("/{}{end}", named.collect::<Vec<_>>().join("/"));
            let route = Route::http(method, &path).unwrap();
            let action: ActionName = format!("action_{index}").parse().unwrap();
            // Whatever does not go with the others is left out.
            routes.push((route, action));
            if ActionMap::new(routes.clone()).is_err() {
                routes.pop();
            }
        }
        routes
    })
}

fn small_target() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec![
        "a", "b", "A", "x", "c.d", "c", "a.json", "x:v", "a:v", "x:w", "", ".", "..", "%61", "%2F",
        "%C3%A9", "a;b", "x%3Av", "a?b",
    ]);
    prop::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn the_action_is_that_of_the_most_precise_rule_or_none(
        rules in small_rules(),
        target in small_target(),
        method in prop::sample::select(vec!["GET", "PUT"]),
    ) {
        let map = ActionMap::new(rules.clone()).unwrap();
        let Some(action) = named(&map, method, &target) else { return Ok(()) };
        let path = target.split('?').next().unwrap();
        let about: Vec<_> = rules
            .iter()
            .filter(|(route, _)| route.method == method && stands_for(route, path))
            .collect();
        let (found, _) = about.iter().find(|(_, name)| name.as_str() == action).unwrap();
        for (other, _) in &about {
            prop_assert!(found.is_narrower(other), "{} before {}", other, found);
        }
    }

    #[test]
    fn a_path_of_literals_alone_is_always_found(rules in small_rules()) {
        let map = ActionMap::new(rules.clone()).unwrap();
        for (route, action) in &rules {
            let text = route.to_string();
            let (method, path) = text.split_once(' ').unwrap();
            if !path.contains('{') {
                prop_assert_eq!(named(&map, method, path), Some(action.as_str()));
            }
        }
    }

    #[test]
    fn the_order_of_the_rules_decides_nothing(
        rules in small_rules(),
        targets in prop::collection::vec(small_target(), 16),
    ) {
        let map = ActionMap::new(rules.clone()).unwrap();
        let turned = ActionMap::new(rules.into_iter().rev().collect()).unwrap();
        for target in targets {
            prop_assert_eq!(named(&map, "GET", &target), named(&turned, "GET", &target));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(method: Vec<u8>, target: Vec<u8>) {
        let _ = payments().action(&method, &target);
        let _ = payments().action(b"GET", &[b"/objects/".as_slice(), &target].concat());
    }
}
