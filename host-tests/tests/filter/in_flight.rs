//! A kill reaches into what is in flight.

use std::time::Duration;

use kya_core::OpaqueToken;
use kya_core::testing::{agent_id, token};
use kya_core::wire::{InFlight as Ending, Standing, Status};
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_allowed, assert_denied, bearer};
use kya_host_tests::{InFlight, Outcome, RequestState, VmName};

const WORKERS: usize = 2;

fn begin(sidecar: &mut Sidecar, worker: usize, token: &OpaqueToken) -> InFlight {
    let request = sidecar.proxy.begin(worker, &[("authorization", &bearer(token))]);
    assert_eq!(sidecar.proxy.state(&request), RequestState::Forwarded);
    request
}

/// A request whose response has begun.
fn streaming(sidecar: &mut Sidecar, worker: usize, token: &OpaqueToken) -> InFlight {
    let request = begin(sidecar, worker, token);
    assert!(sidecar.proxy.upstream_answers(&request, 200, &[], false));
    assert!(sidecar.proxy.upstream_sends(&request, b"data: 1\n\n", false));
    request
}

/// A sidecar whose workers can be woken.
fn running(control: &mut ControlPlane) -> Sidecar {
    let mut sidecar = Sidecar::synced(control, WORKERS);
    sidecar.await_reports(control, WORKERS);
    sidecar
}

fn ending(status: Status, in_flight: Ending) -> Standing {
    Standing { status: status.into(), in_flight: in_flight.into(), not_before_unix_seconds: 0 }
}

#[test]
fn what_waits_is_answered_and_what_streams_is_reset_and_nobody_else_is_touched() {
    let (mut control, killed) = ControlPlane::with_an_agent();
    let other = token(2);
    let mut sidecar = running(&mut control);
    for worker in 0..WORKERS {
        let waits = begin(&mut sidecar, worker, &killed);
        let streams = streaming(&mut sidecar, worker, &killed);
        let (other_waits, other_streams) =
            (begin(&mut sidecar, worker, &other), streaming(&mut sidecar, worker, &other));
        if worker == WORKERS - 1 {
            control.revoke(1);
            sidecar.push(&mut control);
            assert_denied(&sidecar.proxy.finish(waits), 403, "agent_revoked");
            assert_eq!(sidecar.proxy.state(&streams), RequestState::Reset);
            assert_eq!(sidecar.proxy.finish(streams), Outcome::Reset);
        } else {
            assert_allowed(&sidecar.proxy.finish(waits), 1);
            assert_allowed(&sidecar.proxy.finish(streams), 1);
        }
        assert_eq!(sidecar.proxy.state(&other_waits), RequestState::Forwarded);
        assert_eq!(sidecar.proxy.state(&other_streams), RequestState::Streaming);
        assert_allowed(&sidecar.proxy.finish(other_waits), 2);
        assert_allowed(&sidecar.proxy.finish(other_streams), 2);
    }
    let metric = |name| sidecar.proxy.metric(name);
    assert_eq!((metric("kya.in_flight.answered"), metric("kya.in_flight.reset")), (1, 1));
    assert_eq!(metric("kya.in_flight.failed"), 0);
    sidecar.run(&mut control, Duration::from_secs(6));
    assert_eq!(sidecar.reported().iter().map(|worker| worker.cut).sum::<u64>(), 2);
}

#[test]
fn every_level_that_denies_ends_what_is_in_flight() {
    use kya_core::wire::change::Change;
    use kya_core::wire::{Capability, Fleet};
    let halted = ending(Status::Suspended, Ending::Abort);
    let cases: [(Change, &str); 3] = [
        (Change::Fleet(Fleet { standing: Some(halted) }), "fleet_halted"),
        (
            Change::Capability(Capability {
                agent_id: agent_id(1).to_bytes().into(),
                action: "charge".to_owned(),
                standing: Some(ending(Status::Revoked, Ending::Abort)),
            }),
            "capability_revoked",
        ),
        (
            Change::Agent(kya_core::wire::Agent {
                id: agent_id(1).to_bytes().into(),
                // The token was issued at second 100.
                standing: Some(Standing {
                    not_before_unix_seconds: 100,
                    ..ending(Status::Active, Ending::Abort)
                }),
                ..kya_core::wire::Agent::default()
            }),
            "token_superseded",
        ),
    ];
    for (change, reason) in cases {
        let (mut control, token) = ControlPlane::with_an_agent();
        let mut sidecar = running(&mut control);
        let waits = begin(&mut sidecar, 0, &token);
        control.change(change);
        sidecar.push(&mut control);
        let Outcome::LocalResponse(response) = sidecar.proxy.finish(waits) else {
            panic!("{reason}")
        };
        let body = String::from_utf8_lossy(&response.body).into_owned();
        assert!(body.contains(reason), "{body}");
    }
}

#[test]
fn one_token_that_is_taken_back_ends_its_own_requests() {
    let (mut control, first) = ControlPlane::with_an_agent();
    let second = control.issue_token(1);
    let mut sidecar = running(&mut control);
    let (of_first, of_second) = (begin(&mut sidecar, 0, &first), begin(&mut sidecar, 0, &second));
    control.revoke_token(&first);
    sidecar.push(&mut control);
    assert_denied(&sidecar.proxy.finish(of_first), 401, "token_revoked");
    assert_allowed(&sidecar.proxy.finish(of_second), 1);
}

