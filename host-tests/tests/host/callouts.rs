//! HTTP calls with the test as the server.

use std::time::Duration;

use kya_host_tests::{HeaderMap, Outcome, Profile, Proxy, ProxyBuilder, RequestState, VmName};

use crate::guests::{guest, map_at, said, text_at};

/// Calls cluster `a` with body `xyz` and this timeout; the id is at 1036.
fn call(headers: &str, timeout: i32) -> String {
    format!(
        "(call $http_call (i32.const 0) (i32.const 1) {headers} (i32.const 23) (i32.const 3)
           (i32.const 0) (i32.const 0) (i32.const {timeout}) (i32.const 1036))"
    )
}

/// A tick calls; `a` is the status of calling. A request with the header `b` is
/// held and calls too. An answer is told in the gauges `c` (context), `d` (id), `e`
/// (headers), `f` (bytes), `g` (status of reading `:status`), `h` (of the body), `i`
/// (`proxy_get_status`), and said; a held request then goes on with the header `k`.
fn caller(timeout: i32) -> ProxyBuilder {
    let (map, headers) = map_at(
        2000,
        &[(":method", "POST"), (":path", "/p"), (":authority", "call.test"), ("x", "1")],
    );
    let (status_text, status) = text_at(2200, ":status");
    let put =
        |name: u32, value: &str| format!("(call $put (i32.const {name}) (i32.const 1) {value})");
    let read = format!(
        "{}{}{}{}{}",
        put(
            6,
            &format!("(call $get_header (i32.const 6) {status} (i32.const 1024) (i32.const 1028))")
        ),
        "(if (i32.eqz (local.get 2)) (then) (else (call $say (i32.load (i32.const 1024)) (i32.load (i32.const 1028)))))",
        put(
            7,
            "(call $get_buffer (i32.const 4) (i32.const 0) (i32.const 99) (i32.const 1024) (i32.const 1028))"
        ),
        "(if (i32.eqz (local.get 3)) (then) (else (call $say (i32.load (i32.const 1024)) (i32.load (i32.const 1028)))))",
        put(
            8,
            "(block (result i32) (drop (call $get_status (i32.const 1032) (i32.const 1024) (i32.const 1028))) (i32.load (i32.const 1032)))"
        ),
    );
    guest(&format!(
        r#"{map} {status_text}
        (global $held (mut i32) (i32.const 0))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (if (call $get_header (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1024) (i32.const 1028))
            (then (return (i32.const 0))))
          (global.set $held (local.get 0))
          {calls}
          (i32.const 1))
        (func (export "proxy_on_tick") (param i32) {calls})
        (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
          {told} {read}
          (if (global.get $held)
            (then
              (drop (call $set_context (global.get $held)))
              (drop (call $add_header (i32.const 0) (i32.const 10) (i32.const 1) (i32.const 0) (i32.const 2)))
              (drop (call $continue (i32.const 0))))))"#,
        calls = put(0, &call(&headers, timeout)),
        told = [2, 3, 4, 5].map(|name| put(name, &format!("(local.get {})", name - 2))).concat(),
    ))
}

fn ticked(timeout: i32) -> Proxy {
    let mut proxy = caller(timeout).start("").unwrap();
    proxy.tick(VmName::Main);
    assert_eq!(proxy.metric("a"), 0);
    proxy
}

#[test]
fn a_call_is_seen_with_all_that_it_carries() {
    let proxy = ticked(1500);
    let call = proxy.http_calls().remove(0);
    assert_eq!((call.vm, call.id, call.context), (VmName::Main, 4, 1));
    assert_eq!((call.cluster.as_str(), call.body.as_slice()), ("a", &b"xyz"[..]));
    assert_eq!(call.timeout, Some(Duration::from_millis(1500)));
    let expected: HeaderMap = [
        (":method", "POST"),
        (":path", "/p"),
        (":authority", "call.test"),
        ("x", "1"),
        ("content-length", "3"),
    ]
    .into_iter()
    .collect();
    assert_eq!(call.headers, expected);
    assert!(call.trailers.is_empty());
}

#[test]
fn an_answer_is_told_once_with_its_headers_and_body() {
    let mut proxy = ticked(0);
    let key = proxy.http_calls()[0].key;
    assert!(proxy.answer_call(key, 204, &[("y", b"2")], b"hello"));
    let told = ["c", "d", "e", "f", "g", "h", "i"].map(|name| proxy.metric(name));
    assert_eq!(told, [1, 4, 2, 5, 0, 0, 0], "root context, id, headers, bytes, readable");
    assert_eq!(said(&proxy), "204 hello");
    assert!(proxy.http_calls().is_empty());
    assert!(!proxy.answer_call(key, 200, &[], b""), "it is over");
}

