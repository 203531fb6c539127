//! How VMs start, tick and end.

use std::time::Duration;

use kya_host_tests::{Proxy, StartError, VmName};

use crate::guests::{bare, guest, started};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn a_canary_is_started_and_dropped_before_the_others() {
    let mut proxy = started(
        r#"
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (call $count (i32.const 0) (i32.const 1))
          (drop (call $set_tick (i32.const 10)))
          (i32.const 1))
        (func (export "proxy_on_tick") (param i32) (call $count (i32.const 1) (i32.const 1)))"#,
    );
    assert_eq!(proxy.metric("a"), 4, "canary, main and two workers were configured");
    assert_eq!(proxy.vms(), [VmName::Main, VmName::Worker(0), VmName::Worker(1)]);
    proxy.advance(10 * MILLI);
    assert_eq!(proxy.metric("b"), 3, "the canary does not tick");
}

#[test]
fn what_the_canary_wrote_into_shared_data_stays() {
    let proxy = started(
        r#"
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (if (call $get_data (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 1028) (i32.const 1032))
            (then
              (drop (call $set_data (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 3) (i32.const 0)))
              (call $count (i32.const 2) (i32.const 1))))
          (i32.const 1))"#,
    );
    assert_eq!(proxy.shared_data().get(b"a"), Some((&b"bcd"[..], 1)));
    assert_eq!(proxy.metric("c"), 1, "the canary alone found the key missing");
}

#[test]
fn a_plugin_that_says_no_is_rejected_with_what_it_wrote() {
    for export in ["proxy_on_configure", "proxy_on_vm_start"] {
        let refuses = guest(&format!(
            r#"(func (export "{export}") (param i32 i32) (result i32)
                 (drop (call $log (i32.const 4) (i32.const 0) (i32.const 5)))
                 (i32.const 0))"#
        ));
        match refuses.start("") {
            Err(StartError::Rejected { vm, log }) => {
                assert_eq!(vm, VmName::Canary);
                assert_eq!(log[0].text, "abcde");
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{export} was not heard"),
        }
    }
}

#[test]
fn a_plugin_that_traps_while_it_starts_is_an_error_not_a_rejection() {
    let traps = guest(r#"(func (export "_initialize") unreachable)"#);
    match traps.start("") {
        Err(StartError::Trap(trap)) => assert_eq!(trap.export, "_initialize"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}

#[test]
fn a_reactor_is_initialized_and_a_command_started() {
    let export = |name: &str| {
        format!(r#"(func (export "{name}") (call $count (i32.const 0) (i32.const 1)))"#)
    };
    for (body, starts) in [
        (export("_initialize"), 4),
        (export("_start"), 4),
        (export("_initialize") + r#"(func (export "_start") unreachable)"#, 4),
    ] {
        assert_eq!(started(&body).metric("a"), starts);
    }
}

#[test]
fn configurations_are_readable_when_the_abi_says_so() {
    // Puts the status of reading the plugin's configuration under the name, and
    // its length under the next one.
    let read = |name: u32| {
        format!(
            r#"(call $put (i32.const {name}) (i32.const 1)
                 (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 1000)
                   (i32.const 1024) (i32.const 1028)))
               (call $put (i32.const {}) (i32.const 1) (i32.load (i32.const 1028)))
               (i32.store (i32.const 1028) (i32.const 0))"#,
            name + 1
        )
    };
    let mut proxy = guest(&format!(
        r#"
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          {} (call $put (i32.const 4) (i32.const 1) (local.get 1))
          (drop (call $set_tick (i32.const 1)))
          (i32.const 1))
        (func (export "proxy_on_tick") (param i32)
          {}
          (call $put (i32.const 5) (i32.const 1)
            (call $get_buffer (i32.const 6) (i32.const 3) (i32.const 1000)
              (i32.const 1024) (i32.const 1028)))
          (call $put (i32.const 6) (i32.const 1) (i32.load8_u (i32.load (i32.const 1024))))
          (call $put (i32.const 7) (i32.const 1)
            (call $get_buffer (i32.const 6) (i32.const 8) (i32.const 1)
              (i32.const 1024) (i32.const 1028)))
          (call $put (i32.const 8) (i32.const 1)
            (call $get_buffer (i32.const 6) (i32.const 1) (i32.const -1)
              (i32.const 1024) (i32.const 1028))))"#,
        read(0),
        read(2)
    ))
    .vm_configuration("vm-conf")
    .start("plugin")
    .unwrap();
    proxy.advance(MILLI);
    let read = ["a", "b", "c", "d", "e"].map(|name| proxy.metric(name));
    assert_eq!(read, [0, 6, 1, 0, 6], "readable in configure, not found in a tick");
    let vm = ["f", "g", "h", "i"].map(|name| proxy.metric(name));
    assert_eq!(vm, [0, u64::from(b'c'), 0, 2], "from the middle; nothing beyond; too long to be");
}

#[test]
fn each_vm_ticks_by_its_own_period_and_phase() {
    let mut proxy = started(
        r#"
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (drop (call $set_tick (i32.const 100))) (i32.const 1))
        (func (export "proxy_on_tick") (param i32)
          (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1)))
          (call $count (i32.const 0) (i32.const 1)))"#,
    );
    let ticked = |proxy: &Proxy| proxy.log().iter().map(|line| line.vm).collect::<Vec<_>>();
    // The VMs started 1 ms apart, the last of them just now.
    proxy.advance(98 * MILLI);
    assert_eq!(ticked(&proxy), [VmName::Main]);
    proxy.advance(2 * MILLI);
    assert_eq!(ticked(&proxy), [VmName::Main, VmName::Worker(0), VmName::Worker(1)]);
    proxy.advance(400 * MILLI);
    assert_eq!(proxy.metric("a"), 15);
}

