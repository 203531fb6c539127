//! Shared data, queues and stats among VMs.

use kya_host_tests::{Proxy, VmName};

use crate::guests::{guest, started};

#[test]
fn a_write_with_an_old_number_is_a_mismatch() {
    let set = |cas: &str| {
        format!(
            "(call $set_data (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const {cas}))"
        )
    };
    let proxy = guest(&format!(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (if (call $get_data (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 1028) (i32.const 1032))
               (then
                 (call $put (i32.const 1) (i32.const 1) {})
                 (call $put (i32.const 2) (i32.const 1) {})
                 (call $put (i32.const 3) (i32.const 1) {})
                 (call $put (i32.const 4) (i32.const 1) {})))
             (i32.const 1))"#,
        set("99"),
        set("1"),
        set("1"),
        set("0"),
    ))
    .start("")
    .unwrap();
    let statuses = ["b", "c", "d", "e"].map(|name| proxy.metric(name));
    assert_eq!(statuses, [0, 0, 8, 0], "missing, right, old, unconditional");
    assert_eq!(proxy.shared_data().get(b"a"), Some((&b"b"[..], 3)));
}

/// Every VM registers queue `a` when it is configured; a tick enqueues `xyz`; a
/// wake-up takes an item and reads on until the queue is empty.
const QUEUE: &str = r#"
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $register (i32.const 0) (i32.const 1) (i32.const 1024)))
      (call $put (i32.const 0) (i32.const 1) (i32.load (i32.const 1024)))
      (i32.const 1))
    (func (export "proxy_on_tick") (param i32)
      (call $put (i32.const 1) (i32.const 1)
        (call $enqueue (i32.load (i32.const 1024)) (i32.const 23) (i32.const 3)))
      (call $put (i32.const 2) (i32.const 1)
        (call $enqueue (i32.const 77) (i32.const 23) (i32.const 3))))
    (func (export "proxy_on_queue_ready") (param i32 i32)
      (call $put (i32.const 3) (i32.const 1)
        (call $dequeue (local.get 1) (i32.const 1028) (i32.const 1032)))
      (drop (call $log (i32.const 2) (i32.load (i32.const 1028)) (i32.load (i32.const 1032))))
      (call $put (i32.const 4) (i32.const 1)
        (call $dequeue (local.get 1) (i32.const 1028) (i32.const 1032)))
      (call $put (i32.const 5) (i32.const 1)
        (call $dequeue (i32.const 77) (i32.const 1028) (i32.const 1032))))"#;

#[test]
fn a_queue_wakes_the_vm_that_registered_it_last_and_no_other() {
    let mut proxy = started(QUEUE);
    assert_eq!(proxy.metric("a"), 1, "one name is one queue");
    proxy.tick(VmName::Main);
    assert_eq!(proxy.pending_wakes(), 1);
    assert!(proxy.log().is_empty(), "a wake-up is delivered when its VM has its turn");
    proxy.run_until_idle();
    let log = proxy.log();
    assert_eq!(log.len(), 1);
    assert_eq!((log[0].vm, log[0].text.as_str()), (VmName::Worker(1), "xyz"));
    let statuses = ["b", "c", "d", "e", "f"].map(|name| proxy.metric(name));
    assert_eq!(statuses, [0, 1, 0, 7, 1], "ok, no such queue, ok, empty, no such queue");
}

#[test]
fn each_enqueue_owes_a_wake_up_of_its_own() {
    let mut proxy = started(QUEUE);
    for _ in 0..3 {
        proxy.tick(VmName::Main);
    }
    assert_eq!(proxy.pending_wakes(), 3);
    assert!(proxy.deliver_wake(VmName::Worker(1)));
    assert!(!proxy.deliver_wake(VmName::Main));
    assert_eq!(proxy.pending_wakes(), 2);
}

#[test]
fn a_lost_wake_up_leaves_the_item_in_the_queue() {
    let mut proxy = started(QUEUE);
    proxy.lose_wakes(true);
    proxy.tick(VmName::Main);
    proxy.run_until_idle();
    assert!(proxy.log().is_empty());
    proxy.lose_wakes(false);
    proxy.tick(VmName::Main);
    proxy.run_until_idle();
    assert_eq!(proxy.log().len(), 1);
    assert_eq!(proxy.metric("e"), 0, "the second item is there too");
}

#[test]
fn a_replaced_vm_takes_its_queue_over_and_the_wake_ups_of_the_old_one_are_gone() {
    let mut proxy = started(QUEUE);
    proxy.tick(VmName::Main);
    proxy.crash(VmName::Worker(1));
    proxy.run_until_idle();
    assert!(proxy.log().is_empty(), "a failed VM is not woken");
    proxy.replace(VmName::Worker(1)).unwrap();
    proxy.run_until_idle();
    assert!(proxy.log().is_empty(), "that wake-up was for the old one");
    proxy.tick(VmName::Main);
    proxy.run_until_idle();
    assert_eq!(proxy.log().len(), 1);
}

#[test]
fn a_queue_is_found_by_vm_id_and_name() {
    let proxy = guest(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $register (i32.const 0) (i32.const 1) (i32.const 1024)))
             (call $put (i32.const 0) (i32.const 1)
               (call $resolve (i32.const 21) (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 1024)))
             (call $put (i32.const 1) (i32.const 1)
               (call $resolve (i32.const 21) (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 1024)))
             (call $put (i32.const 2) (i32.const 1)
               (call $resolve (i32.const 21) (i32.const 2) (i32.const 1) (i32.const 1) (i32.const 1024)))
             (i32.const 1))"#,
    )
    .vm_id("vw")
    .start("")
    .unwrap();
    let statuses = ["a", "b", "c"].map(|name| proxy.metric(name));
    assert_eq!(statuses, [0, 1, 1], "found; another vm_id; another name");
}

#[test]
#[should_panic(expected = "wake each other without end")]
fn guests_that_wake_each_other_without_end_are_noticed() {
    let mut proxy: Proxy = started(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $register (i32.const 0) (i32.const 1) (i32.const 1024)))
             (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (drop (call $enqueue (i32.load (i32.const 1024)) (i32.const 0) (i32.const 1))))
           (func (export "proxy_on_queue_ready") (param i32 i32)
             (drop (call $dequeue (local.get 1) (i32.const 1028) (i32.const 1032)))
             (global.set $heap (i32.const 8192))
             (drop (call $enqueue (local.get 1) (i32.const 0) (i32.const 1))))"#,
    );
    proxy.tick(VmName::Main);
    proxy.run_until_idle();
}
