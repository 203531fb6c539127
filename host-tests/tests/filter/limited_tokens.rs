//! Opaque tokens for some services and some actions alone.

use kya_core::OpaqueToken;
use kya_core::testing::agent_id;
use kya_core::testing::capabilities::{ACTION, OTHER_ACTION, SERVICE, policy};
use kya_core::wire::{self, change::Change};
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_allowed, assert_denied};
use serde_json::json;

const WORKERS: usize = 2;
/// The number of a limited grant of agent 1.
const LIMITED: u8 = 77;

/// A token of agent 1 for these services and actions.
fn limited(control: &mut ControlPlane, services: &[&str], actions: &[&str]) -> OpaqueToken {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    control.change(Change::Grant(wire::Grant {
        index: LIMITED.into(),
        agent_id: agent_id(1).to_bytes().into(),
        services: texts(services),
        actions: texts(actions),
    }));
    // A token names its grant, not its holder.
    control.issue_token(LIMITED)
}

#[test]
fn a_token_is_for_its_services_and_actions_and_for_nothing_else() {
    for (services, actions, expected) in [
        (&[][..], &[][..], [None, None, None]),
        (&[SERVICE], &[], [None, None, None]),
        (
            &["ledger", SERVICE],
            &[ACTION],
            [None, Some("insufficient_scope"), Some("action_unknown")],
        ),
        (&[], &[OTHER_ACTION], [Some("insufficient_scope"), None, Some("action_unknown")]),
        (&["ledger"], &[], [Some("wrong_audience"); 3]),
        (&["Payments", "payments2", "pay"], &[ACTION], [Some("wrong_audience"); 3]),
    ] {
        let mut control = ControlPlane::default();
        let token = limited(&mut control, services, actions);
        let mut sidecar = Sidecar::acting(&mut control, WORKERS);
        for worker in 0..WORKERS {
            for (action, expected) in [ACTION, OTHER_ACTION, "elsewhere"].into_iter().zip(expected)
            {
                let outcome = sidecar.act(worker, action, &token);
                match expected {
                    None => assert_allowed(&outcome, 1),
                    Some("wrong_audience") => assert_denied(&outcome, 401, "wrong_audience"),
                    Some(reason) => assert_denied(&outcome, 403, reason),
                }
            }
        }
    }
}

#[test]
fn a_token_that_is_limited_to_a_service_is_for_none_where_nobody_says_which_this_is() {
    let mut control = ControlPlane::default();
    let token = limited(&mut control, &[SERVICE], &[]);
    let mut sidecar = Sidecar::synced(&mut control, 1);
    assert_denied(&sidecar.act(0, ACTION, &token), 401, "wrong_audience");
}

#[test]
fn a_limited_token_that_was_just_issued_counts_at_once_and_ends_as_others_do() {
    let mut control = ControlPlane::default();
    let mut sidecar = Sidecar::acting(&mut control, WORKERS);
    let token = limited(&mut control, &[SERVICE], &[ACTION]);
    sidecar.push(&mut control);
    let (one, other) = (sidecar.begin_act(0, ACTION, &token), kya_core::testing::token(1));
    let of_other = sidecar.begin_act(0, ACTION, &other);
    control.revoke_token(&token);
    sidecar.push(&mut control);
    assert_denied(&sidecar.proxy.finish(one), 401, "token_revoked");
    assert_allowed(&sidecar.proxy.finish(of_other), 1);
    assert_denied(&sidecar.act(1, ACTION, &token), 401, "token_revoked");
}

#[test]
fn what_a_grant_is_for_can_never_be_changed() {
    let mut control = ControlPlane::default();
    let token = limited(&mut control, &[SERVICE], &[ACTION]);
    let mut sidecar = Sidecar::acting(&mut control, WORKERS);
    let wider = limited(&mut control, &[], &[]);
    sidecar.push(&mut control);
    for token in [&token, &wider] {
        assert_denied(&sidecar.act(0, OTHER_ACTION, token), 403, "insufficient_scope");
        assert_allowed(&sidecar.act(0, ACTION, token), 1);
    }
}

#[test]
fn a_limited_token_does_not_widen_the_policy_of_its_agent() {
    let mut control = ControlPlane::default();
    let token = limited(&mut control, &[SERVICE], &[ACTION, OTHER_ACTION]);
    let agent = wire::Agent {
        id: agent_id(1).to_bytes().into(),
        standing: Some(kya_core::Standing::ACTIVE.into()),
        policy_id: vec![7; 16],
        ..wire::Agent::default()
    };
    let document = json!({"name": "charges", "allow": [ACTION]});
    control.commit([policy(7, 1, &document), Change::Agent(agent)]);
    let mut sidecar = Sidecar::acting(&mut control, WORKERS);
    assert_allowed(&sidecar.act(0, ACTION, &token), 1);
    assert_denied(&sidecar.act(0, OTHER_ACTION, &token), 403, "action_denied");
}
