//! Requests in full life: phases, holds, answers, ends.

use kya_host_tests::{Outcome, Proxy, RequestState, VmName};

use crate::guests::{guest, said, started};

/// A guest that says a letter in every phase and answers it with what the first
/// digit of the header of that letter says: `h` request headers, `b` body, `t`
/// trailers, and `i`, `c`, `u` of the response; and `l` log, `d` done, `e` delete.
/// Bodies are said too. `x` in the value of a header answers the request itself, `r`
/// resets it, `k` continues it, `u` traps. A tick does to the last request what its
/// header `z` says.
const PHASES: &str = r#"
    (global $last (mut i32) (i32.const 0))
    (global $plan (mut i32) (i32.const 0))
    (func $act (param $what i32)
      (if (i32.eq (local.get $what) (i32.const 120))
        (then (drop (call $respond (i32.const 418) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5)
          (i32.const 0) (i32.const 0) (i32.const -1)))))
      (if (i32.eq (local.get $what) (i32.const 114)) (then (drop (call $close_stream (i32.const 0)))))
      (if (i32.eq (local.get $what) (i32.const 107)) (then (drop (call $continue (i32.const 0)))))
      (if (i32.eq (local.get $what) (i32.const 75)) (then (drop (call $continue (i32.const 1)))))
      (if (i32.eq (local.get $what) (i32.const 117)) (then (unreachable))))
    ;; What the plan says for a letter: the digit to answer with.
    (func $phase (param $letter i32) (result i32) (local $value i32)
      (call $say (local.get $letter) (i32.const 1))
      (local.set $value (i32.load8_u (i32.add (i32.const 3000) (local.get $letter))))
      (call $act (local.get $value))
      (if (i32.and (i32.ge_u (local.get $value) (i32.const 48)) (i32.le_u (local.get $value) (i32.const 51)))
        (then (return (i32.sub (local.get $value) (i32.const 48)))))
      (i32.const 0))
    (func $body (param $letter i32) (param $buffer i32) (param $size i32) (result i32)
      (if (local.get $size)
        (then
          (drop (call $get_buffer (local.get $buffer) (i32.const 0) (i32.const 99) (i32.const 1024) (i32.const 1028)))
          (call $say (i32.load (i32.const 1024)) (i32.load (i32.const 1028)))))
      (call $phase (local.get $letter)))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $n i32)
      (global.set $last (local.get 0))
      ;; Copies the first byte of each header `a` to `z` to 3000 and on.
      (loop $next
        (i32.store8 (i32.add (i32.const 3000) (local.get $n)) (i32.const 0))
        (if (i32.eqz (call $get_header (i32.const 0) (local.get $n) (i32.const 1) (i32.const 1024) (i32.const 1028)))
          (then (i32.store8 (i32.add (i32.const 3000) (local.get $n)) (i32.load8_u (i32.load (i32.const 1024))))))
        (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 26))))
      (call $phase (i32.const 7)))
    (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
      (call $body (i32.const 1) (i32.const 0) (local.get 1)))
    (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (call $phase (i32.const 19)))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $phase (i32.const 8)))
    (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
      (call $body (i32.const 2) (i32.const 1) (local.get 1)))
    (func (export "proxy_on_response_trailers") (param i32 i32) (result i32) (call $phase (i32.const 20)))
    (func (export "proxy_on_log") (param i32) (drop (call $phase (i32.const 11))))
    (func (export "proxy_on_done") (param i32) (result i32) (call $phase (i32.const 3)))
    (func (export "proxy_on_delete") (param i32) (drop (call $phase (i32.const 4))))
    (func (export "proxy_on_tick") (param i32)
      (drop (call $set_context (global.get $last)))
      (call $act (i32.load8_u (i32.const 3025))))"#;

const WORKER: VmName = VmName::Worker(0);

fn phases() -> Proxy {
    guest(PHASES).workers(1).start("").unwrap()
}

