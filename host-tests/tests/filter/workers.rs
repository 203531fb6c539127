//! Every worker applies what arrives, and says so.

use std::collections::BTreeSet;
use std::time::Duration;

use kya_host_tests::VmName;
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_allowed, assert_denied};

const WORKERS: usize = 3;

#[test]
fn each_worker_reports_what_it_decides_by_and_since_when() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.await_reports(&mut control, WORKERS);
    sidecar.run(&mut control, Duration::from_secs(2));
    let before = sidecar.proxy.now();
    control.revoke(1);
    sidecar.push(&mut control);
    // The push, the wake-ups and the answers take no virtual time.
    let reported = sidecar.reported();
    assert_eq!(reported.len(), WORKERS);
    let slots: BTreeSet<_> = reported.iter().map(|one| one.slot).collect();
    assert_eq!(slots, (0..3).collect());
    let instances: BTreeSet<_> = reported.iter().map(|one| one.instance).collect();
    assert_eq!(instances.len(), WORKERS);
    for one in reported {
        assert_eq!((one.epoch, one.revision), (1, control.revision()));
        assert_eq!(one.applied_unix_nanos, before);
    }
    assert_eq!(sidecar.proxy.metric("kya.workers"), 3);
}

#[test]
fn an_acknowledgement_means_that_the_worker_denies() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.await_reports(&mut control, WORKERS);
    let stuck = VmName::Worker(1);
    sidecar.pause(stuck);
    control.revoke(1);
    sidecar.push(&mut control);
    let newest = control.revision();
    let behind = |sidecar: &mut Sidecar| {
        sidecar.reported().iter().filter(|one| one.revision < newest).count()
    };
    assert_eq!(behind(&mut sidecar), 1, "the stuck worker has not acknowledged");
    sidecar.resume(stuck);
    sidecar.proxy.run_until_idle();
    assert_eq!(behind(&mut sidecar), 0);
    assert_denied(&sidecar.ask(1, &token), 403, "agent_revoked");
}

#[test]
fn a_lost_wake_up_delays_the_word_but_never_the_denial() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.await_reports(&mut control, WORKERS);
    sidecar.proxy.lose_wakes(true);
    control.revoke(1);
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    sidecar.await_reports(&mut control, WORKERS);
}

#[test]
fn whatever_the_order_of_the_workers_they_all_deny() {
    for first in 0..WORKERS {
        let (mut control, token) = ControlPlane::with_an_agent();
        let mut sidecar = Sidecar::synced(&mut control, WORKERS);
        let mut order = sidecar.proxy.vms();
        order.rotate_left(first + 1);
        sidecar.proxy.set_order(&order);
        control.revoke(1);
        sidecar.push(&mut control);
        for outcome in sidecar.ask_all(&token) {
            assert_denied(&outcome, 403, "agent_revoked");
        }
    }
}

#[test]
fn a_worker_that_crashed_and_was_replaced_decides_by_the_newest_state_at_once() {
    let (mut control, token) = ControlPlane::with_an_agent();
    control.register(2);
    let other = control.issue_token(2);
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.await_reports(&mut control, WORKERS);
    let before: BTreeSet<_> = sidecar.reported().iter().map(|one| one.instance).collect();
    let crashed = VmName::Worker(1);
    sidecar.proxy.crash(crashed);
    assert_eq!(sidecar.ask(1, &token), kya_host_tests::Outcome::FailClosed);
    control.revoke(1);
    sidecar.push(&mut control);
    sidecar.proxy.replace(crashed).unwrap();
    // Its first request comes before its first tick.
    assert_denied(&sidecar.ask(1, &token), 403, "agent_revoked");
    assert_allowed(&sidecar.ask(1, &other), 2);
    // The slot of the dead one expires; the new one has another identity.
    sidecar.await_reports(&mut control, WORKERS);
    let after: BTreeSet<_> = sidecar.reported().iter().map(|one| one.instance).collect();
    assert_eq!(after.difference(&before).count(), 1);
    control.suspend(2);
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&other) {
        assert_denied(&outcome, 403, "agent_suspended");
    }
}

#[test]
fn a_worker_that_was_gone_for_long_catches_up_from_the_manifest() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, 2);
    sidecar.await_reports(&mut control, 2);
    let away = VmName::Worker(1);
    sidecar.pause(away);
    // More than the ring of deltas holds, compactions included.
    for _ in 0..400 {
        control.suspend(1);
        control.restore(1);
        sidecar.run(&mut control, Duration::from_millis(10));
    }
    assert!(sidecar.resyncs() >= 2, "the filter compacts what it keeps");
    control.revoke(1);
    sidecar.push(&mut control);
    sidecar.resume(away);
    assert_denied(&sidecar.ask(1, &token), 403, "agent_revoked");
    sidecar.await_reports(&mut control, 2);
}

#[test]
fn a_whole_process_of_one_worker_works() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, 1);
    assert_allowed(&sidecar.ask(0, &token), 1);
    control.revoke(1);
    sidecar.push(&mut control);
    assert_denied(&sidecar.ask(0, &token), 403, "agent_revoked");
    sidecar.await_reports(&mut control, 1);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let (mut control, token) = ControlPlane::with_an_agent();
        let mut sidecar = Sidecar::with(Sidecar::builder(WORKERS).seed(seed), &control).unwrap();
        sidecar.sync(&mut control);
        sidecar.ask_all(&token);
        sidecar.run(&mut control, Duration::from_secs(10));
        (sidecar.nonce(), sidecar.reported(), sidecar.proxy.log())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}
