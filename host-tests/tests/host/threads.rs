//! VMs on threads of their own.

use std::sync::atomic::{AtomicUsize, Ordering};

use kya_host_tests::{Outcome, Proxy, RequestState, VmName};

use crate::guests::started;

const ROUNDS: usize = 200;

/// Adds one to the number in shared data under `a`, by compare-and-swap until it is
/// in; counts rounds in `b`. Workers enqueue to a queue that the main VM, which is
/// configured second, registers as `q`.
const COUNTER: &str = r#"
    (func $add (local $status i32)
      (loop $again
        (i32.store (i32.const 1040) (i32.const 0))
        (i32.store (i32.const 1048) (i32.const 0))
        (global.set $heap (i32.const 8192))
        (if (i32.eqz (call $get_data (i32.const 0) (i32.const 1) (i32.const 1028) (i32.const 1032) (i32.const 1048)))
          (then (i32.store (i32.const 1040) (i32.load (i32.load (i32.const 1028))))))
        (i32.store (i32.const 1040) (i32.add (i32.load (i32.const 1040)) (i32.const 1)))
        (local.set $status
          (call $set_data (i32.const 0) (i32.const 1) (i32.const 1040) (i32.const 4) (i32.load (i32.const 1048))))
        (call $count (i32.const 1) (i32.const 1))
        (br_if $again (i32.eq (local.get $status) (i32.const 8)))))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (i32.store (i32.const 1100) (i32.const 0))
      (drop (call $set_data (i32.const 0) (i32.const 1) (i32.const 1100) (i32.const 4) (i32.const 0)))
      (i32.eqz (call $register (i32.const 16) (i32.const 1) (i32.const 1024))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (call $add)
      (drop (call $enqueue (i32.load (i32.const 1024)) (i32.const 0) (i32.const 1)))
      (i32.const 0))
    (func (export "proxy_on_queue_ready") (param i32 i32)
      (global.set $heap (i32.const 8192))
      (if (i32.eqz (call $dequeue (local.get 1) (i32.const 1028) (i32.const 1032)))
        (then (call $count (i32.const 2) (i32.const 1)))))"#;

fn counted(proxy: &Proxy) -> u32 {
    let data = proxy.shared_data();
    u32::from_le_bytes(data.get(b"a").unwrap().0.try_into().unwrap())
}

#[test]
fn no_swap_is_lost_among_threads_and_every_wake_up_is_owed_once() {
    let mut proxy = started(COUNTER);
    let served = proxy.in_threads(|vm| {
        let mut served = 0;
        for _ in 0..ROUNDS {
            if vm.name() != VmName::Main {
                served += usize::from(vm.request(&[]).forwarded().is_some());
            }
            vm.deliver_wake();
        }
        served
    });
    assert_eq!(served, [0, ROUNDS, ROUNDS]);
    assert_eq!(usize::try_from(counted(&proxy)).unwrap(), 2 * ROUNDS);
    proxy.run_until_idle();
    assert_eq!(proxy.metric("c"), 2 * u64::try_from(ROUNDS).unwrap());
}

#[test]
fn vms_really_run_at_once_and_the_proxy_goes_on_afterwards() {
    let mut proxy = started("");
    let (inside, vms) = (AtomicUsize::new(0), proxy.vms().len());
    let started = std::time::Instant::now();
    proxy.in_threads(|vm| {
        inside.fetch_add(1, Ordering::SeqCst);
        // Ends only when every thread is in here; bounded in case one never comes.
        while inside.load(Ordering::SeqCst) < vms {
            assert!(started.elapsed().as_secs() < 60, "{} waits alone", vm.name());
            std::thread::yield_now();
        }
        vm.tick();
    });
    assert!(proxy.request(1, &[]).forwarded().is_some());
}

#[test]
fn a_trap_in_a_thread_is_told_and_fails_its_vm_alone() {
    let mut proxy = started(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (if (i32.eqz (call $get_header (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1024) (i32.const 1028)))
               (then (unreachable)))
             (i32.const 1))"#,
    );
    let states = proxy.in_threads(|vm| {
        let held = vm.begin(&[]).unwrap();
        let state = vm.state(&held);
        if vm.name() == VmName::Worker(0) {
            assert!(matches!(vm.request(&[("b", b"1")]), Outcome::Trap(_)));
            assert_eq!(vm.request(&[]), Outcome::FailClosed);
            assert_eq!(vm.finish(held), Outcome::FailClosed);
            assert!(vm.begin(&[]).is_none());
        } else {
            assert_eq!(vm.finish(held), Outcome::Paused);
        }
        state
    });
    assert_eq!(states, [RequestState::Held, RequestState::Held, RequestState::Held]);
    assert_eq!(proxy.take_traps().len(), 1);
    assert!(proxy.failed(VmName::Worker(0)));
    proxy.replace(VmName::Worker(0)).unwrap();
    assert_eq!(proxy.request(0, &[]), Outcome::Paused);
}

#[test]
#[should_panic(expected = "from a thread")]
fn a_panic_in_a_thread_is_the_tests_own() {
    let mut proxy = started("");
    proxy.in_threads(|vm| assert!(vm.name() != VmName::Main, "from a thread"));
}
