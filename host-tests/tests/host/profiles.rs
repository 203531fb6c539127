//! What a filter finds different in nginx.

use std::time::Duration;

use kya_host_tests::{
    Outcome, Profile, Program, Proxy, ProxyBuilder, RequestState, StartError, VmName,
};

use crate::guests::{guest, map_at, said};

fn nginx(body: &str) -> ProxyBuilder {
    guest(body).profile(Profile::Nginx)
}

#[test]
fn there_are_workers_only_and_each_of_them_ticks() {
    let mut proxy = nginx(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (call $count (i32.const 0) (i32.const 1))
             (i32.eqz (call $set_tick (i32.const 100))))
           (func (export "proxy_on_tick") (param i32) (call $count (i32.const 1) (i32.const 1)))"#,
    )
    .workers(3)
    .start("")
    .unwrap();
    assert_eq!(proxy.metric("a"), 3, "no canary");
    assert_eq!(proxy.vms(), [0, 1, 2].map(VmName::Worker));
    assert_eq!(proxy.workers(), 3);
    proxy.advance(Duration::from_millis(100));
    assert_eq!(proxy.metric("b"), 3);
}

#[test]
fn what_nginx_does_not_have_traps() {
    let (map, headers) = map_at(2000, &[(":method", "GET"), (":path", "/"), (":authority", "x")]);
    let z = "(i32.const 0)";
    let http = format!(
        "(call $http_call {z} (i32.const 1) {headers} {z} {z} {z} {z} {z} (i32.const 1024))"
    );
    let local = format!("(call $respond (i32.const 403) {z} {z} {z} {z} {z} {z} (i32.const -1))");
    for (export, call, traps) in [
        (
            "tick",
            format!("(call $open {z} (i32.const 1) {z} {z} {z} {z} {z} {z} (i32.const 1024))"),
            true,
        ),
        ("tick", format!("(call $send {z} {z} {z} {z})"), true),
        ("tick", format!("(call $cancel {z})"), true),
        ("tick", format!("(call $resolve {z} {z} {z} {z} (i32.const 1024))"), true),
        ("tick", format!("(call $foreign {z} {z} {z} {z} {z} {z})"), true),
        ("tick", format!("(call $close_stream {z})"), true),
        ("tick", local.clone(), true),
        ("headers", local, false),
        ("tick", http.clone(), false),
        ("headers", http.clone(), false),
        ("log", http, true),
        ("tick", "(call $set_tick (i32.const 100))".to_owned(), false),
        (
            "tick",
            "(i32.add (call $set_tick (i32.const 100)) (call $set_tick (i32.const 200)))"
                .to_owned(),
            true,
        ),
        ("tick", format!("(call $register {z} {z} (i32.const 1024))"), false),
    ] {
        let export = match export {
            "tick" => format!(r#"(func (export "proxy_on_tick") (param i32) (drop {call}))"#),
            "log" => format!(r#"(func (export "proxy_on_log") (param i32) (drop {call}))"#),
            _ => format!(
                r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {call})"#
            ),
        };
        let mut proxy = nginx(&format!("{map} {export}")).workers(1).start("").unwrap();
        proxy.tick(VmName::Worker(0));
        if !proxy.failed(VmName::Worker(0)) {
            proxy.request(0, &[]);
        }
        assert_eq!(proxy.take_traps().len(), usize::from(traps), "{call}");
        // Of the same guest in Envoy only the second answer to nobody is odd.
        let mut envoy = guest(&format!("{map} {export}")).workers(1).start("").unwrap();
        envoy.tick(VmName::Worker(0));
        envoy.request(0, &[]);
        assert!(envoy.take_traps().is_empty(), "{call}");
    }
}

#[test]
fn a_call_while_it_is_configured_traps() {
    let (map, headers) = map_at(2000, &[(":method", "GET"), (":path", "/"), (":authority", "x")]);
    let calls = format!(
        r#"{map} (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (i32.eqz (call $http_call (i32.const 0) (i32.const 1) {headers} (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1024))))"#
    );
    assert!(guest(&calls).start("").is_ok());
    assert!(matches!(nginx(&calls).start(""), Err(StartError::Trap(_))));
}

#[test]
fn an_import_that_nginx_does_not_know_is_not_loaded() {
    for import in ["proxy_get_log_level", "proxy_from_the_future"] {
        let wasm = wat::parse_str(format!(
            r#"(module (import "env" "{import}" (func (param i32) (result i32))) (memory (export "memory") 1))"#
        ))
        .unwrap();
        let program = Program::from_binary(&wasm).unwrap();
        assert!(Proxy::builder(&program).start("").is_ok());
        match Proxy::builder(&program).profile(Profile::Nginx).start("") {
            Err(StartError::Program(error)) => assert!(error.to_string().contains(import)),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{import} was linked"),
        }
    }
}

#[test]
fn a_queue_holds_items_and_wakes_nobody() {
    let queue = r#"
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (i32.eqz (call $register (i32.const 0) (i32.const 1) (i32.const 1024))))
        (func (export "proxy_on_queue_ready") (param i32 i32) (call $count (i32.const 0) (i32.const 1)))
        (func (export "proxy_on_tick") (param i32)
          (drop (call $enqueue (i32.load (i32.const 1024)) (i32.const 0) (i32.const 1)))
          (call $put (i32.const 1) (i32.const 1)
            (call $dequeue (i32.load (i32.const 1024)) (i32.const 1028) (i32.const 1032))))"#;
    for (builder, wakes) in [(guest(queue), 1), (nginx(queue), 0)] {
        let mut proxy = builder.start("").unwrap();
        proxy.tick(VmName::Worker(0));
        proxy.run_until_idle();
        assert_eq!((proxy.metric("a"), proxy.metric("b")), (wakes, 0));
    }
}

