//! Requests, their headers and their answers.

use kya_host_tests::{LocalResponse, Outcome, Proxy, VmName};

use crate::guests::{guest, started};

fn header(outcome: &Outcome, name: &str) -> Vec<Vec<u8>> {
    outcome.forwarded().unwrap().get_all(name).map(<[u8]>::to_vec).collect()
}

#[test]
fn headers_are_changed_as_the_guest_says() {
    let mut proxy = started(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $put (i32.const 25) (i32.const 1) (local.get 1))
             (drop (call $remove_header (i32.const 0) (i32.const 0) (i32.const 1)))
             (drop (call $add_header (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 23) (i32.const 3)))
             (drop (call $replace_header (i32.const 0) (i32.const 2) (i32.const 1) (i32.const 20) (i32.const 2)))
             (i32.const 0))"#,
    );
    let outcome = proxy.request(
        0,
        &[("A", b"1"), ("a", b"2"), ("b", b"3"), ("C", b"4"), ("c", b"\xff"), ("d", b"5")],
    );
    assert_eq!(header(&outcome, "a"), [b""; 0]);
    assert_eq!(header(&outcome, "b"), [&b"3"[..], b"xyz"]);
    assert_eq!(header(&outcome, "c"), [b"uv"]);
    assert_eq!(header(&outcome, "d"), [b"5"]);
    assert_eq!(header(&outcome, ":method"), [b"GET"]);
    assert_eq!(proxy.metric("z"), 10, "six of the client, four that every request has");
}

#[test]
fn a_guest_that_asks_for_one_header_gets_the_first() {
    let mut proxy = started(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $put (i32.const 25) (i32.const 1)
               (call $get_header (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 1028)))
             (drop (call $log (i32.const 2) (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))
             (i32.const 0))"#,
    );
    proxy.request(0, &[("a", b"first"), ("A", b"second")]);
    assert_eq!((proxy.metric("z"), proxy.log()[0].text.as_str()), (0, "first"));
    proxy.request(1, &[]);
    assert_eq!(proxy.metric("z"), 1);
}

#[test]
fn headers_that_went_on_are_out_of_reach_and_back_for_the_log() {
    let get = |name: u32| {
        format!(
            r#"(call $put (i32.const {name}) (i32.const 1)
                 (call $get_header (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 1028)))"#
        )
    };
    let mut proxy = started(&format!(
        r#"(global $context (mut i32) (i32.const 0))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (global.set $context (local.get 0)) (i32.const 0))
           (func (export "proxy_on_tick") (param i32)
             (call $put (i32.const 25) (i32.const 1) (call $set_context (global.get $context)))
             {})
           (func (export "proxy_on_log") (param i32) {}
             (call $put (i32.const 2) (i32.const 1)
               (call $remove_header (i32.const 0) (i32.const 0) (i32.const 1))))
           (func (export "proxy_on_done") (param i32) (result i32) {} (i32.const 1))"#,
        get(0),
        get(1),
        get(3),
    ));
    let request = proxy.begin(0, &[("a", b"1")]);
    proxy.tick(VmName::Worker(0));
    assert_eq!((proxy.metric("z"), proxy.metric("a")), (0, 2), "found, but its headers are gone");
    assert!(proxy.finish(request).forwarded().is_some());
    assert_eq!(proxy.metric("b"), 0, "the log reads them");
    assert_eq!(proxy.metric("c"), 2, "and does not change them");
    assert_eq!(proxy.metric("d"), 2);
    proxy.tick(VmName::Worker(0));
    assert_eq!(proxy.metric("z"), 2, "there is no such context any more");
}

#[test]
fn contexts_come_and_go_in_the_order_of_envoy() {
    let note = |export: &str, result: &str, letter: u32| {
        let value = if result.is_empty() { "" } else { "(i32.const 1)" };
        format!(
            r#"(func (export "{export}") (param i32) {result}
                 (drop (call $log (i32.const 2) (i32.const {letter}) (i32.const 1))) {value})"#
        )
    };
    let body = note("proxy_on_log", "", 11)
        + &note("proxy_on_done", "(result i32)", 3)
        + &note("proxy_on_delete", "", 4)
        + r#"(func (export "proxy_on_context_create") (param i32 i32)
               (if (local.get 1)
                 (then (drop (call $log (i32.const 2) (i32.const 2) (i32.const 1))))))
             (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (drop (call $log (i32.const 2) (i32.const 7) (i32.const 1))) (i32.const 0))"#;
    let mut proxy = started(&body);
    proxy.request(0, &[]);
    let text: String = proxy.log().into_iter().map(|line| line.text).collect();
    assert_eq!(text, "chlde", "create, headers, log, done, delete");
}

