//! Sub-agents: whoever acts for another is stopped with it, and may do no more.

use kya_core::testing::capabilities::{ACTION, OTHER_ACTION, minted, policy};
use kya_core::testing::{agent_id, grant};
use kya_core::wire::{self, Capability, InFlight as Ending, Status, change::Change};
use kya_core::{MAX_DELEGATION, OpaqueToken};
use kya_host_tests::kya::{ControlPlane, Denial, Sidecar, assert_allowed, assert_denied};
use kya_host_tests::{Outcome, RequestState};
use serde_json::json;

const WORKERS: usize = 2;

fn standing(status: Status, in_flight: Ending) -> wire::Standing {
    let (status, in_flight) = (status.into(), in_flight.into());
    wire::Standing { status, in_flight, not_before_unix_seconds: 0 }
}

/// Agent `n` with this standing, who acts for agent `parent`.
fn below(n: u8, parent: Option<u8>, standing: wire::Standing) -> wire::Agent {
    wire::Agent {
        id: agent_id(n).to_bytes().into(),
        standing: Some(standing),
        parent_id: parent.map_or(vec![], |parent| agent_id(parent).to_bytes().into()),
        ..wire::Agent::default()
    }
}

fn active(n: u8, parent: Option<u8>) -> Change {
    Change::Agent(below(n, parent, standing(Status::Active, Ending::Abort)))
}

/// Agents 10, 11, 12 and so on, each acting for the one before, and an opaque token
/// of each.
fn family(control: &mut ControlPlane, generations: u8) -> Vec<OpaqueToken> {
    control.trust(&[0]);
    let one = |n: u8| {
        control.commit([active(n, (n > 10).then(|| n - 1)), grant(n)]);
        control.issue_token(n)
    };
    (10..10 + generations).map(one).collect()
}

#[test]
fn a_stop_reaches_every_generation_below_it_and_none_above() {
    let mut control = ControlPlane::default();
    let tokens = family(&mut control, 4);
    let mut sidecar = Sidecar::acting(&mut control, WORKERS);
    let capabilities: Vec<_> = (10..14).map(|n| minted(&control.claims(n))).collect();
    let waits: Vec<_> = (0..4)
        .flat_map(|at| {
            let opaque = sidecar.begin_act(1, ACTION, &tokens[at]);
            [(at, opaque), (at, sidecar.begin_act(0, ACTION, &capabilities[at]))]
        })
        .collect();
    control.change(Change::Agent(below(11, Some(10), standing(Status::Suspended, Ending::Abort))));
    sidecar.push(&mut control);
    let expected =
        [None, Some("agent_suspended"), Some("delegator_stopped"), Some("delegator_stopped")];
    let agent = |at: usize| 10 + u8::try_from(at).unwrap();
    let is_as_expected = |outcome: &Outcome, at: usize| match expected[at] {
        None => assert_allowed(outcome, agent(at)),
        Some(reason) => {
            assert_denied(outcome, 403, reason);
            assert_eq!(Denial::of(outcome).problem["agent_id"], agent_id(agent(at)).to_string());
        }
    };
    for (at, request) in waits {
        is_as_expected(&sidecar.proxy.finish(request), at);
    }
    for (at, worker) in (0..4).flat_map(|at| (0..WORKERS).map(move |worker| (at, worker))) {
        is_as_expected(&sidecar.act(worker, ACTION, &tokens[at]), at);
        is_as_expected(&sidecar.act(worker, ACTION, &capabilities[at]), at);
    }
    // What was suspended comes back with all that act for it.
    control.change(active(11, Some(10)));
    sidecar.push(&mut control);
    for (at, token) in tokens.iter().enumerate() {
        assert_allowed(&sidecar.act(0, ACTION, token), agent(at));
    }
}