#[test]
fn a_period_of_0_stops_the_timer() {
    let mut proxy = started(
        r#"
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (drop (call $set_tick (i32.const 100))) (i32.const 1))
        (func (export "proxy_on_tick") (param i32)
          (call $count (i32.const 0) (i32.const 1))
          (drop (call $set_tick (i32.const 0))))"#,
    );
    proxy.advance(Duration::from_secs(10));
    assert_eq!(proxy.metric("a"), 3);
}

#[test]
fn ticks_of_one_instant_come_in_the_order_of_the_test() {
    let mut proxy = guest(
        r#"
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (drop (call $set_tick (i32.const 100))) (i32.const 1))
        (func (export "proxy_on_tick") (param i32)
          (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1))))"#,
    )
    .start_gap(Duration::ZERO)
    .start("")
    .unwrap();
    let order = [VmName::Worker(1), VmName::Main, VmName::Worker(0)];
    proxy.set_order(&order);
    proxy.advance(100 * MILLI);
    assert_eq!(proxy.log().iter().map(|line| line.vm).collect::<Vec<_>>(), order);
}

#[test]
fn a_stuck_vm_does_not_tick_until_it_goes_on() {
    let mut proxy = started(
        r#"
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (drop (call $set_tick (i32.const 100))) (i32.const 1))
        (func (export "proxy_on_tick") (param i32)
          (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1))))"#,
    );
    let ticks = |proxy: &Proxy| proxy.log().iter().filter(|it| it.vm == VmName::Main).count();
    proxy.pause(VmName::Main);
    proxy.advance(Duration::from_secs(1));
    assert_eq!(ticks(&proxy), 0);
    proxy.resume(VmName::Main);
    proxy.advance(MILLI);
    assert_eq!(ticks(&proxy), 1, "one tick is overdue, not ten");
}

#[test]
fn time_is_virtual_and_the_wall_clock_can_be_set_apart() {
    let program = guest(
        r#"
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (drop (call $set_tick (i32.const 1000))) (i32.const 1))
        (func (export "proxy_on_tick") (param i32)
          (drop (call $get_time (i32.const 1024)))
          (call $put (i32.const 0) (i32.const 1)
            (i32.wrap_i64 (i64.div_u (i64.load (i32.const 1024)) (i64.const 1000000000)))))"#,
    );
    let mut proxy = program.wall_clock(50_000_000_000).start("").unwrap();
    proxy.advance(Duration::from_secs(3));
    assert_eq!(proxy.metric("a"), 53);
    proxy.set_wall_clock(10_000_000_000);
    proxy.advance(Duration::from_secs(1));
    assert!((10..=11).contains(&proxy.metric("a")), "timers went on all the same");
}

#[test]
fn properties_are_those_of_the_process() {
    let get = |path: &str, name: u32| {
        format!(
            r#"(call $put (i32.const {name}) (i32.const 1)
                 (call $get_property (i32.const {path}) (i32.const 1024) (i32.const 1028)))
               (drop (call $log (i32.const 2) (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))
               (i32.store (i32.const 1028) (i32.const 0))"#
        )
    };
    let paths = [
        "xds\\00node\\00id",
        "xds\\00node\\00cluster",
        "plugin_vm_id",
        "plugin_root_id",
        "x\\00y",
        "nope",
    ];
    let mut body = String::from(
        r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))"#,
    );
    let mut reads = String::new();
    for (index, path) in paths.iter().enumerate() {
        let at = 2000 + index * 32;
        let length = path.replace("\\00", "0").len();
        body.push_str(&format!(r#"(data (i32.const {at}) "{path}")"#));
        let name = u32::try_from(index).unwrap();
        reads.push_str(&get(&format!("{at}) (i32.const {length}"), name));
    }
    body.push_str(&format!(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) {reads} (i32.const 1))"#
    ));
    let proxy = guest(&body)
        .workers(0)
        .vm_id("kya")
        .plugin("p", "r")
        .node("n-1", "c-1")
        .property(&["x", "y"], "z")
        .start("")
        .unwrap();
    let said: Vec<_> = proxy.log().into_iter().map(|line| line.text).collect();
    assert_eq!(said[said.len() - 6..], ["n-1", "c-1", "kya", "r", "z", ""]);
    assert_eq!(proxy.metric("f"), 1, "what is not there is not found");
}

#[test]
fn a_guest_with_no_exports_at_all_lets_everything_pass() {
    let program = bare("");
    let mut proxy = Proxy::builder(&program).start("").unwrap();
    proxy.advance(Duration::from_secs(1));
    assert!(proxy.request(1, &[]).forwarded().is_some());
}
