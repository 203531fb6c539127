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

#[test]
fn a_stat_reads_back_what_was_counted_in_any_vm() {
    // Kinds 0 to 2 are counter, gauge and histogram; `a` is of each kind. A tick adds
    // 2 and records 5, and puts what it reads, and the statuses, under `b` to `j`.
    let kind = |kind: u32| {
        let names: Vec<_> = (0..3).map(|n| 1 + kind * 3 + n).collect();
        format!(
            r#"(drop (call $define (i32.const {kind}) (i32.const 0) (i32.const 1) (i32.const 1024)))
               (i64.store (i32.const 1032) (i64.const 0))
               (call $put (i32.const {}) (i32.const 1) (call $increment (i32.load (i32.const 1024)) (i64.const 2)))
               (drop (call $record (i32.load (i32.const 1024)) (i64.const 5)))
               (call $put (i32.const {}) (i32.const 1) (call $get_metric (i32.load (i32.const 1024)) (i32.const 1032)))
               (call $put (i32.const {}) (i32.const 1) (i32.load (i32.const 1032)))"#,
            names[0], names[1], names[2]
        )
    };
    let mut proxy = started(&format!(
        r#"(func (export "proxy_on_tick") (param i32) {} {} {}
             (call $put (i32.const 10) (i32.const 1) (call $get_metric (i32.const 400) (i32.const 1032)))
             (call $put (i32.const 11) (i32.const 1) (call $get_metric (i32.load (i32.const 1024)) (i32.const 65534))))"#,
        kind(0),
        kind(1),
        kind(2)
    ));
    proxy.tick(VmName::Worker(0));
    proxy.tick(VmName::Worker(1));
    let read = |names: [&str; 3]| names.map(|name| proxy.metric(name));
    assert_eq!(read(["b", "c", "d"]), [0, 0, 14], "a counter adds what is recorded");
    assert_eq!(read(["e", "f", "g"]), [0, 0, 5], "a gauge is what was recorded last");
    assert_eq!(read(["h", "i", "j"]), [2, 2, 0], "a histogram has no value");
    assert_eq!(proxy.metric("k"), 1, "no such stat");
}

#[test]
fn with_the_last_vm_go_shared_data_and_queues() {
    let mut proxy = started(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $register (i32.const 0) (i32.const 1) (i32.const 1024)))
             (call $put (i32.const 1) (i32.const 1)
               (call $get_data (i32.const 0) (i32.const 1) (i32.const 1028) (i32.const 1032) (i32.const 1036)))
             (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (drop (call $set_data (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 0)))
             (drop (call $enqueue (i32.load (i32.const 1024)) (i32.const 0) (i32.const 1))))
           (func (export "proxy_on_queue_ready") (param i32 i32) (call $count (i32.const 2) (i32.const 1)))"#,
    );
    proxy.tick(VmName::Main);
    for vm in proxy.vms() {
        proxy.replace(vm).unwrap();
    }
    assert_eq!(proxy.metric("b"), 0, "one VM after the other: it stays");
    let request = proxy.begin(0, &[]);
    proxy.restart().unwrap();
    assert_eq!(proxy.metric("b"), 1, "all at once: it is gone");
    assert_eq!(proxy.shared_data().keys().count(), 0);
    proxy.run_until_idle();
    assert_eq!(proxy.metric("c"), 0);
    assert_eq!(proxy.finish(request), kya_host_tests::Outcome::FailClosed);
    assert_eq!(proxy.vms().len(), 3);
}