#[test]
fn a_request_and_its_response_pass_through_every_phase() {
    let mut proxy = phases();
    let request = proxy.begin_with_body(0, &[]);
    assert_eq!(proxy.state(&request), RequestState::Forwarded);
    assert!(proxy.client_sends(&request, b"12", false));
    assert!(proxy.client_sends(&request, b"34", false));
    assert!(!proxy.at_upstream(&request).unwrap().complete);
    assert!(proxy.client_sends_trailers(&request, &[("m", b"1")]));
    let upstream = proxy.at_upstream(&request).unwrap();
    assert!(upstream.complete);
    assert_eq!(upstream.body, b"1234");
    assert_eq!(upstream.trailers.unwrap().get("m"), Some(&b"1"[..]));

    assert_eq!(proxy.at_client(&request), None);
    assert!(proxy.upstream_answers(&request, 201, &[("n", b"2")], false));
    assert_eq!(proxy.state(&request), RequestState::Streaming);
    assert!(proxy.upstream_sends(&request, b"56", false));
    assert!(proxy.upstream_sends_trailers(&request, &[("o", b"3")]));
    assert_eq!(proxy.state(&request), RequestState::Done);
    let client = proxy.at_client(&request).unwrap();
    assert_eq!((client.status(), client.body.as_slice()), (Some(201), &b"56"[..]));
    assert_eq!(client.headers.get("n"), Some(&b"2"[..]));
    assert_eq!(client.trailers.unwrap().get("o"), Some(&b"3"[..]));
    assert_eq!(said(&proxy), "h 12 b 34 b t i 56 c u l d e");
    assert!(!proxy.upstream_sends(&request, b"x", true), "it is over");
    assert!(matches!(proxy.finish(request), Outcome::Forwarded { .. }));
}

#[test]
fn a_body_that_is_held_is_seen_whole_and_goes_on_whole() {
    let mut proxy = phases();
    let request = proxy.begin_with_body(0, &[("b", b"1"), ("z", b"k")]);
    proxy.client_sends(&request, b"12", false);
    proxy.client_sends(&request, b"34", false);
    proxy.client_sends(&request, b"56", true);
    assert_eq!(said(&proxy), "h 12 b 1234 b 123456 b");
    assert_eq!(proxy.state(&request), RequestState::Held);
    assert!(proxy.at_upstream(&request).unwrap().body.is_empty());
    proxy.tick(WORKER);
    let upstream = proxy.at_upstream(&request).unwrap();
    assert_eq!((upstream.body.as_slice(), upstream.complete), (&b"123456"[..], true));
    assert_eq!(proxy.state(&request), RequestState::Forwarded);
    proxy.finish(request);
}

#[test]
fn a_body_that_is_held_back_by_parts_is_seen_by_parts() {
    let mut proxy = phases();
    let request = proxy.begin_with_body(0, &[("b", b"2"), ("z", b"k")]);
    proxy.client_sends(&request, b"12", false);
    proxy.client_sends(&request, b"34", true);
    assert_eq!(said(&proxy), "h 12 b 34 b");
    proxy.tick(WORKER);
    assert_eq!(proxy.at_upstream(&request).unwrap().body, b"1234");
    proxy.finish(request);

    let dropped = proxy.begin_with_body(0, &[("b", b"3"), ("z", b"k")]);
    proxy.client_sends(&dropped, b"12", true);
    proxy.tick(WORKER);
    assert!(proxy.at_upstream(&dropped).unwrap().body.is_empty(), "nobody buffered it");
    proxy.finish(dropped);
}

#[test]
fn what_comes_behind_held_headers_is_shown_when_they_go_on() {
    let mut proxy = phases();
    let request = proxy.begin_with_body(0, &[("h", b"1"), ("z", b"k")]);
    proxy.client_sends(&request, b"12", false);
    proxy.client_sends(&request, b"34", false);
    proxy.client_sends_trailers(&request, &[("m", b"1")]);
    assert_eq!(said(&proxy), "h");
    assert_eq!(proxy.at_upstream(&request), None);
    proxy.tick(WORKER);
    assert_eq!(said(&proxy), "h 1234 b t");
    let upstream = proxy.at_upstream(&request).unwrap();
    assert!(upstream.complete && upstream.trailers.is_some());
    assert_eq!(upstream.body, b"1234");
    proxy.finish(request);
}

#[test]
fn trailers_that_are_held_hold_the_body_before_them() {
    let mut proxy = phases();
    let request = proxy.begin_with_body(0, &[("b", b"1"), ("t", b"1"), ("z", b"k")]);
    proxy.client_sends(&request, b"12", false);
    proxy.client_sends_trailers(&request, &[("m", b"1")]);
    assert!(proxy.at_upstream(&request).unwrap().body.is_empty());
    proxy.tick(WORKER);
    let upstream = proxy.at_upstream(&request).unwrap();
    assert_eq!((upstream.body.as_slice(), upstream.complete), (&b"12"[..], true));
    proxy.finish(request);
}

