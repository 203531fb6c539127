//! A version of a policy that permits less reaches what is in flight.

use std::time::Duration;

use kya_core::testing::agent_id;
use kya_core::testing::capabilities::{ACTION, OTHER_ACTION, minted, policy};
use kya_core::wire::{self, change::Change};
use kya_host_tests::RequestState;
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_allowed, assert_denied};
use serde_json::{Value, json};

const WORKERS: usize = 2;
const POLICY: u8 = 7;

/// A sidecar where agents 1 and 2 have this policy.
fn running(document: &Value) -> (ControlPlane, Sidecar) {
    let mut control = ControlPlane::default();
    control.trust(&[0]);
    let agents = [1, 2].map(|n| {
        Change::Agent(wire::Agent {
            id: agent_id(n).to_bytes().into(),
            standing: Some(kya_core::Standing::ACTIVE.into()),
            policy_id: vec![POLICY; 16],
            ..wire::Agent::default()
        })
    });
    control.commit([policy(POLICY, 1, document)].into_iter().chain(agents));
    let sidecar = Sidecar::acting(&mut control, WORKERS);
    (control, sidecar)
}

fn document(allow: &[&str], in_flight: &str) -> Value {
    json!({"name": "p", "allow": allow, "in_flight": in_flight, "drain_window": "5s"})
}

#[test]
fn less_ends_what_is_in_flight_where_the_new_version_aborts() {
    let (mut control, mut sidecar) = running(&document(&["*"], "drain"));
    let opaque = kya_core::testing::token(1);
    let capability = minted(&control.claims(2));
    let charges = [
        (1, sidecar.begin_act(0, ACTION, &opaque)),
        (2, sidecar.begin_act(1, ACTION, &capability)),
    ];
    let refunds = [
        sidecar.begin_act(0, OTHER_ACTION, &opaque),
        sidecar.begin_act(1, OTHER_ACTION, &capability),
    ];
    control.change(policy(POLICY, 2, &document(&["create_*"], "abort")));
    sidecar.push(&mut control);
    for request in refunds {
        assert_denied(&sidecar.proxy.finish(request), 403, "action_denied");
    }
    for (agent, request) in charges {
        assert_allowed(&sidecar.proxy.finish(request), agent);
    }
    assert_eq!(sidecar.proxy.metric("kya.in_flight.answered"), 2);
}

#[test]
fn less_lets_what_is_in_flight_end_where_the_new_version_drains() {
    let (mut control, mut sidecar) = running(&document(&["*"], "abort"));
    let opaque = kya_core::testing::token(1);
    let capability = minted(&control.claims(2));
    let live = [
        (1, sidecar.begin_act(0, OTHER_ACTION, &opaque)),
        (2, sidecar.begin_act(1, OTHER_ACTION, &capability)),
    ];
    control.change(policy(POLICY, 2, &document(&["create_*"], "drain")));
    sidecar.push(&mut control);
    for worker in 0..WORKERS {
        assert_denied(&sidecar.act(worker, OTHER_ACTION, &opaque), 403, "action_denied");
        assert_denied(&sidecar.act(worker, OTHER_ACTION, &capability), 403, "action_denied");
    }
    // The window is for capability tokens after a suspension; a request has none.
    sidecar.run(&mut control, Duration::from_secs(7));
    for (agent, request) in live {
        assert_eq!(sidecar.proxy.state(&request), RequestState::Forwarded);
        assert_allowed(&sidecar.proxy.finish(request), agent);
    }
}

#[test]
fn another_service_or_a_policy_of_its_own_reaches_what_is_in_flight() {
    let (mut control, mut sidecar) = running(&document(&["*"], "abort"));
    let (one, two) = (kya_core::testing::token(1), kya_core::testing::token(2));
    let (of_one, of_two) = (sidecar.begin_act(0, ACTION, &one), sidecar.begin_act(0, ACTION, &two));
    let narrow = json!({"name": "q", "allow": ["read_*"]});
    let agent = wire::Agent {
        id: agent_id(1).to_bytes().into(),
        standing: Some(kya_core::Standing::ACTIVE.into()),
        policy_id: vec![8; 16],
        ..wire::Agent::default()
    };
    control.commit([policy(8, 1, &narrow), Change::Agent(agent)]);
    sidecar.push(&mut control);
    assert_denied(&sidecar.proxy.finish(of_one), 403, "action_denied");
    assert_eq!(sidecar.proxy.state(&of_two), RequestState::Forwarded);
    let elsewhere = json!({"name": "p", "allow": ["*"], "services": ["ledger"]});
    control.change(policy(POLICY, 2, &elsewhere));
    sidecar.push(&mut control);
    assert_denied(&sidecar.proxy.finish(of_two), 403, "service_denied");
}

#[test]
fn more_ends_nothing_and_a_version_that_is_rolled_back_permits_again() {
    let (mut control, mut sidecar) = running(&document(&["create_*"], "abort"));
    let token = kya_core::testing::token(1);
    let live = sidecar.begin_act(0, ACTION, &token);
    assert_denied(&sidecar.act(0, OTHER_ACTION, &token), 403, "action_denied");
    control.change(policy(POLICY, 2, &document(&["*"], "abort")));
    sidecar.push(&mut control);
    for worker in 0..WORKERS {
        assert_allowed(&sidecar.act(worker, OTHER_ACTION, &token), 1);
    }
    control.change(policy(POLICY, 3, &document(&["create_*"], "abort")));
    sidecar.push(&mut control);
    for worker in 0..WORKERS {
        assert_denied(&sidecar.act(worker, OTHER_ACTION, &token), 403, "action_denied");
    }
    assert_allowed(&sidecar.proxy.finish(live), 1);
    assert_eq!(sidecar.proxy.metric("kya.in_flight.answered"), 0);
}

#[test]
fn a_policy_that_is_not_in_the_state_permits_nothing() {
    let mut control = ControlPlane::default();
    control.change(Change::Agent(wire::Agent {
        id: agent_id(1).to_bytes().into(),
        standing: Some(kya_core::Standing::ACTIVE.into()),
        policy_id: vec![9; 16],
        ..wire::Agent::default()
    }));
    let mut sidecar = Sidecar::acting(&mut control, WORKERS);
    let token = kya_core::testing::token(1);
    assert_denied(&sidecar.act(0, ACTION, &token), 403, "action_denied");
}