#[test]
fn a_drain_above_lets_requests_below_end_and_nothing_begin() {
    let mut control = ControlPlane::default();
    let tokens = family(&mut control, 3);
    let mut sidecar = Sidecar::acting(&mut control, WORKERS);
    let waits = sidecar.begin_act(0, ACTION, &tokens[2]);
    control.change(Change::Agent(below(10, None, standing(Status::Revoked, Ending::Drain))));
    sidecar.push(&mut control);
    assert_denied(&sidecar.act(0, ACTION, &tokens[2]), 403, "delegator_stopped");
    assert_eq!(sidecar.proxy.state(&waits), RequestState::Forwarded);
    // The strictest of the two that stop it says what becomes of it.
    control.change(Change::Agent(below(11, Some(10), standing(Status::Revoked, Ending::Abort))));
    sidecar.push(&mut control);
    assert_denied(&sidecar.proxy.finish(waits), 403, "delegator_stopped");
}

#[test]
fn a_sub_agent_that_was_just_registered_acts_and_is_stopped_with_its_parent() {
    let mut control = ControlPlane::default();
    let tokens = family(&mut control, 1);
    let mut sidecar = Sidecar::acting(&mut control, WORKERS);
    assert_allowed(&sidecar.act(0, ACTION, &tokens[0]), 10);
    control.commit([active(11, Some(10)), grant(11)]);
    let token = control.issue_token(11);
    sidecar.push(&mut control);
    let live = sidecar.begin_act(0, ACTION, &token);
    control.revoke(10);
    sidecar.push(&mut control);
    assert_denied(&sidecar.proxy.finish(live), 403, "delegator_stopped");
    for worker in 0..WORKERS {
        assert_denied(&sidecar.act(worker, ACTION, &token), 403, "delegator_stopped");
    }
}

#[test]
fn nobody_acts_for_too_many_or_for_one_that_is_not_known_or_for_itself() {
    let mut control = ControlPlane::default();
    let generations = u8::try_from(MAX_DELEGATION).unwrap() + 2;
    let tokens = family(&mut control, generations);
    control.commit([active(1, Some(99)), active(2, Some(2))]);
    let mut sidecar = Sidecar::acting(&mut control, 1);
    let last = tokens.len() - 1;
    assert_allowed(&sidecar.act(0, ACTION, &tokens[last - 1]), generations + 8);
    assert_denied(&sidecar.act(0, ACTION, &tokens[last]), 403, "delegator_stopped");
    for n in [1, 2] {
        let token = kya_core::testing::token(n);
        assert_denied(&sidecar.act(0, ACTION, &token), 403, "delegator_stopped");
        let capability = minted(&control.claims(n));
        assert_denied(&sidecar.act(0, ACTION, &capability), 403, "delegator_stopped");
    }
}

#[test]
fn a_sub_agent_may_do_no_more_than_those_for_whom_it_acts() {
    let mut control = ControlPlane::default();
    let tokens = family(&mut control, 2);
    let mut sidecar = Sidecar::acting(&mut control, WORKERS);
    let revoked = Some(standing(Status::Revoked, Ending::Abort));
    let agent = agent_id(10).to_bytes().to_vec();
    let charges = Capability { agent_id: agent.clone(), action: ACTION.into(), standing: revoked };
    let waits = sidecar.begin_act(0, ACTION, &tokens[1]);
    let other = sidecar.begin_act(0, OTHER_ACTION, &tokens[1]);
    control.change(Change::Capability(charges));
    sidecar.push(&mut control);
    assert_denied(&sidecar.proxy.finish(waits), 403, "delegator_stopped");
    assert_denied(&sidecar.act(0, ACTION, &tokens[1]), 403, "delegator_stopped");
    assert_denied(&sidecar.act(0, ACTION, &tokens[0]), 403, "capability_revoked");
    // A policy above it limits it as its own would.
    let reads = json!({"name": "reads", "allow": ["read_*"], "in_flight": "abort"});
    let above = wire::Agent {
        policy_id: vec![7; 16],
        ..below(10, None, standing(Status::Active, Ending::Abort))
    };
    control.commit([policy(7, 1, &reads), Change::Agent(above)]);
    sidecar.push(&mut control);
    assert_denied(&sidecar.proxy.finish(other), 403, "delegator_stopped");
    for worker in 0..WORKERS {
        assert_denied(&sidecar.act(worker, OTHER_ACTION, &tokens[1]), 403, "action_denied");
        assert_allowed(&sidecar.act(worker, "read_ledger", &tokens[1]), 11);
    }
}