#[test]
fn a_body_past_the_buffer_limit_is_answered_by_the_proxy() {
    let mut proxy = guest(PHASES).workers(1).buffer_limit(3).start("").unwrap();
    let request = proxy.begin_with_body(0, &[("b", b"1")]);
    proxy.client_sends(&request, b"123", false);
    assert_eq!(proxy.state(&request), RequestState::Held);
    proxy.client_sends(&request, b"4", false);
    assert_eq!(proxy.state(&request), RequestState::AnsweredByProxy(413));
    // Measured in Envoy 1.40: the filter sees what was too much, and cannot help it.
    assert_eq!(said(&proxy), "h 123 b 1234 b i Payload Too Large c l d e");
    assert_eq!(proxy.finish(request), Outcome::ProxyResponse { status: 413 });

    let flowing = proxy.begin_with_body(0, &[]);
    proxy.client_sends(&flowing, b"12345678", true);
    assert!(matches!(proxy.finish(flowing), Outcome::Forwarded { .. }), "what is not held is free");

    let request = proxy.begin(0, &[("c", b"1")]);
    proxy.upstream_answers(&request, 200, &[], false);
    proxy.upstream_sends(&request, b"12345", false);
    assert_eq!(proxy.state(&request), RequestState::Reset, "the headers have gone to the client");
    assert_eq!(proxy.finish(request), Outcome::Reset);
}

#[test]
fn a_response_can_be_held_and_let_go_or_replaced() {
    let mut proxy = phases();
    let request = proxy.begin(0, &[("i", b"1"), ("z", b"K")]);
    proxy.upstream_answers(&request, 200, &[], false);
    proxy.upstream_sends(&request, b"12", true);
    assert_eq!(proxy.state(&request), RequestState::ResponseHeld);
    assert_eq!(proxy.at_client(&request), None);
    proxy.tick(WORKER);
    assert_eq!(proxy.state(&request), RequestState::Done);
    assert_eq!(said(&proxy), "h i 12 c l d e");
    proxy.finish(request);

    let request = proxy.begin(0, &[("i", b"1"), ("z", b"x")]);
    proxy.upstream_answers(&request, 200, &[], false);
    proxy.tick(WORKER);
    assert!(matches!(proxy.state(&request), RequestState::Answered(it) if it.status == 418));
    assert!(said(&proxy).ends_with("h i l d e"), "the filters do not see this one");
    assert_eq!(proxy.at_client(&request).unwrap().status(), Some(418));
    proxy.finish(request);
}

#[test]
fn an_answer_before_the_response_is_the_response_and_passes_its_phases() {
    // In the request's own phase; while it is held; while the upstream works.
    for (headers, ticks) in [
        (&[("h", &b"x"[..])][..], false),
        (&[("h", b"1"), ("z", b"x")], true),
        (&[("z", b"x")], true),
    ] {
        let mut proxy = phases();
        let request = proxy.begin(0, headers);
        if ticks {
            assert!(!proxy.state(&request).is_over());
            proxy.tick(WORKER);
        }
        assert!(matches!(proxy.state(&request), RequestState::Answered(it) if it.status == 418));
        assert_eq!(said(&proxy), "h i abcde c l d e");
        let client = proxy.at_client(&request).unwrap();
        assert_eq!((client.status(), client.body.as_slice()), (Some(418), &b"abcde"[..]));
        assert_eq!(client.headers.get("content-length"), Some(&b"5"[..]));
        assert_eq!(proxy.finish(request).local_response().unwrap().status, 418);
    }
}

#[test]
fn an_answer_after_the_response_has_begun_is_a_reset() {
    let mut proxy = phases();
    let request = proxy.begin(0, &[("z", b"x")]);
    proxy.upstream_answers(&request, 200, &[], false);
    proxy.upstream_sends(&request, b"12", false);
    proxy.tick(WORKER);
    assert_eq!(proxy.state(&request), RequestState::Reset);
    assert_eq!(said(&proxy), "h i 12 c l d e");
    assert!(!proxy.at_client(&request).unwrap().complete, "the client knows that it was cut");
    assert_eq!(proxy.finish(request), Outcome::Reset);
}

