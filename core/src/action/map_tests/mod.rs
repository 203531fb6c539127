//! Which action a request stands for.

mod any;
mod rules;
mod tricks;

use super::*;

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
