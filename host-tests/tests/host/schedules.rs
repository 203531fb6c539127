//! Orders: those of a seed, and those that a test walks through.

use std::collections::BTreeSet;
use std::time::Duration;

use kya_host_tests::{Event, Proxy, Schedule, VmName};

use crate::guests::{guest, map_at, said};

/// Every VM registers a queue of its own, `a` and on by the order of configuration,
/// ticks every 100 ms, and says its letter at a tick; a tick enqueues to every queue,
/// and a wake-up says the letter and `!`.
const GOSSIP: &str = r#"
    (global $me (mut i32) (i32.const 0))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (loop $next
        (if (i32.eqz (call $get_data (global.get $me) (i32.const 1) (i32.const 1028) (i32.const 1032) (i32.const 1036)))
          (then (global.set $me (i32.add (global.get $me) (i32.const 1))) (br $next))))
      (drop (call $set_data (global.get $me) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0)))
      (drop (call $register (global.get $me) (i32.const 1) (i32.const 1024)))
      (i32.eqz (call $set_tick (i32.const 100))))
    (func (export "proxy_on_tick") (param i32) (local $queue i32)
      (call $say (global.get $me) (i32.const 1))
      (loop $next
        (drop (call $enqueue (local.tee $queue (i32.add (local.get $queue) (i32.const 1))) (i32.const 0) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $queue) (i32.const 4)))))
    (data (i32.const 2000) "a!b!c!d!")
    (func (export "proxy_on_queue_ready") (param i32 i32)
      (drop (call $dequeue (local.get 1) (i32.const 1028) (i32.const 1032)))
      (call $say (i32.add (i32.const 2000) (i32.mul (i32.const 2) (global.get $me))) (i32.const 2)))"#;

fn gossip() -> Proxy {
    guest(GOSSIP).start_gap(Duration::ZERO).start("").unwrap()
}

fn run(seed: u64) -> String {
    let mut proxy = gossip();
    proxy.set_schedule(Schedule::seeded(seed));
    proxy.advance(Duration::from_millis(250));
    said(&proxy)
}

#[test]
fn a_seed_is_one_order_and_seeds_differ_and_nothing_is_lost() {
    assert_eq!(run(3), run(3));
    let runs: BTreeSet<_> = (0..20).map(run).collect();
    assert!(runs.len() > 15, "{} of 20 differ", runs.len());
    // The first tick of an instant is not always the same VM's.
    let firsts: BTreeSet<_> = runs.iter().map(|run| run.chars().next()).collect();
    assert_eq!(firsts.len(), 3);
    let waits = runs.iter().any(|run| run.starts_with("b c") || run.starts_with("c b"));
    assert!(waits, "a wake-up can wait until after the next tick");
    for run in runs {
        for (word, times) in [("b", 2), ("c", 2), ("d", 2), ("b!", 6), ("c!", 6), ("d!", 6)] {
            let count = run.split(' ').filter(|said| *said == word).count();
            assert_eq!(count, times, "{word} in {run}");
        }
    }
}

#[test]
fn without_a_seed_the_order_is_the_given_one() {
    let mut proxy = gossip();
    proxy.advance(Duration::from_millis(100));
    assert_eq!(said(&proxy), "b b! c! d! c b! c! d! d b! c! d!");
}

#[test]
fn a_test_can_walk_through_what_is_possible() {
    let mut proxy = gossip();
    let ticks: Vec<_> = proxy.vms().into_iter().map(Event::Tick).collect();
    assert_eq!(proxy.possible_events(), ticks);
    let before = proxy.monotonic();
    assert!(proxy.happen(Event::Tick(VmName::Worker(1))));
    assert_eq!(proxy.monotonic() - before, 100_000_000);
    assert_eq!(proxy.possible_events().len(), 6);
    assert!(proxy.happen(Event::Wake(VmName::Main)));
    assert!(!proxy.happen(Event::Wake(VmName::Main)), "there was one");
    proxy.pause(VmName::Worker(0));
    proxy.crash(VmName::Main);
    let worker = VmName::Worker(1);
    assert_eq!(proxy.possible_events(), [Event::Tick(worker), Event::Wake(worker)]);
    assert!(!proxy.happen(Event::Tick(VmName::Main)));
    assert_eq!(said(&proxy), "d b!");

    let mut schedule = Schedule::seeded(1);
    for _ in 0..50 {
        let events = proxy.possible_events();
        assert!(proxy.happen(*schedule.choose(&events).unwrap()));
    }
}

#[test]
fn a_timeout_is_an_event_too() {
    let (map, headers) = map_at(2000, &[(":method", "GET"), (":path", "/"), (":authority", "x")]);
    let mut proxy = guest(&format!(
        r#"{map} (func (export "proxy_on_tick") (param i32)
             (drop (call $http_call (i32.const 0) (i32.const 1) {headers} (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 0) (i32.const 70) (i32.const 1024))))
           (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
             (call $count (i32.const 0) (i32.const 1)))"#
    ))
    .start("")
    .unwrap();
    proxy.tick(VmName::Worker(0));
    let call = proxy.http_calls()[0].key;
    assert_eq!(proxy.possible_events(), [Event::Timeout(call)]);
    let before = proxy.monotonic();
    assert!(proxy.happen(Event::Timeout(call)));
    assert_eq!((proxy.monotonic() - before, proxy.metric("a")), (70_000_000, 1));
    assert!(!proxy.happen(Event::Timeout(call)));
}
