//! Everything that stops a capability token stops it on every worker, and reaches
//! what it has in flight.

use std::time::Duration;

use kya_core::CapabilityId;
use kya_core::jwt::Claims;
use kya_core::testing::capabilities::{
    ACTION, claims, delegated, delegated_claims, minted, policy, stops, taken_back,
};
use kya_core::testing::{agent_id, standing};
use kya_core::wire::{self, InFlight as Ending, Status, change::Change};
use kya_host_tests::kya::{ControlPlane, Denial, Sidecar, assert_allowed, assert_denied};
use kya_host_tests::{InFlight, Outcome, RequestState};
use serde_json::json;

const WORKERS: usize = 2;

fn running(records: impl IntoIterator<Item = Change>) -> (ControlPlane, Sidecar) {
    let mut control = ControlPlane::default();
    control.trust(&[0]);
    control.commit(records);
    let sidecar = Sidecar::acting(&mut control, WORKERS);
    sidecar.set_clock(&mut control);
    (control, sidecar)
}

/// A request that waits for its upstream.
fn waiting(sidecar: &mut Sidecar, worker: usize, token: &str) -> InFlight {
    let request = sidecar.begin_act(worker, ACTION, token);
    assert_eq!(sidecar.proxy.state(&request), RequestState::Forwarded);
    request
}

/// A request whose response has begun.
fn streaming(sidecar: &mut Sidecar, worker: usize, token: &str) -> InFlight {
    let request = waiting(sidecar, worker, token);
    assert!(sidecar.proxy.upstream_answers(&request, 200, &[], false));
    request
}

fn drains(status: Status) -> wire::Standing {
    let (status, in_flight) = (status.into(), Ending::Drain.into());
    wire::Standing { status, in_flight, not_before_unix_seconds: 0 }
}

#[test]
fn every_stop_denies_the_token_and_ends_its_requests_and_nobody_elses() {
    for stop in stops(ControlPlane::default().second()) {
        let (mut control, mut sidecar) = running(delegated());
        let now = ControlPlane::default().second();
        let token = minted(&delegated_claims(now));
        // Agent 8 is nobody's, and its token is a later one.
        control.register(8);
        sidecar.push(&mut control);
        let bystander = minted(&claims(8, now + 1));
        let live: Vec<_> = (0..WORKERS)
            .map(|worker| {
                (
                    waiting(&mut sidecar, worker, &token),
                    streaming(&mut sidecar, worker, &token),
                    waiting(&mut sidecar, worker, &bystander),
                )
            })
            .collect();
        control.change(stop.change.clone());
        sidecar.push(&mut control);
        for (waits, streams, other) in live {
            let answered = sidecar.proxy.finish(waits);
            assert_eq!(Denial::of(&answered).reason(), stop.reason, "{}", stop.what);
            assert_eq!(sidecar.proxy.finish(streams), Outcome::Reset, "{}", stop.what);
            if stop.reason == "fleet_halted" {
                assert_denied(&sidecar.proxy.finish(other), 403, stop.reason);
            } else {
                assert_allowed(&sidecar.proxy.finish(other), 8);
            }
        }
        for worker in 0..WORKERS {
            let outcome = sidecar.act(worker, ACTION, &token);
            assert_eq!(Denial::of(&outcome).reason(), stop.reason, "{}", stop.what);
        }
    }
}

#[test]
fn a_stop_that_arrives_with_a_whole_new_state_reaches_what_is_in_flight() {
    let now = ControlPlane::default().second();
    for stop in stops(now) {
        let (mut control, mut sidecar) = running(delegated());
        let token = minted(&delegated_claims(now));
        let waits = waiting(&mut sidecar, 0, &token);
        sidecar.lose_stream();
        control.change(stop.change.clone());
        control.next_epoch();
        sidecar.sync(&mut control);
        sidecar.proxy.run_until_idle();
        let answered = sidecar.proxy.finish(waits);
        assert_eq!(Denial::of(&answered).reason(), stop.reason, "{}", stop.what);
    }
}

#[test]
fn one_token_that_is_taken_back_leaves_the_agents_other_tokens() {
    let (mut control, mut sidecar) = running([]);
    let first = control.claims(1);
    let second = Claims { id: CapabilityId::from_bytes([77; 16]), ..first.clone() };
    let [of_first, of_second] = [&first, &second].map(|it| waiting(&mut sidecar, 0, &minted(it)));
    control.change(taken_back(&first));
    sidecar.push(&mut control);
    assert_denied(&sidecar.proxy.finish(of_first), 401, "token_revoked");
    assert_allowed(&sidecar.proxy.finish(of_second), 1);
    assert_allowed(&sidecar.act(0, ACTION, &minted(&second)), 1);
}

#[test]
fn that_an_agent_or_one_above_it_expires_denies_what_begins_and_ends_nothing() {
    for (expiring, reason) in [(1, "agent_expired"), (3, "delegator_stopped")] {
        let (mut control, mut sidecar) = running(delegated());
        let second = control.second();
        let token = minted(&delegated_claims(second));
        let record = delegated().into_iter().find_map(|record| match record {
            Change::Agent(agent) if agent.id == agent_id(expiring).to_bytes() => Some(agent),
            _ => None,
        });
        let expires_unix_seconds = second + 3;
        control.change(Change::Agent(wire::Agent { expires_unix_seconds, ..record.unwrap() }));
        sidecar.push(&mut control);
        let waits = waiting(&mut sidecar, 0, &token);
        sidecar.run(&mut control, Duration::from_secs(4));
        assert_denied(&sidecar.act(0, ACTION, &token), 403, reason);
        assert_allowed(&sidecar.proxy.finish(waits), 1);
    }
}

#[test]
fn a_suspension_that_drains_leaves_older_tokens_their_window_and_no_longer() {
    let document =
        json!({"name": "p", "allow": ["*"], "in_flight": "drain", "drain_window": "10s"});
    for (policy_id, window, gone) in
        [(vec![], 60, false), (vec![7; 16], 10, false), (vec![7; 16], 10, true)]
    {
        let (mut control, mut sidecar) = running([policy(7, 1, &document)]);
        let second = control.second();
        let before = minted(&control.claims(1));
        let after = minted(&claims(1, second + 1));
        let waits = waiting(&mut sidecar, 0, &before);
        let Change::Agent(agent) = standing(1, drains(Status::Suspended)) else { panic!() };
        let suspended_unix_seconds = second;
        control.change(Change::Agent(wire::Agent { policy_id, suspended_unix_seconds, ..agent }));
        sidecar.push(&mut control);
        assert_allowed(&sidecar.act(0, ACTION, &before), 1);
        assert_denied(&sidecar.act(0, ACTION, &after), 403, "agent_suspended");
        assert_denied(
            &sidecar.act(0, ACTION, &kya_core::testing::token(1)),
            403,
            "agent_suspended",
        );
        let left = (second + window) * 1_000_000_000 - sidecar.proxy.now();
        let left = Duration::from_nanos(left) - Duration::from_millis(1);
        if gone {
            // By the filter's own clock.
            (sidecar.serves_streams, sidecar.serves_calls) = (false, false);
            sidecar.lose_stream();
            sidecar.proxy.advance(left);
        } else {
            sidecar.run(&mut control, left);
        }
        assert_allowed(&sidecar.act(0, ACTION, &before), 1);
        sidecar.proxy.advance(Duration::from_millis(1));
        assert_denied(&sidecar.act(0, ACTION, &before), 403, "agent_suspended");
        assert_allowed(&sidecar.proxy.finish(waits), 1);
    }
}