#[test]
fn shared_data_has_the_rules_of_its_host() {
    let writes = r#"
        (func (export "proxy_on_tick") (param i32)
          (call $put (i32.const 0) (i32.const 1)
            (call $set_data (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 0))))"#;
    for (builder, second) in [(guest(writes), 0), (nginx(writes), 8)] {
        let mut proxy = builder.start("").unwrap();
        proxy.tick(VmName::Worker(0));
        assert_eq!(proxy.metric("a"), 0);
        proxy.tick(VmName::Worker(1));
        assert_eq!(proxy.metric("a"), second);
        proxy.overwrite_shared_data(b"a", b"other");
        assert_eq!(proxy.shared_data().get(b"a").unwrap().0, b"other");
    }
}

#[test]
fn a_request_header_that_was_removed_reaches_the_upstream_and_an_empty_one_is_empty() {
    let removes = r#"
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (drop (call $remove_header (i32.const 0) (i32.const 0) (i32.const 1)))
          (drop (call $replace_header (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 0)))
          (call $put (i32.const 25) (i32.const 1)
            (call $get_header (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 1028)))
          (i32.const 0))"#;
    for (builder, reaches) in [(guest(removes), None), (nginx(removes), Some(&b"1"[..]))] {
        let mut proxy = builder.start("").unwrap();
        let outcome = proxy.request(0, &[("a", b"1"), ("b", b"2")]);
        assert_eq!(outcome.forwarded().unwrap().get("a"), reaches);
        assert_eq!(outcome.forwarded().unwrap().get("b"), Some(&b""[..]));
        assert_eq!(proxy.metric("z"), 1, "the guest does not see it any more");
    }
}

#[test]
fn a_trap_costs_its_vm_and_the_next_request_gets_another() {
    let mut proxy = nginx(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (call $say (i32.const 0) (i32.const 1)) (i32.const 1))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (if (i32.eqz (call $get_header (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1024) (i32.const 1028)))
               (then (unreachable)))
             (i32.const 1))"#,
    )
    .workers(1)
    .start("")
    .unwrap();
    let held = proxy.begin(0, &[]);
    assert!(matches!(proxy.request(0, &[("b", b"1")]), Outcome::Trap(_)));
    assert_eq!(proxy.state(&held), RequestState::FailedClosed);
    assert_eq!(proxy.finish(held), Outcome::FailClosed);
    assert_eq!(proxy.request(0, &[]), Outcome::Paused);
    assert_eq!(said(&proxy), "a a");
    proxy.take_traps();
}
