//! Pointers: what a guest hands over is checked, what it gets is its own.

use kya_host_tests::{LogSource, Program, Proxy, StartError, VmName};

use crate::guests::{bare, guest};

/// Status of a call in the canary's configuration.
#[track_caller]
fn status_of(call: &str) -> u64 {
    let proxy = guest(&format!(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (call $put (i32.const 0) (i32.const 1) {call})
             (i32.const 1))"#
    ));
    proxy.workers(0).start("x").unwrap().metric("a")
}

#[test]
fn a_pointer_outside_of_memory_is_an_invalid_access_in_every_call() {
    const BAD: &str = "(i32.const 65530)"; // the last 6 bytes of the one page
    const FAR: &str = "(i32.const -16)"; // and its length leaves 32 bits
    for at in [BAD, FAR] {
        for call in [
            format!("(call $log (i32.const 2) {at} (i32.const 100))"),
            format!("(call $get_time {at})"),
            format!(
                "(call $set_data {at} (i32.const 100) (i32.const 0) (i32.const 1) (i32.const 0))"
            ),
            format!(
                "(call $set_data (i32.const 0) (i32.const 1) {at} (i32.const 100) (i32.const 0))"
            ),
            format!(
                "(call $get_data {at} (i32.const 100) (i32.const 1024) (i32.const 1028) (i32.const 1032))"
            ),
            format!("(call $get_property {at} (i32.const 100) (i32.const 1024) (i32.const 1028))"),
            format!("(call $register {at} (i32.const 100) (i32.const 1024))"),
            format!("(call $define (i32.const 0) {at} (i32.const 100) (i32.const 1024))"),
            format!(
                "(call $respond (i32.const 200) (i32.const 0) (i32.const 0) {at} (i32.const 100) (i32.const 0) (i32.const 0) (i32.const -1))"
            ),
            format!(
                "(call $open {at} (i32.const 100) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1024))"
            ),
            format!(
                "(call $get_header (i32.const 0) {at} (i32.const 100) (i32.const 1024) (i32.const 1028))"
            ),
        ] {
            assert_eq!(status_of(&call), 6, "{call}");
        }
    }
}

#[test]
fn a_place_for_the_answer_is_checked_as_well() {
    let out = "(i32.const 65534)";
    for call in [
        format!("(call $get_time {out})"),
        format!(
            "(call $get_buffer (i32.const 7) (i32.const 0) (i32.const 9) {out} (i32.const 1028))"
        ),
        format!(
            "(call $get_buffer (i32.const 7) (i32.const 0) (i32.const 9) (i32.const 1024) {out})"
        ),
        format!("(call $register (i32.const 0) (i32.const 1) {out})"),
        format!("(call $define (i32.const 0) (i32.const 1) (i32.const 1) {out})"),
    ] {
        assert_eq!(status_of(&call), 6, "{call}");
    }
}

#[test]
fn wasi_calls_answer_fault_for_a_bad_pointer() {
    for call in [
        "(call $random (i32.const 65530) (i32.const 100))",
        "(call $random (i32.const -1) (i32.const -1))",
        "(call $fd_write (i32.const 1) (i32.const 65530) (i32.const 1) (i32.const 1024))",
        "(call $fd_write (i32.const 1) (i32.const 1024) (i32.const 0) (i32.const 65534))",
    ] {
        assert_eq!(status_of(call), 21, "{call}");
    }
    let call = "(call $fd_write (i32.const 9) (i32.const 1024) (i32.const 0) (i32.const 1024))";
    assert_eq!(status_of(call), 8, "there is no such file");
    let call = "(call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 1024))";
    assert_eq!(status_of(call), 28, "more slices than anybody has");
}

#[test]
fn numbers_outside_of_the_abi_are_bad_arguments() {
    for call in [
        "(call $log (i32.const 6) (i32.const 0) (i32.const 1))",
        "(call $get_buffer (i32.const 99) (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 1028))",
        "(call $get_headers (i32.const 8) (i32.const 1024) (i32.const 1028))",
        "(call $define (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 1024))",
        "(call $continue (i32.const 4))",
        "(call $set_context (i32.const 77))",
        "(call $cancel (i32.const 3))",
    ] {
        assert_eq!(status_of(call), 2, "{call}");
    }
}

fn reads_its_configuration(allocator: &str) -> Program {
    bare(&format!(
        r#"{allocator}
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (call $put (i32.const 0) (i32.const 1)
            (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 9) (i32.const 1024) (i32.const 1028)))
          (drop (call $log (i32.const 2) (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))
          (i32.const 1))"#
    ))
}

#[test]
fn either_name_of_the_allocator_will_do() {
    for name in ["proxy_on_memory_allocate", "malloc"] {
        let allocator =
            format!(r#"(func (export "{name}") (param i32) (result i32) (i32.const 2048))"#);
        let proxy = Proxy::builder(&reads_its_configuration(&allocator)).start("hello").unwrap();
        assert_eq!(proxy.metric("a"), 0);
        assert_eq!(proxy.log()[0].text, "hello");
    }
}

#[test]
fn an_allocator_that_has_nothing_left_is_not_written_to() {
    for (pointer, status) in [("0", 6), ("-8", 6), ("65535", 6)] {
        let allocator =
            format!(r#"(func (export "malloc") (param i32) (result i32) (i32.const {pointer}))"#);
        let proxy = Proxy::builder(&reads_its_configuration(&allocator)).start("hello").unwrap();
        assert_eq!(proxy.metric("a"), status, "allocated at {pointer}");
    }
}

#[test]
fn an_allocator_that_traps_or_is_not_there_fails_the_vm() {
    for allocator in ["", r#"(func (export "malloc") (param i32) (result i32) unreachable)"#] {
        match Proxy::builder(&reads_its_configuration(allocator)).start("hello") {
            Err(StartError::Trap(trap)) => assert_eq!(trap.vm, VmName::Canary),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it started"),
        }
    }
}

#[test]
fn what_a_guest_prints_is_in_the_log_line_by_line() {
    let proxy = guest(
        r#"
        (data (i32.const 2000) "one\ntwo\n\ff")
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (i32.store (i32.const 1024) (i32.const 2000)) (i32.store (i32.const 1028) (i32.const 5))
          (i32.store (i32.const 1032) (i32.const 2005)) (i32.store (i32.const 1036) (i32.const 4))
          (drop (call $fd_write (i32.const 2) (i32.const 1024) (i32.const 2) (i32.const 1040)))
          (call $put (i32.const 0) (i32.const 1) (i32.load (i32.const 1040)))
          (i32.const 1))"#,
    )
    .workers(0)
    .start("")
    .unwrap();
    assert_eq!(proxy.metric("a"), 9);
    let main: Vec<_> = proxy.log().into_iter().filter(|line| line.vm == VmName::Main).collect();
    assert!(main.iter().all(|line| line.source == LogSource::Stderr));
    let text: Vec<_> = main.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(text, ["one", "two", "\u{fffd}"]);
}

#[test]
fn random_bytes_are_those_of_the_seed() {
    let run = |seed| {
        guest(
            r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (drop (call $random (i32.const 1024) (i32.const 4)))
                 (call $put (i32.const 0) (i32.const 1) (i32.load (i32.const 1024)))
                 (i32.const 1))"#,
        )
        .seed(seed)
        .start("")
        .unwrap()
        .metric("a")
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
