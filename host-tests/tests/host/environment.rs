//! What a guest learns by WASI: variables and clocks.

use std::time::Duration;

use kya_host_tests::{Profile, VmName};

use crate::guests::{guest, said};

/// Reads all variables, says them as they are, and puts count and size under `a`
/// and `b`.
const ENVIRONMENT: &str = r#"
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $environ_sizes (i32.const 1024) (i32.const 1028)))
      (call $put (i32.const 0) (i32.const 1) (i32.load (i32.const 1024)))
      (call $put (i32.const 1) (i32.const 1) (i32.load (i32.const 1028)))
      (drop (call $environ (i32.const 1100) (i32.const 1200)))
      (call $say (i32.load (i32.const 1100)) (i32.const 4))
      (call $say (i32.load (i32.const 1104)) (i32.sub (i32.load (i32.const 1028)) (i32.const 4)))
      (call $put (i32.const 2) (i32.const 1) (call $environ (i32.const 65534) (i32.const 1200)))
      (call $put (i32.const 3) (i32.const 1) (call $environ (i32.const 1100) (i32.const 65530)))
      (i32.const 1))"#;

#[test]
fn variables_are_those_of_the_vm() {
    let builder = guest(ENVIRONMENT).environment("B", "2 = two").environment("A", "1");
    let proxy = builder.profile(Profile::Nginx).workers(1).start("").unwrap();
    assert_eq!((proxy.metric("a"), proxy.metric("b")), (2, 14));
    assert_eq!(said(&proxy), "A=1\0 B=2 = two\0");
    assert_eq!((proxy.metric("c"), proxy.metric("d")), (21, 21), "places are checked");
}

#[test]
fn unless_told_there_are_no_variables() {
    let proxy = guest(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (i32.store (i32.const 1024) (i32.const 9))
             (i32.store (i32.const 1028) (i32.const 9))
             (call $put (i32.const 0) (i32.const 1) (call $environ_sizes (i32.const 1024) (i32.const 1028)))
             (call $put (i32.const 1) (i32.const 1)
               (i32.add (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))
             (call $put (i32.const 2) (i32.const 1) (call $environ (i32.const 0) (i32.const 0)))
             (i32.const 1))"#,
    )
    .start("")
    .unwrap();
    assert_eq!(["a", "b", "c"].map(|name| proxy.metric(name)), [0, 0, 0]);
}

#[test]
fn the_monotonic_clock_goes_on_when_the_wall_clock_is_set_back() {
    // `a` is wall seconds, `b` monotonic seconds, `c` the status of another clock.
    let read = |clock: u32, name: u32| {
        format!(
            "(drop (call $clock (i32.const {clock}) (i64.const 0) (i32.const 1024)))
             (call $put (i32.const {name}) (i32.const 1)
               (i32.wrap_i64 (i64.div_u (i64.load (i32.const 1024)) (i64.const 1000000000))))"
        )
    };
    for profile in [Profile::Envoy, Profile::Nginx] {
        let mut proxy = guest(&format!(
            r#"(func (export "proxy_on_tick") (param i32) {} {}
                 (call $put (i32.const 2) (i32.const 1)
                   (call $clock (i32.const 2) (i64.const 0) (i32.const 1024))))"#,
            read(0, 0),
            read(1, 1),
        ))
        .profile(profile)
        .start_gap(Duration::ZERO)
        .wall_clock(50_000_000_000)
        .start("")
        .unwrap();
        let mut clocks = || {
            proxy.tick(VmName::Worker(0));
            ["a", "b"].map(|name| proxy.metric(name))
        };
        assert_eq!(clocks(), [50, 1]);
        proxy.advance(Duration::from_secs(5));
        proxy.set_wall_clock(10_000_000_000);
        proxy.tick(VmName::Worker(0));
        assert_eq!(["a", "b", "c"].map(|name| proxy.metric(name)), [10, 6, 58]);
        assert_eq!(proxy.monotonic(), 6_000_000_000);
    }
}
