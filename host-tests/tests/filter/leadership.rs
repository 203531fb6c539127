//! Who holds the stream, and what happens when it is lost.

use std::time::Duration;

use kya_host_tests::kya::{ControlPlane, Sidecar, assert_allowed, assert_denied};
use kya_host_tests::{StreamFailure, VmName, abi::Status};

const WORKERS: usize = 3;
const MAIN: VmName = VmName::Main;

#[test]
fn the_main_vm_leads_whoever_ticks_first() {
    let (mut control, token) = ControlPlane::with_an_agent();
    // Every VM ticks at the same instants, the main one last.
    let builder = Sidecar::builder(WORKERS).start_gap(Duration::ZERO);
    let mut sidecar = Sidecar::with(builder, &control).unwrap();
    let mut order = sidecar.proxy.vms();
    order.reverse();
    sidecar.proxy.set_order(&order);
    sidecar.connect();
    sidecar.serve(&mut control);
    let holders: Vec<_> = sidecar.proxy.grpc_streams().iter().map(|stream| stream.vm).collect();
    assert_eq!(holders, [MAIN]);
    sidecar.await_reports(&mut control, WORKERS);
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
}

#[test]
fn there_is_one_stream_and_no_more() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    for _ in 0..60 {
        sidecar.run(&mut control, Duration::from_secs(1));
        assert_eq!(sidecar.proxy.grpc_streams().len(), 1);
    }
}

#[test]
fn the_canary_claims_nothing() {
    let (control, _) = ControlPlane::with_an_agent();
    let sidecar = Sidecar::start(&control, WORKERS);
    let data = sidecar.proxy.shared_data();
    let keys: Vec<_> = data.keys().collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert!(keys[0].ends_with(b"/boot"), "it is noted, and holds neither lease nor slot");
    assert!(sidecar.proxy.grpc_streams().is_empty());
}

#[test]
fn a_lost_stream_is_opened_again_and_meanwhile_the_last_state_decides() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    for round in 1..=5 {
        sidecar.await_reports(&mut control, WORKERS);
        // Nothing is left to say, so that nothing but the loss is noticed.
        sidecar.run(&mut control, Duration::from_secs(3));
        sidecar.lose_stream();
        let lost = sidecar.proxy.now();
        assert!(!sidecar.connected());
        for outcome in sidecar.ask_all(&token) {
            assert_allowed(&outcome, 1);
        }
        sidecar.connect();
        let away = Duration::from_nanos(sidecar.proxy.now() - lost);
        assert!(away < Duration::from_secs(1), "round {round}: {away:?}");
        for outcome in sidecar.ask_all(&token) {
            assert_allowed(&outcome, 1);
        }
        sidecar.serve(&mut control);
    }
    control.revoke(1);
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn what_was_revoked_while_the_stream_was_down_comes_with_the_next_stream() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.lose_stream();
    control.revoke(1);
    sidecar.sync(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn a_stream_that_cannot_be_opened_is_tried_again_however_it_fails() {
    for failure in [
        StreamFailure::Status(Status::ParseFailure),
        StreamFailure::Status(Status::InternalFailure),
        StreamFailure::CloseAfterCall { grpc_status: 14 },
        StreamFailure::CloseInsideCall { grpc_status: 14 },
    ] {
        let (mut control, token) = ControlPlane::with_an_agent();
        let mut sidecar = Sidecar::start(&control, WORKERS);
        sidecar.proxy.fail_streams(Some(failure));
        sidecar.proxy.advance(Duration::from_secs(20));
        for outcome in sidecar.ask_all(&token) {
            assert_denied(&outcome, 503, "unsynced");
        }
        sidecar.proxy.fail_streams(None);
        sidecar.sync(&mut control);
        for outcome in sidecar.ask_all(&token) {
            assert_allowed(&outcome, 1);
        }
    }
}

#[test]
fn attempts_while_the_control_plane_is_down_are_neither_silent_nor_a_flood() {
    let (control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::start(&control, WORKERS);
    sidecar.proxy.fail_streams(Some(StreamFailure::CloseAfterCall { grpc_status: 14 }));
    sidecar.proxy.advance(Duration::from_secs(600));
    let log = sidecar.proxy.log();
    let lines = log.iter().filter(|line| line.text.contains("kya_control_plane")).count();
    assert!((1..=20).contains(&lines), "{lines} lines in ten minutes");
}

#[test]
fn a_control_plane_that_does_not_answer_is_given_up_for_another_try() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::start(&control, WORKERS);
    sidecar.connect();
    let silent = sidecar.stream();
    sidecar.connect();
    assert_ne!(sidecar.stream(), silent);
    sidecar.serve(&mut control);
    sidecar.await_reports(&mut control, WORKERS);
}

#[test]
fn a_stream_is_proven_by_its_own_nonce_each_time() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let first = sidecar.nonce();
    sidecar.lose_stream();
    sidecar.connect();
    assert_ne!(sidecar.nonce(), first);
}

#[test]
fn a_worker_that_had_to_lead_hands_over_to_the_main_vm() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::start(&control, WORKERS);
    sidecar.pause(MAIN);
    let leader = sidecar.connect();
    assert!(matches!(leader, VmName::Worker(_)));
    sidecar.serve(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
    sidecar.resume(MAIN);
    assert_eq!(sidecar.connect(), MAIN);
    // Two leaders for a moment do no harm; the worker lets go at its next tick.
    sidecar.proxy.advance(Duration::from_millis(500));
    assert_eq!(sidecar.proxy.grpc_streams().len(), 1, "the worker let go");
    sidecar.serve(&mut control);
    control.revoke(1);
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    sidecar.await_reports(&mut control, WORKERS);
}

#[test]
fn a_worker_leads_when_the_main_vm_is_gone() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.proxy.crash(MAIN);
    assert!(matches!(sidecar.connect(), VmName::Worker(_)));
    control.revoke(1);
    sidecar.serve(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    sidecar.await_reports(&mut control, WORKERS);
}

#[test]
fn a_new_leader_takes_nothing_older_than_what_it_decides_by_itself() {
    let (mut old, _) = ControlPlane::with_an_agent();
    let (mut control, token) = ControlPlane::with_an_agent();
    control.revoke(1);
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.await_reports(&mut control, WORKERS);
    sidecar.proxy.crash(MAIN);
    sidecar.connect();
    sidecar.take_said();
    let offered = old.manifest(&sidecar.nonce());
    sidecar.deliver(&offered);
    assert_eq!(sidecar.proxy.metric("kya.update.rejected.not_newer"), 1);
    // A VM that starts now knows nothing but what is in shared data.
    let fresh = VmName::Worker(2);
    sidecar.proxy.crash(fresh);
    sidecar.proxy.replace(fresh).unwrap();
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn a_wall_clock_that_jumps_stops_nothing() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let now = sidecar.proxy.now();
    let day = 86_400_000_000_000;
    for jump in [now + day, now / 2, now] {
        sidecar.proxy.set_wall_clock(jump);
        sidecar.run(&mut control, Duration::from_secs(10));
        if !sidecar.connected() {
            sidecar.sync(&mut control);
        }
        control.suspend(1);
        sidecar.push(&mut control);
        for outcome in sidecar.ask_all(&token) {
            assert_denied(&outcome, 403, "agent_suspended");
        }
        control.restore(1);
        sidecar.push(&mut control);
        sidecar.await_reports(&mut control, WORKERS);
    }
}
