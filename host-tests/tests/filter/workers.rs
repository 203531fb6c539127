//! Every worker applies what arrives, and says so.

use std::collections::BTreeSet;
use std::time::Duration;

use kya_host_tests::VmName;
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_allowed, assert_denied};

const WORKERS: usize = 3;

#[test]
fn each_worker_reports_what_it_decides_by_and_since_when() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    sidecar.await_reports(WORKERS, 2);
    sidecar.proxy.advance(Duration::from_secs(2));
    let before = sidecar.proxy.now();
    control.revoke(1);
    sidecar.push(&control);
    // The push, the wake-ups and the answers take no virtual time.
    let reported = sidecar.reported();
    assert_eq!(reported.len(), WORKERS);
    let slots: BTreeSet<_> = reported.iter().map(|one| one.slot).collect();
    assert_eq!(slots, (0..3).collect());
    let instances: BTreeSet<_> = reported.iter().map(|one| one.instance).collect();
    assert_eq!(instances.len(), WORKERS);
    for one in reported {
        assert_eq!((one.epoch, one.revision), (1, 3));
        assert_eq!(one.applied_unix_nanos, before);
    }
    assert_eq!(sidecar.proxy.metric("kya.workers"), 3);
}

#[test]
fn an_acknowledgement_means_that_the_worker_denies() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    sidecar.await_reports(WORKERS, 2);
    let stuck = VmName::Worker(1);
    sidecar.proxy.pause(stuck);
    control.revoke(1);
    sidecar.push(&control);
    let behind =
        |sidecar: &mut Sidecar| sidecar.reported().iter().filter(|one| one.revision < 3).count();
    assert_eq!(behind(&mut sidecar), 1, "the stuck worker has not acknowledged");
    sidecar.proxy.resume(stuck);
    sidecar.proxy.run_until_idle();
    assert_eq!(behind(&mut sidecar), 0);
    assert_denied(&sidecar.ask(1, &token), 403, "agent_revoked");
}

#[test]
fn a_lost_wake_up_delays_the_word_but_never_the_denial() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    sidecar.await_reports(WORKERS, 2);
    sidecar.proxy.lose_wakes(true);
    control.revoke(1);
    sidecar.push(&control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    sidecar.await_reports(WORKERS, 3);
}

#[test]
fn whatever_the_order_of_the_workers_they_all_deny() {
    for first in 0..WORKERS {
        let (mut control, token) = ControlPlane::with_an_agent();
        let mut sidecar = Sidecar::synced(&control, WORKERS);
        let mut order = sidecar.proxy.vms();
        order.rotate_left(first + 1);
        sidecar.proxy.set_order(&order);
        control.revoke(1);
        sidecar.push(&control);
        for outcome in sidecar.ask_all(&token) {
            assert_denied(&outcome, 403, "agent_revoked");
        }
    }
}

#[test]
fn a_worker_that_crashed_and_was_replaced_decides_by_the_newest_state_at_once() {
    let (mut control, token) = ControlPlane::with_an_agent();
    control.agent(2);
    let other = control.issue_token(2);
    let mut sidecar = Sidecar::synced(&control, WORKERS);
    sidecar.await_reports(WORKERS, 4);
    let before: BTreeSet<_> = sidecar.reported().iter().map(|one| one.instance).collect();
    let crashed = VmName::Worker(1);
    sidecar.proxy.crash(crashed);
    assert_eq!(sidecar.ask(1, &token), kya_host_tests::Outcome::FailClosed);
    control.revoke(1);
    sidecar.push(&control);
    sidecar.proxy.replace(crashed).unwrap();
    // Its first request comes before its first tick.
    assert_denied(&sidecar.ask(1, &token), 403, "agent_revoked");
    assert_allowed(&sidecar.ask(1, &other), 2);
    // The slot of the dead one expires; the new one has another identity.
    sidecar.await_reports(WORKERS, 5);
    let after: BTreeSet<_> = sidecar.reported().iter().map(|one| one.instance).collect();
    assert_eq!(after.difference(&before).count(), 1);
    control.suspend(2);
    sidecar.push(&control);
    for outcome in sidecar.ask_all(&other) {
        assert_denied(&outcome, 403, "agent_suspended");
    }
}

#[test]
fn a_worker_that_was_gone_for_long_catches_up_from_the_snapshot() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, 2);
    sidecar.await_reports(2, 2);
    let away = VmName::Worker(1);
    sidecar.proxy.pause(away);
    // More than the ring of deltas holds, compactions included.
    for _ in 0..400 {
        control.suspend(1);
        control.restore(1);
        sidecar.push(&control);
        let asked = sidecar.resyncs();
        sidecar.proxy.advance(Duration::from_millis(10));
        if sidecar.resyncs() > asked {
            sidecar.answer(&control);
        }
    }
    assert!(sidecar.resyncs() >= 2, "the filter compacts what it keeps");
    control.revoke(1);
    sidecar.push(&control);
    sidecar.proxy.resume(away);
    assert_denied(&sidecar.ask(1, &token), 403, "agent_revoked");
    sidecar.await_reports(2, control.revision());
}

#[test]
fn a_whole_process_of_one_worker_works() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&control, 1);
    assert_allowed(&sidecar.ask(0, &token), 1);
    control.revoke(1);
    sidecar.push(&control);
    assert_denied(&sidecar.ask(0, &token), 403, "agent_revoked");
    sidecar.await_reports(1, 3);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let (control, token) = ControlPlane::with_an_agent();
        let mut sidecar = Sidecar::with(Sidecar::builder(WORKERS).seed(seed), &control).unwrap();
        sidecar.sync(&control);
        sidecar.ask_all(&token);
        sidecar.proxy.advance(Duration::from_secs(10));
        (sidecar.nonce(), sidecar.reported(), sidecar.proxy.log())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn a_decision_costs_the_same_whatever_the_size_of_the_registry() {
    let cost = |tokens| {
        let (mut control, token) = ControlPlane::with_an_agent();
        (0..tokens).for_each(|_| drop(control.issue_token(1)));
        let mut sidecar = Sidecar::synced(&control, 1);
        // The first request applies what is new; the second only decides.
        assert_allowed(&sidecar.ask(0, &token), 1);
        let before = sidecar.proxy.fuel_spent(VmName::Worker(0));
        assert_allowed(&sidecar.ask(0, &token), 1);
        sidecar.proxy.fuel_spent(VmName::Worker(0)) - before
    };
    let (small, large) = (cost(0), cost(200));
    assert!(large < small * 5 / 4, "{small} units with 1 token, {large} with 201");
}
