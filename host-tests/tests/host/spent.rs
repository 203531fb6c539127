//! What is counted of a guest: its fuel, its host calls, and what goes to it and from it.

use std::collections::BTreeMap;

use kya_host_tests::{Program, Proxy, Spent, VmName};

use crate::guests::{started, text_at};

const WORKER: VmName = VmName::Worker(0);

/// A guest that at a tick writes three bytes of shared data under a key of two, and reads
/// them again, and then a key that is not there.
fn storing() -> String {
    let (key, key_at) = text_at(1024, "ky");
    let (value, value_at) = text_at(1032, "val");
    format!(
        r#"{key} {value}
        (func (export "proxy_on_tick") (param i32)
          (drop (call $set_data {key_at} {value_at} (i32.const 0)))
          (drop (call $get_data {key_at} (i32.const 1040) (i32.const 1044) (i32.const 1048)))
          (drop (call $get_data (i32.const 0) (i32.const 1) (i32.const 1040) (i32.const 1044) (i32.const 1048))))
        (func (export "proxy_on_queue_ready") (param i32 i32))"#
    )
}

#[test]
fn calls_and_the_bytes_that_they_copy_are_counted_by_vm() {
    let mut proxy = started(&storing());
    let before = proxy.spent(WORKER);
    proxy.tick(WORKER);
    let spent = proxy.spent(WORKER).since(&before);
    let calls = BTreeMap::from([("proxy_get_shared_data", 2), ("proxy_set_shared_data", 1)]);
    assert_eq!(spent.host_calls, calls);
    assert_eq!(spent.bytes_to_host, 2 + 3 + 2 + 1);
    assert_eq!(
        spent.bytes_to_guest,
        3 + 4 + 4 + 4,
        "the value, where it is, its length, its number"
    );
    assert_eq!(spent.blocks, 1);
    assert_eq!(spent.callbacks.keys().copied().collect::<Vec<_>>(), ["proxy_on_tick"]);
    assert!(spent.fuel() > 20, "{spent:?}");
    assert_eq!(proxy.spent(VmName::Worker(1)).host_calls, BTreeMap::new());
}

#[test]
fn the_same_costs_the_same_and_fuel_is_that_of_all_calls() {
    let mut proxy = started(&storing());
    let mut ticked = || {
        let before = (proxy.spent(WORKER), proxy.fuel_spent(WORKER));
        proxy.tick(WORKER);
        let spent = proxy.spent(WORKER).since(&before.0);
        assert_eq!(proxy.fuel_spent(WORKER) - before.1, spent.fuel());
        spent
    };
    assert_eq!(ticked(), ticked());
}

#[test]
fn nothing_is_counted_of_an_unmetered_program() {
    let wasm = wat::parse_str(
        r#"(module (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "proxy_on_tick") (param i32) (drop (call $now (i32.const 0)))))"#,
    );
    let program = Program::unmetered(&wasm.unwrap()).unwrap();
    let mut proxy = Proxy::builder(&program).start("").unwrap();
    proxy.tick(WORKER);
    assert_eq!(proxy.spent(WORKER), Spent::default());
}