#[test]
fn a_call_that_is_reset_has_no_headers_and_nothing_to_read() {
    let mut proxy = ticked(0);
    let key = proxy.http_calls()[0].key;
    assert!(proxy.fail_call(key));
    let told = ["c", "d", "e", "f", "g", "h", "i"].map(|name| proxy.metric(name));
    assert_eq!(told, [1, 4, 0, 0, 2, 1, 11]);
}

#[test]
fn a_server_that_is_late_or_away_is_answered_for_by_envoy() {
    let mut late = ticked(1500);
    late.advance(Duration::from_millis(1499));
    assert_eq!(late.http_calls().len(), 1);
    late.advance(Duration::from_millis(1));
    assert!(late.http_calls().is_empty());
    assert_eq!(said(&late), "504 upstream request timeout");
    assert_eq!(late.metric("e"), 3);

    let mut away = ticked(0);
    let key = away.http_calls()[0].key;
    assert!(away.refuse_call(key));
    assert!(said(&away).starts_with("503 upstream connect error"));
}

#[test]
fn a_call_without_a_timeout_waits_for_ever() {
    let mut proxy = ticked(0);
    proxy.advance(Duration::from_secs(1_000_000));
    assert_eq!(proxy.http_calls().len(), 1);
}

#[test]
fn in_nginx_a_late_server_is_an_answer_without_headers() {
    let mut proxy = caller(100).profile(Profile::Nginx).start("").unwrap();
    proxy.tick(VmName::Worker(0));
    proxy.advance(Duration::from_millis(100));
    assert_eq!((proxy.metric("d"), proxy.metric("e")), (4, 0));
}

#[test]
fn a_held_request_goes_on_from_the_answer_of_its_call() {
    let mut proxy = caller(0).start("").unwrap();
    let request = proxy.begin(0, &[("b", b"1")]);
    assert_eq!(proxy.state(&request), RequestState::Held);
    assert_eq!(proxy.at_upstream(&request), None);
    let call = proxy.http_calls().remove(0);
    assert_eq!(Some(call.context), request.context());
    assert!(proxy.answer_call(call.key, 200, &[], b""));
    assert_eq!(proxy.state(&request), RequestState::Forwarded);
    let upstream = proxy.at_upstream(&request).unwrap();
    assert_eq!(upstream.headers.get("k"), Some(&b"ab"[..]), "added while it was held");
    assert!(upstream.complete);
    assert!(matches!(proxy.finish(request), Outcome::Forwarded { .. }));
}

#[test]
fn the_answer_comes_even_when_the_request_that_called_is_gone() {
    let mut proxy = caller(0).start("").unwrap();
    let request = proxy.begin(0, &[("b", b"1")]);
    assert!(proxy.client_leaves(&request));
    assert_eq!(proxy.state(&request), RequestState::ClientLeft);
    let key = proxy.http_calls()[0].key;
    assert!(proxy.answer_call(key, 200, &[], b"late"));
    assert_eq!((proxy.metric("c"), proxy.metric("f")), (1, 4), "to the root context");
    assert_eq!(proxy.finish(request), Outcome::Paused);
}

#[test]
fn calls_that_envoy_refuses_are_not_made() {
    let headers = |pairs: &[(&str, &str)]| map_at(2000, pairs);
    let all = [(":method", "GET"), (":path", "/"), (":authority", "x")];
    for (map, timeout, cluster, status) in [
        (headers(&all), 0, "a", 0),
        (headers(&all[..2]), 0, "a", 2),
        (headers(&all[1..]), 0, "a", 2),
        (headers(&all), -1, "a", 2),
        (headers(&all), 0, "other", 2),
    ] {
        let proxy = guest(&format!(
            r#"{} (func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (call $put (i32.const 0) (i32.const 1) {}) (i32.const 1))"#,
            map.0,
            call(&map.1, timeout)
        ))
        .workers(0)
        .clusters(&[cluster])
        .start("")
        .unwrap();
        assert_eq!(proxy.metric("a"), status);
        assert_eq!(proxy.http_calls().len(), usize::from(status == 0), "the canary's is dropped");
    }
}

#[test]
fn calls_of_a_vm_that_is_gone_are_heard_by_nobody() {
    let mut proxy = ticked(100);
    let key = proxy.http_calls()[0].key;
    proxy.crash(VmName::Main);
    assert!(!proxy.answer_call(key, 200, &[], b""));
    proxy.advance(Duration::from_secs(1));
    assert_eq!(proxy.http_calls().len(), 1, "the server still sees it");
    proxy.replace(VmName::Main).unwrap();
    assert!(proxy.http_calls().is_empty());
    assert_eq!(proxy.metric("d"), 0);
}

#[test]
#[should_panic(expected = "main is paused")]
fn a_stuck_vm_hears_no_answer() {
    let mut proxy = ticked(0);
    let key = proxy.http_calls()[0].key;
    proxy.pause(VmName::Main);
    proxy.answer_call(key, 200, &[], b"");
}