#[test]
fn an_answer_that_is_still_held_has_no_upstream_behind_it() {
    let mut proxy = phases();
    let request = proxy.begin(0, &[("z", b"x"), ("c", b"1")]);
    proxy.tick(WORKER);
    assert_eq!(proxy.state(&request), RequestState::Streaming, "its headers have gone");
    assert!(!proxy.upstream_sends(&request, b"12", true));
    assert_eq!(said(&proxy), "h i abcde c");
    assert_eq!(proxy.finish(request).local_response().unwrap().status, 418);
}

#[test]
fn a_reset_ends_a_request_wherever_it_is() {
    for (headers, answered) in [
        (&[("h", &b"1"[..]), ("z", b"r")][..], false),
        (&[("z", b"r")], false),
        (&[("i", b"1"), ("z", b"r")], true),
        (&[("z", b"r")], true),
    ] {
        let mut proxy = phases();
        let request = proxy.begin(0, headers);
        if answered {
            proxy.upstream_answers(&request, 200, &[], false);
        }
        proxy.tick(WORKER);
        assert_eq!(proxy.state(&request), RequestState::Reset);
        assert!(said(&proxy).ends_with("l d e"));
        assert_eq!(proxy.finish(request), Outcome::Reset);
    }
}

#[test]
fn whoever_answers_another_request_holds_its_own() {
    // Measured in Envoy 1.40: the answer stops the running phase, whichever request
    // it was for.
    let mut proxy = started(
        r#"(global $held (mut i32) (i32.const 0))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (if (i32.eqz (global.get $held))
               (then (global.set $held (local.get 0)) (return (i32.const 1))))
             (if (i32.eqz (call $set_context (global.get $held)))
               (then (drop (call $respond (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                 (i32.const 0) (i32.const 0) (i32.const -1)))))
             (i32.const 0))"#,
    );
    let first = proxy.begin(0, &[]);
    let second = proxy.begin(0, &[]);
    assert!(matches!(proxy.state(&first), RequestState::Answered(it) if it.status == 403));
    assert_eq!(proxy.state(&second), RequestState::Held, "it said continue, and hangs");
    let third = proxy.begin(0, &[]);
    assert_eq!(proxy.state(&third), RequestState::Forwarded);
    for request in [first, second, third] {
        proxy.finish(request);
    }
}

#[test]
fn several_requests_of_one_worker_live_at_once() {
    let mut proxy = phases();
    let held = proxy.begin(0, &[("h", b"1")]);
    let forwarded = proxy.begin(0, &[]);
    let streaming = proxy.begin(0, &[]);
    proxy.upstream_answers(&streaming, 200, &[], false);
    let done = proxy.begin(0, &[]);
    proxy.upstream_answers(&done, 200, &[], true);
    let answered = proxy.begin(0, &[("h", b"x")]);
    let left = proxy.begin(0, &[]);
    proxy.client_leaves(&left);
    let states = [&held, &forwarded, &streaming, &done, &left].map(|it| proxy.state(it));
    assert_eq!(
        states,
        [
            RequestState::Held,
            RequestState::Forwarded,
            RequestState::Streaming,
            RequestState::Done,
            RequestState::ClientLeft,
        ]
    );
    assert!(proxy.state(&answered).is_over());
    proxy.crash(WORKER);
    for request in [held, forwarded, streaming] {
        assert_eq!(proxy.state(&request), RequestState::FailedClosed);
        assert!(!proxy.client_leaves(&request), "nobody is there");
        assert_eq!(proxy.finish(request), Outcome::FailClosed);
    }
    assert_eq!(proxy.state(&done), RequestState::Done, "what was over stays so");
    proxy.replace(WORKER).unwrap();
    assert!(matches!(proxy.finish(done), Outcome::Forwarded { .. }));
    assert_eq!(proxy.finish(answered).local_response().unwrap().status, 418);
    assert!(matches!(proxy.finish(left), Outcome::Forwarded { .. }));
}

#[test]
fn a_trap_in_any_phase_is_its_requests_own_and_fails_the_others() {
    for phase in ["h", "b", "t", "i", "c", "u"] {
        let mut proxy = phases();
        let other = proxy.begin(0, &[]);
        let request = proxy.begin_with_body(0, &[(phase, b"u")]);
        if !proxy.state(&request).is_over() {
            proxy.client_sends(&request, b"1", false);
        }
        if !proxy.state(&request).is_over() {
            proxy.client_sends_trailers(&request, &[]);
        }
        if !proxy.state(&request).is_over() {
            proxy.upstream_answers(&request, 200, &[], false);
            proxy.upstream_sends(&request, b"1", false);
            proxy.upstream_sends_trailers(&request, &[]);
        }
        assert!(matches!(proxy.state(&request), RequestState::Trapped(_)), "{phase}");
        assert_eq!(proxy.state(&other), RequestState::FailedClosed);
        assert!(proxy.failed(WORKER));
        assert_eq!(proxy.take_traps().len(), 1);
        assert!(matches!(proxy.finish(request), Outcome::Trap(_)));
        assert_eq!(proxy.finish(other), Outcome::FailClosed);
    }
}

