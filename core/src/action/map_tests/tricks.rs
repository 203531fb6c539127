//! What somebody may try so that a request is taken for another.

use super::*;

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