/// Answers with 403, a header and a body.
const DENY: &str = r#"
    (data (i32.const 2000) "\01\00\00\00\03\00\00\00\01\00\00\00X-Y\00z\00")
    (func $deny
      (drop (call $respond (i32.const 403) (i32.const 3) (i32.const 2) (i32.const 0) (i32.const 3)
        (i32.const 2000) (i32.const 18) (i32.const -1))))"#;

#[test]
fn a_local_response_is_the_answer_whatever_the_guest_returns() {
    for action in [0, 1] {
        let mut proxy = started(&format!(
            r#"{DENY} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $deny) (i32.const {action}))"#
        ));
        let outcome = proxy.request(0, &[]);
        let headers = [("x-y", "z")].into_iter().collect();
        let expected = LocalResponse {
            status: 403,
            details: "de".into(),
            headers,
            body: b"abc".into(),
            grpc_status: None,
        };
        assert_eq!(outcome, Outcome::LocalResponse(expected));
    }
}

fn answers_twice() -> Proxy {
    started(&format!(
        r#"{DENY} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $deny) (call $deny) (i32.const 1))"#
    ))
}

#[test]
fn a_second_answer_to_one_request_is_a_violation() {
    let mut proxy = answers_twice();
    assert_eq!(proxy.request(0, &[]).local_response().unwrap().status, 403);
    assert_eq!(proxy.take_violations().len(), 1);
}

#[test]
#[should_panic(expected = "broke the rules")]
fn a_violation_that_nobody_looked_at_fails_the_test() {
    let mut proxy = answers_twice();
    proxy.request(0, &[]);
}

#[test]
fn a_request_that_is_held_waits_until_it_is_let_go_or_answered() {
    let hold = |then: &str| {
        format!(
            r#"{DENY} (global $context (mut i32) (i32.const 0))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (global.set $context (local.get 0)) (i32.const 1))
               (func (export "proxy_on_tick") (param i32)
                 (drop (call $set_context (global.get $context))) {then})"#
        )
    };
    for (then, expected) in [
        ("", "Paused"),
        ("(drop (call $continue (i32.const 0)))", "Forwarded"),
        ("(call $deny)", "LocalResponse"),
        ("(drop (call $close_stream (i32.const 0)))", "Reset"),
    ] {
        let mut proxy = started(&hold(then));
        let request = proxy.begin(0, &[]);
        proxy.tick(VmName::Worker(0));
        let outcome = proxy.finish(request);
        assert!(format!("{outcome:?}").starts_with(expected), "{then}: {outcome:?}");
    }
}

#[test]
fn a_response_outside_of_any_request_goes_nowhere() {
    let mut proxy =
        started(&format!(r#"{DENY} (func (export "proxy_on_tick") (param i32) (call $deny))"#));
    proxy.tick(VmName::Worker(0));
    assert!(proxy.request(0, &[]).forwarded().is_some());
}

#[test]
fn a_guest_sees_the_headers_as_one_map() {
    let mut proxy = guest(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $get_headers (i32.const 0) (i32.const 1024) (i32.const 1028)))
             (call $put (i32.const 0) (i32.const 1) (i32.load (i32.load (i32.const 1024))))
             ;; The response has none yet: an empty map.
             (call $put (i32.const 1) (i32.const 1)
               (call $get_headers (i32.const 2) (i32.const 1024) (i32.const 1028)))
             (call $put (i32.const 2) (i32.const 1) (i32.load (i32.const 1028)))
             (i32.const 0))"#,
    )
    .workers(1)
    .start("")
    .unwrap();
    proxy.request(0, &[("a", b"1"), (":path", b"/x")]);
    assert_eq!(["a", "b", "c"].map(|name| proxy.metric(name)), [5, 0, 0]);
}