#[test]
fn an_upstream_that_goes_away_is_a_503_or_a_reset() {
    let mut proxy = phases();
    let request = proxy.begin(0, &[]);
    assert!(proxy.upstream_leaves(&request));
    assert_eq!(proxy.state(&request), RequestState::AnsweredByProxy(503));
    assert_eq!(proxy.at_client(&request).unwrap().status(), Some(503));
    proxy.finish(request);
    let request = proxy.begin(0, &[]);
    proxy.upstream_answers(&request, 200, &[], false);
    assert!(proxy.upstream_leaves(&request));
    assert_eq!(proxy.state(&request), RequestState::Reset);
    proxy.finish(request);
}

#[test]
fn a_request_that_passes_and_is_continued_too_is_a_violation() {
    let mut proxy = phases();
    let request = proxy.begin(0, &[("h", b"k")]);
    assert_eq!(proxy.take_violations().len(), 1);
    // Later it does nothing: there is nothing to continue.
    proxy.finish(request);
    let request = proxy.begin(0, &[("z", b"k")]);
    proxy.tick(WORKER);
    assert_eq!(proxy.state(&request), RequestState::Forwarded);
    proxy.finish(request);
}

#[test]
fn answering_in_the_log_does_nothing() {
    let mut proxy = phases();
    let request = proxy.begin(0, &[("l", b"x"), ("d", b"x"), ("e", b"x")]);
    assert!(matches!(proxy.finish(request), Outcome::Forwarded { .. }));
}

#[test]
fn finishing_brings_a_request_to_its_end_from_wherever_it_is() {
    let mut proxy = phases();
    let streaming = proxy.begin(0, &[]);
    proxy.upstream_answers(&streaming, 200, &[], false);
    assert!(matches!(proxy.finish(streaming), Outcome::Forwarded { .. }));
    assert_eq!(said(&proxy), "h i c l d e");
    let held = proxy.begin(0, &[("h", b"1")]);
    assert_eq!(proxy.finish(held), Outcome::Paused);
    let held = proxy.begin(0, &[("i", b"1")]);
    assert!(matches!(proxy.finish(held), Outcome::Forwarded { .. }));
}

#[test]
fn a_guest_changes_what_goes_on() {
    // Puts `abc` before the body, `xyz` behind the response's, and the header `d: e`.
    let mut proxy = started(
        r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
             (call $put (i32.const 0) (i32.const 1)
               (call $set_buffer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 3)))
             (drop (call $buffer_status (i32.const 0) (i32.const 1024) (i32.const 1028)))
             (call $put (i32.const 1) (i32.const 1) (i32.load (i32.const 1024)))
             (i32.const 0))
           (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
             (drop (call $add_header (i32.const 2) (i32.const 3) (i32.const 1) (i32.const 4) (i32.const 1)))
             (i32.const 0))
           (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
             (call $put (i32.const 2) (i32.const 1)
               (call $set_buffer (i32.const 1) (i32.const 99) (i32.const 0) (i32.const 23) (i32.const 3)))
             (call $put (i32.const 3) (i32.const 1)
               (call $set_buffer (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 23) (i32.const 3)))
             (i32.const 0))"#,
    );
    let request = proxy.begin_with_body(0, &[]);
    proxy.client_sends(&request, b"123", true);
    assert_eq!(proxy.at_upstream(&request).unwrap().body, b"abc123");
    proxy.upstream_answers(&request, 200, &[], false);
    proxy.upstream_sends(&request, b"456", true);
    let client = proxy.at_client(&request).unwrap();
    assert_eq!(client.headers.get("d"), Some(&b"e"[..]));
    assert_eq!(client.body, b"456xyz");
    let statuses = ["a", "b", "c", "d"].map(|name| proxy.metric(name));
    assert_eq!(statuses, [0, 6, 0, 2], "not into the middle");
    proxy.finish(request);
}