#[test]
fn what_may_drain_ends_by_itself_and_nothing_new_begins() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = running(&mut control);
    let (waits, streams) = (begin(&mut sidecar, 0, &token), streaming(&mut sidecar, 1, &token));
    control.stand(1, ending(Status::Suspended, Ending::Drain));
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_suspended");
    }
    sidecar.run(&mut control, Duration::from_secs(5));
    assert_eq!(sidecar.proxy.state(&streams), RequestState::Streaming);
    assert_allowed(&sidecar.proxy.finish(waits), 1);
    // What still runs when the draining is over is ended then.
    control.stand(1, ending(Status::Revoked, Ending::Abort));
    sidecar.push(&mut control);
    assert_eq!(sidecar.proxy.finish(streams), Outcome::Reset);
}

#[test]
fn thousands_at_once_end_in_portions_and_each_once() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let other = kya_core::testing::token(2);
    let mut sidecar = running(&mut control);
    let mut waiting = Vec::new();
    let mut flowing = Vec::new();
    for _ in 0..1_500 {
        waiting.push(begin(&mut sidecar, 0, &token));
        flowing.push(streaming(&mut sidecar, 0, &token));
    }
    let bystander = begin(&mut sidecar, 0, &other);
    sidecar.proxy.forget_costs();
    control.revoke(1);
    sidecar.push(&mut control);
    for request in waiting {
        assert_denied(&sidecar.proxy.finish(request), 403, "agent_revoked");
    }
    for request in flowing {
        assert_eq!(sidecar.proxy.finish(request), Outcome::Reset);
    }
    assert_allowed(&sidecar.proxy.finish(bystander), 2);
    assert_eq!(sidecar.proxy.metric("kya.in_flight.answered"), 1_500);
    assert_eq!(sidecar.proxy.metric("kya.in_flight.reset"), 1_500);
    let cost = sidecar.proxy.costliest_call(VmName::Worker(0)).unwrap();
    assert!(cost.fuel < 20_000_000, "one callback ends so many and no more: {cost:?}");
}

#[test]
fn a_request_that_ended_by_itself_is_not_touched_again() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = running(&mut control);
    let answered = begin(&mut sidecar, 0, &token);
    let left = begin(&mut sidecar, 0, &token);
    assert!(sidecar.proxy.upstream_answers(&answered, 200, &[], true));
    assert!(sidecar.proxy.client_leaves(&left));
    let lost = begin(&mut sidecar, 0, &token);
    assert!(sidecar.proxy.upstream_leaves(&lost));
    control.revoke(1);
    sidecar.push(&mut control);
    assert_allowed(&sidecar.proxy.finish(answered), 1);
    assert_eq!(sidecar.proxy.state(&left), RequestState::ClientLeft);
    assert_eq!(sidecar.proxy.state(&lost), RequestState::AnsweredByProxy(503));
    let _ = (sidecar.proxy.finish(left), sidecar.proxy.finish(lost));
    assert_eq!(sidecar.proxy.metric("kya.in_flight.answered"), 0);
    assert_eq!(sidecar.proxy.metric("kya.in_flight.reset"), 0);
}

#[test]
fn a_kept_alive_connection_is_decided_anew_at_each_request() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = running(&mut control);
    for _ in 0..3 {
        assert_allowed(&sidecar.ask(0, &token), 1);
    }
    sidecar.proxy.lose_wakes(true);
    control.revoke(1);
    sidecar.push(&mut control);
    for _ in 0..3 {
        assert_denied(&sidecar.ask(0, &token), 403, "agent_revoked");
    }
}

#[test]
fn a_lost_wake_up_ends_what_is_in_flight_at_the_next_tick() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = running(&mut control);
    let waits = begin(&mut sidecar, 0, &token);
    sidecar.proxy.lose_wakes(true);
    control.revoke(1);
    sidecar.push(&mut control);
    assert_eq!(sidecar.proxy.state(&waits), RequestState::Forwarded);
    sidecar.run(&mut control, Duration::from_millis(300));
    assert_denied(&sidecar.proxy.finish(waits), 403, "agent_revoked");
}

#[test]
fn a_kill_among_other_requests_of_the_worker_is_carried_out_all_the_same() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let other = kya_core::testing::token(2);
    let mut sidecar = running(&mut control);
    let waits = begin(&mut sidecar, 0, &token);
    sidecar.proxy.lose_wakes(true);
    control.revoke(1);
    sidecar.push(&mut control);
    // The worker applies the change because of a request of somebody else, in
    // which nothing may be done to the others.
    assert_allowed(&sidecar.ask(0, &other), 2);
    assert_eq!(sidecar.proxy.state(&waits), RequestState::Forwarded);
    sidecar.run(&mut control, Duration::from_millis(300));
    assert_denied(&sidecar.proxy.finish(waits), 403, "agent_revoked");
}

#[test]
fn a_kill_that_arrives_with_a_whole_new_state_ends_what_is_in_flight() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = running(&mut control);
    let waits = begin(&mut sidecar, 0, &token);
    let survives = begin(&mut sidecar, 0, &kya_core::testing::token(2));
    sidecar.lose_stream();
    control.revoke(1);
    control.next_epoch();
    sidecar.sync(&mut control);
    sidecar.proxy.run_until_idle();
    assert_denied(&sidecar.proxy.finish(waits), 403, "agent_revoked");
    assert_allowed(&sidecar.proxy.finish(survives), 2);
}
