//! VMs that trap, leaders that are lost, a plugin that is taken out and put back:
//! what is denied stays denied, and all comes right.

use std::time::Duration;

use kya_host_tests::kya::{ControlPlane, Sidecar, assert_allowed, assert_denied, bearer, token};
use kya_host_tests::{FailurePolicy, Fault, Outcome, RequestState, VmName};

const WORKERS: usize = 3;
const MAIN: VmName = VmName::Main;

#[test]
fn a_worker_that_traps_is_reloaded_and_decides_from_the_cache_without_the_control_plane() {
    let (mut control, revoked) = ControlPlane::with_an_agent();
    let other = token(2);
    control.revoke(1);
    let builder = Sidecar::builder(WORKERS).failure_policy(FailurePolicy::FailReload);
    let mut sidecar = Sidecar::with(builder, &control).unwrap();
    sidecar.sync(&mut control);
    sidecar.await_reports(&mut control, WORKERS);
    (sidecar.serves_streams, sidecar.serves_calls) = (false, false);
    let worker = VmName::Worker(1);
    let in_flight = sidecar.proxy.begin(1, &[("authorization", &bearer(&other))]);
    let trap = Fault::on("proxy_get_header_map_pairs").in_vm(worker).nth(1).trap();
    sidecar.proxy.inject(trap).unwrap();
    assert!(matches!(sidecar.ask(1, &other), Outcome::Trap(_)), "it fails closed");
    assert_eq!(sidecar.proxy.take_traps().len(), 1);
    assert_eq!(sidecar.proxy.state(&in_flight), RequestState::FailedClosed);
    let _ = sidecar.proxy.finish(in_flight);
    // The next request finds a new VM, which knows at once.
    assert_denied(&sidecar.ask(1, &revoked), 403, "agent_revoked");
    assert_allowed(&sidecar.ask(1, &other), 2);
    (sidecar.serves_streams, sidecar.serves_calls) = (true, true);
    sidecar.await_reports(&mut control, WORKERS);
}

#[test]
fn every_worker_in_turn_traps_and_comes_back_while_changes_arrive() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let builder = Sidecar::builder(WORKERS).failure_policy(FailurePolicy::FailReload);
    let mut sidecar = Sidecar::with(builder, &control).unwrap();
    sidecar.sync(&mut control);
    for round in 0..12 {
        let suspended = round % 2 == 0;
        if suspended {
            control.suspend(1)
        } else {
            control.restore(1)
        }
        sidecar.push(&mut control);
        sidecar.proxy.crash(VmName::Worker(round % WORKERS));
        for outcome in sidecar.ask_all(&token) {
            match suspended {
                true => assert_denied(&outcome, 403, "agent_suspended"),
                false => assert_allowed(&outcome, 1),
            }
        }
        sidecar.run(&mut control, Duration::from_millis(300));
    }
    sidecar.await_reports(&mut control, WORKERS);
}

#[test]
fn when_a_leader_is_lost_another_leads_within_seconds_and_takes_up_where_it_stopped() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.run(&mut control, Duration::from_secs(4));
    let mut leader = MAIN;
    // One after the other until a single VM is left.
    for _ in 0..WORKERS {
        sidecar.proxy.crash(leader);
        let lost = sidecar.proxy.monotonic();
        control.suspend(1);
        control.restore(1);
        let known = sidecar.proxy.grpc_streams().len();
        sidecar.run_until(&mut control, |it| {
            it.proxy.grpc_streams().iter().any(|stream| !it.proxy.failed(stream.vm))
        });
        let away = Duration::from_nanos(sidecar.proxy.monotonic() - lost);
        assert!(away <= Duration::from_millis(2_600), "{away:?}");
        sidecar.run(&mut control, Duration::from_millis(500));
        let streams = sidecar.proxy.grpc_streams();
        // Those of VMs that have failed stay open until they are replaced.
        assert_eq!(streams.len(), known + 1, "{streams:?}");
        leader = streams.iter().map(|it| it.vm).find(|vm| !sidecar.proxy.failed(*vm)).unwrap();
        assert_eq!(sidecar.proxy.metric("kya.revision"), control.revision());
        let VmName::Worker(worker) = leader else { panic!("{leader} leads") };
        assert_allowed(&sidecar.ask(worker, &token), 1);
    }
    let VmName::Worker(last) = leader else { panic!("{leader} leads") };
    control.revoke(1);
    sidecar.push(&mut control);
    assert_denied(&sidecar.ask(last, &token), 403, "agent_revoked");
}

#[test]
fn a_leader_that_stood_still_and_was_replaced_sets_nothing_back() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.run(&mut control, Duration::from_secs(2));
    let stale_stream = sidecar.stream();
    sidecar.pause(MAIN);
    assert_ne!(sidecar.connect(), MAIN);
    sidecar.serve(&mut control);
    control.revoke(1);
    sidecar.push(&mut control);
    let newest = control.revision();
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    // It comes back, and what it is sent first is the same change.
    sidecar.resume(MAIN);
    let delta =
        prost::Message::encode_to_vec(&kya_core::testing::sealed(control.delta(newest).unwrap()));
    sidecar.proxy.send(stale_stream, &delta);
    sidecar.proxy.run_until_idle();
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    sidecar.run(&mut control, Duration::from_secs(5));
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    assert_eq!(sidecar.proxy.grpc_streams().len(), 1);
}

#[test]
fn a_plugin_that_is_put_back_knows_nothing_until_it_has_heard_again() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    assert_allowed(&sidecar.ask(0, &token), 1);
    control.revoke(1);
    sidecar.proxy.restart().unwrap();
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 503, "unsynced");
    }
    sidecar.sync(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
}

#[test]
fn a_history_that_begins_anew_is_followed_by_every_worker_and_revives_nobody() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.await_reports(&mut control, WORKERS);
    control.revoke(1);
    sidecar.push(&mut control);
    // The backup that was put back is older than the revocation.
    let (mut restored, _) = ControlPlane::with_an_agent();
    restored.next_epoch();
    sidecar.lose_stream();
    sidecar.sync(&mut restored);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
    }
    let late = restored.issue_token(2);
    sidecar.push(&mut restored);
    for outcome in sidecar.ask_all(&late) {
        assert_allowed(&outcome, 2);
    }
    sidecar.await_reports(&mut restored, WORKERS);
    assert!(sidecar.reported().iter().all(|worker| worker.epoch == 2));
}
