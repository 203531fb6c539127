//! Guests that fail.

use std::time::Duration;

use kya_host_tests::{FailurePolicy, Outcome, Proxy, VmName};

use crate::guests::{guest, started};

/// A request with `:path` — which every request has — traps when `b` is there.
fn traps_on_b(how: &str) -> String {
    format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (if (i32.eqz
                   (call $get_header (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1024) (i32.const 1028)))
               (then {how}))
             (i32.const 0))"#
    )
}

#[test]
fn a_vm_that_trapped_fails_closed_and_the_others_go_on() {
    for how in [
        "(unreachable)",
        "(loop $forever (br $forever))",
        "(drop (i32.load (i32.const -1)))",
        "(call $exit (i32.const 3))",
    ] {
        let mut proxy = started(&traps_on_b(how));
        assert!(proxy.request(0, &[]).forwarded().is_some());
        assert!(matches!(proxy.request(0, &[("b", b"1")]), Outcome::Trap(_)), "{how}");
        assert_eq!(proxy.request(0, &[]), Outcome::FailClosed);
        assert!(proxy.request(1, &[]).forwarded().is_some());
        assert!(proxy.failed(VmName::Worker(0)));
        let traps = proxy.take_traps();
        assert_eq!(traps.len(), 1);
        assert_eq!(traps[0].export, "proxy_on_request_headers");
    }
}

#[test]
#[should_panic(expected = "a guest trapped")]
fn a_trap_that_nobody_looked_at_fails_the_test() {
    let mut proxy = started(&traps_on_b("(unreachable)"));
    proxy.request(0, &[("b", b"1")]);
}

#[test]
fn requests_in_flight_in_a_vm_that_fails_are_failed_closed() {
    let mut proxy = started(&traps_on_b("(unreachable)"));
    let flying = proxy.begin(0, &[]);
    proxy.request(0, &[("b", b"1")]);
    assert_eq!(proxy.finish(flying), Outcome::FailClosed);
    proxy.take_traps();
}

#[test]
fn with_fail_reload_the_next_request_starts_a_new_vm() {
    let builder = guest(&traps_on_b("(unreachable)"));
    let mut proxy = builder.failure_policy(FailurePolicy::FailReload).start("").unwrap();
    proxy.request(0, &[("b", b"1")]);
    assert!(proxy.failed(VmName::Worker(0)));
    assert!(proxy.request(0, &[]).forwarded().is_some());
    assert!(!proxy.failed(VmName::Worker(0)));
    proxy.take_traps();
}

#[test]
fn a_vm_that_has_just_started_is_not_replaced_before_the_backoff() {
    let builder = guest(&traps_on_b("(unreachable)")).failure_policy(FailurePolicy::FailReload);
    let mut proxy = builder.reload_backoff(Duration::from_secs(1)).workers(1).start("").unwrap();
    proxy.request(0, &[("b", b"1")]);
    proxy.advance(Duration::from_millis(999));
    assert_eq!(proxy.request(0, &[]), Outcome::FailClosed);
    proxy.advance(Duration::from_millis(1));
    assert!(proxy.request(0, &[]).forwarded().is_some());
    proxy.take_traps();
}

#[test]
fn what_a_guest_wrote_to_standard_error_is_told_with_its_trap() {
    let mut proxy = started(&traps_on_b(
        r#"(i32.store (i32.const 1032) (i32.const 0))
           (i32.store (i32.const 1036) (i32.const 4))
           (drop (call $fd_write (i32.const 2) (i32.const 1032) (i32.const 1) (i32.const 1040)))
           (unreachable)"#,
    ));
    proxy.request(0, &[("b", b"1")]);
    let trap = proxy.take_traps().remove(0);
    assert!(trap.message.ends_with("abcd"), "{trap}");
}

#[test]
fn an_import_that_the_host_does_not_have_traps_only_when_it_is_called() {
    let wasm = wat::parse_str(
        r#"(module
             (import "env" "proxy_from_the_future" (func $future (param i32) (result i32)))
             (memory (export "memory") 1)
             (func (export "proxy_on_tick") (param i32) (drop (call $future (i32.const 1)))))"#,
    )
    .unwrap();
    let program = kya_host_tests::Program::from_binary(&wasm).unwrap();
    assert_eq!(program.imports(), ["env.proxy_from_the_future"]);
    let mut proxy = Proxy::builder(&program).start("").unwrap();
    assert!(proxy.take_traps().is_empty());
    proxy.tick(VmName::Main);
    assert!(proxy.take_traps()[0].message.contains("proxy_from_the_future"));
}

#[test]
fn fuel_is_counted_the_same_in_every_run() {
    let run = || {
        let mut proxy = started(&traps_on_b("(nop)"));
        proxy.request(0, &[("b", b"1")]);
        proxy.fuel_spent(VmName::Worker(0))
    };
    assert!(run() > 0);
    assert_eq!(run(), run());
}

#[test]
fn a_budget_of_fuel_is_for_each_call() {
    let spin = r#"
        (func (export "proxy_on_tick") (param i32) (local $n i32)
          (loop $again
            (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000)))))"#;
    let mut enough = guest(spin).fuel(20_000).start("").unwrap();
    for _ in 0..100 {
        enough.tick(VmName::Main);
    }
    let mut little = guest(spin).fuel(1_000).start("").unwrap();
    little.tick(VmName::Main);
    let traps = little.take_traps();
    assert!(traps[0].out_of_fuel, "{}", traps[0]);
    assert!(little.failed(VmName::Main));
}

#[test]
fn the_costliest_call_and_the_memory_of_a_vm_are_known() {
    let mut proxy = started(
        r#"(func (export "proxy_on_tick") (param i32) (local $n i32)
             (drop (memory.grow (i32.const 2)))
             (loop $again
               (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000)))))"#,
    );
    let worker = VmName::Worker(1);
    assert_eq!(proxy.vm_memory_bytes(worker), 64 << 10);
    let before = proxy.fuel_spent(worker);
    proxy.tick(worker);
    let cost = proxy.costliest_call(worker).unwrap();
    assert_eq!(cost.export, "proxy_on_tick");
    assert_eq!(cost.fuel, proxy.fuel_spent(worker) - before);
    assert!(cost.fuel > 1000);
    assert_eq!(proxy.vm_memory_bytes(worker), 3 * (64 << 10));
    assert_eq!(proxy.vm_memory_bytes(VmName::Main), 64 << 10);
    proxy.forget_costs();
    assert_eq!(proxy.costliest_call(worker), None);
}

#[test]
fn what_is_not_wasm_is_no_program() {
    let error = kya_host_tests::Program::from_binary(b"not wasm").err().unwrap();
    assert!(error.to_string().contains("not a WebAssembly module"));
    let missing = std::path::Path::new("/nonexistent/filter.wasm");
    let error = kya_host_tests::Program::from_file(missing).err().unwrap();
    assert!(error.to_string().contains("/nonexistent/filter.wasm"));
}
