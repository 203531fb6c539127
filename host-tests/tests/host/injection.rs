//! Faults that a test injects into host calls.

use std::collections::BTreeSet;

use kya_host_tests::abi::Status;
use kya_host_tests::{Fault, Outcome, Program, Proxy, StartError, VmName, host_calls};

use crate::guests::{guest, started};

/// Every call that a guest can import, with the types of its parameters.
const CALLS: [(&str, &str); 48] = [
    ("proxy_log", "i32 i32 i32"),
    ("proxy_get_log_level", "i32"),
    ("proxy_get_current_time_nanoseconds", "i32"),
    ("proxy_set_tick_period_milliseconds", "i32"),
    ("proxy_set_effective_context", "i32"),
    ("proxy_get_status", "i32 i32 i32"),
    ("proxy_done", ""),
    ("proxy_call_foreign_function", "i32 i32 i32 i32 i32 i32"),
    ("proxy_get_property", "i32 i32 i32 i32"),
    ("proxy_set_property", "i32 i32 i32 i32"),
    ("proxy_get_buffer_bytes", "i32 i32 i32 i32 i32"),
    ("proxy_get_buffer_status", "i32 i32 i32"),
    ("proxy_set_buffer_bytes", "i32 i32 i32 i32 i32"),
    ("proxy_get_header_map_pairs", "i32 i32 i32"),
    ("proxy_set_header_map_pairs", "i32 i32 i32"),
    ("proxy_get_header_map_size", "i32 i32"),
    ("proxy_get_header_map_value", "i32 i32 i32 i32 i32"),
    ("proxy_add_header_map_value", "i32 i32 i32 i32 i32"),
    ("proxy_replace_header_map_value", "i32 i32 i32 i32 i32"),
    ("proxy_remove_header_map_value", "i32 i32 i32"),
    ("proxy_send_local_response", "i32 i32 i32 i32 i32 i32 i32 i32"),
    ("proxy_continue_stream", "i32"),
    ("proxy_close_stream", "i32"),
    ("proxy_http_call", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("proxy_get_shared_data", "i32 i32 i32 i32 i32"),
    ("proxy_set_shared_data", "i32 i32 i32 i32 i32"),
    ("proxy_register_shared_queue", "i32 i32 i32"),
    ("proxy_resolve_shared_queue", "i32 i32 i32 i32 i32"),
    ("proxy_enqueue_shared_queue", "i32 i32 i32"),
    ("proxy_dequeue_shared_queue", "i32 i32 i32"),
    ("proxy_define_metric", "i32 i32 i32 i32"),
    ("proxy_increment_metric", "i32 i64"),
    ("proxy_record_metric", "i32 i64"),
    ("proxy_get_metric", "i32 i32"),
    ("proxy_grpc_stream", "i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("proxy_grpc_send", "i32 i32 i32 i32"),
    ("proxy_grpc_close", "i32"),
    ("proxy_grpc_cancel", "i32"),
    ("proxy_grpc_call", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("random_get", "i32 i32"),
    ("clock_time_get", "i32 i64 i32"),
    ("fd_write", "i32 i32 i32 i32"),
    ("environ_sizes_get", "i32 i32"),
    ("environ_get", "i32 i32"),
    ("args_sizes_get", "i32 i32"),
    ("args_get", "i32 i32"),
    ("sched_yield", ""),
    ("fd_prestat_get", "i32 i32"),
];

/// Makes this call with zeros in every request, and traps when it answers 77.
fn calling(name: &str, parameters: &str) -> Program {
    let module = if name.starts_with("proxy_") { "env" } else { "wasi_snapshot_preview1" };
    let zeros: String =
        parameters.split_whitespace().map(|kind| format!("({kind}.const 0)")).collect();
    let wasm = wat::parse_str(format!(
        r#"(module
             (import "{module}" "{name}" (func $call (param {parameters}) (result i32)))
             (memory (export "memory") 1)
             (func (export "malloc") (param i32) (result i32) (i32.const 1024))
             (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (if (i32.eq (call $call {zeros}) (i32.const 77)) (then unreachable))
               (i32.const 0)))"#
    ))
    .unwrap();
    Program::from_binary(&wasm).unwrap()
}

#[test]
fn every_host_call_can_answer_anything_and_can_trap() {
    let known: BTreeSet<_> = CALLS.iter().map(|(name, _)| *name).chain(["fd_close"]).collect();
    assert_eq!(known, host_calls().collect(), "the table above has them all");
    for (name, parameters) in CALLS {
        let program = calling(name, parameters);
        let mut proxy = Proxy::builder(&program).start("").unwrap();
        let _ = proxy.request(0, &[]);
        assert!(proxy.take_traps().is_empty(), "{name} answers something else by itself");
        // Continuing a request and letting it pass is against the rules.
        proxy.take_violations();
        proxy.inject(Fault::on(name).nth(2).number(77)).unwrap();
        let _ = proxy.request(0, &[]);
        assert_eq!(proxy.pending_faults().len(), 1, "{name}");
        proxy.take_violations();
        assert!(matches!(proxy.request(0, &[]), Outcome::Trap(_)), "{name}");
        assert!(proxy.pending_faults().is_empty());
        assert!(proxy.take_traps()[0].message.contains("unreachable"));

        proxy.inject(Fault::on(name).trap()).unwrap();
        assert!(matches!(proxy.request(1, &[]), Outcome::Trap(_)), "{name}");
        assert!(proxy.take_traps()[0].message.contains(name));
    }
}

#[test]
fn a_fault_of_a_call_that_does_not_exist_is_an_error() {
    let mut proxy = started("");
    let error = proxy.inject(Fault::on("proxy_get_shared_dato")).unwrap_err();
    assert!(error.to_string().contains("proxy_get_shared_dato"));
    assert!(guest("").inject(Fault::on("env.proxy_log")).is_err());
}

/// A tick writes `a` to shared data and puts the status under `b`, plus the number
/// of ticks so far times 100.
const WRITES: &str = r#"
    (global $ticks (mut i32) (i32.const 0))
    (func (export "proxy_on_tick") (param i32)
      (global.set $ticks (i32.add (global.get $ticks) (i32.const 100)))
      (call $put (i32.const 1) (i32.const 1)
        (i32.add (global.get $ticks)
          (call $set_data (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 0)))))"#;

#[test]
fn a_call_that_fails_has_done_nothing() {
    let mut proxy = started(WRITES);
    let fault = Fault::on("proxy_set_shared_data").in_vm(VmName::Worker(1));
    proxy.inject(fault.nth(2).status(Status::CasMismatch)).unwrap();
    let mut ticked = |vm| {
        proxy.tick(vm);
        (proxy.metric("b") % 100, proxy.shared_data().get(b"a").map_or(0, |(_, cas)| cas))
    };
    assert_eq!(ticked(VmName::Worker(1)), (0, 1));
    assert_eq!(ticked(VmName::Main), (0, 2), "another VM is not counted");
    assert_eq!(ticked(VmName::Worker(1)), (8, 2));
    assert_eq!(ticked(VmName::Worker(1)), (0, 3), "once");
}

#[test]
fn a_fault_that_stays_strikes_until_it_is_cleared_and_in_replacements_too() {
    let mut proxy = started(WRITES);
    let worker = VmName::Worker(0);
    proxy.inject(Fault::on("proxy_set_shared_data").in_vm(worker)).unwrap();
    proxy.tick(worker);
    proxy.replace(worker).unwrap();
    proxy.tick(worker);
    assert_eq!(proxy.metric("b"), 110, "an internal failure, in the first tick of the new one");
    assert_eq!(proxy.pending_faults().len(), 1);
    proxy.clear_faults();
    proxy.tick(worker);
    assert_eq!(proxy.metric("b"), 200);
}

#[test]
fn a_fault_can_be_there_before_the_canary() {
    let configures = guest(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (i32.eqz (call $set_tick (i32.const 100))))"#,
    );
    let fault = Fault::on("proxy_set_tick_period_milliseconds");
    let refused = configures.clone().inject(fault.clone()).unwrap().start("");
    assert!(matches!(refused, Err(StartError::Rejected { vm: VmName::Canary, .. })));
    let worker = configures.inject(fault.nth(4)).unwrap().start("");
    assert!(matches!(worker, Err(StartError::Rejected { vm: VmName::Worker(1), .. })));
}
