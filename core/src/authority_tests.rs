use super::*;
use crate::testing::{agent, agent_id, delta, opaque, snapshot, token};
use crate::update::Revision;
use crate::wire::{self, AgentStatus as AgentStatusOnWire, change::Change};
use proptest::prelude::*;

fn at(epoch: u64, revision: u64) -> Option<Position> {
    Some(Position { epoch, revision: Revision(revision) })
}

fn synced() -> Authority {
    let mut authority = Authority::default();
    let agents = vec![agent(1, AgentStatusOnWire::Active)];
    authority.apply(&snapshot(1, 5, agents, vec![token(9, 1)])).unwrap();
    authority
}

#[test]
fn the_state_starts_unsynced_and_takes_no_delta() {
    let mut authority = Authority::default();
    assert_eq!(authority.position(), None);
    assert!(matches!(authority.apply(&delta(1, 1, vec![])), Err(ApplyError::Gap { .. })));
    assert_eq!(authority.position(), None);
}

#[test]
fn a_delta_applies_only_to_the_revision_before_it() {
    let mut authority = synced();
    for (revision, gap) in [(4, false), (5, false), (7, true)] {
        let error = authority.apply(&delta(1, revision, vec![])).unwrap_err();
        assert_eq!(matches!(error, ApplyError::Gap { .. }), gap, "{error}");
    }
    assert!(matches!(authority.apply(&delta(2, 6, vec![])), Err(ApplyError::Gap { .. })));
    authority.apply(&delta(1, 6, vec![])).unwrap();
    assert_eq!(authority.position(), at(1, 6));
}

#[test]
fn an_older_snapshot_never_brings_a_revoked_agent_back() {
    let mut authority = synced();
    let revoke = Change::Agent(agent(1, AgentStatusOnWire::Revoked));
    authority.apply(&delta(1, 6, vec![revoke])).unwrap();
    let old = snapshot(1, 5, vec![agent(1, AgentStatusOnWire::Active)], vec![token(9, 1)]);
    assert!(matches!(authority.apply(&old), Err(ApplyError::NotNewer { .. })));
    assert_eq!(authority.agent(agent_id(1)), Some(AgentStatus::Revoked));
}

#[test]
fn a_snapshot_replaces_everything() {
    let mut authority = synced();
    authority.apply(&snapshot(1, 9, vec![agent(2, AgentStatusOnWire::Active)], vec![])).unwrap();
    assert_eq!(authority.position(), at(1, 9));
    assert_eq!(authority.agent(agent_id(1)), None);
    assert_eq!(authority.token(opaque(9).digest()), None);
}

#[test]
fn a_later_epoch_starts_with_a_snapshot_whatever_its_revision() {
    let mut authority = synced();
    authority.apply(&snapshot(2, 1, vec![], vec![])).unwrap();
    assert_eq!(authority.position(), at(2, 1));
}

#[test]
fn a_revocation_is_never_undone_not_even_by_a_later_epoch() {
    let mut authority = synced();
    let revoked = wire::Token { revoked: true, ..token(9, 1) };
    let revoke = vec![Change::Agent(agent(1, AgentStatusOnWire::Revoked)), Change::Token(revoked)];
    authority.apply(&delta(1, 6, revoke)).unwrap();
    let agents = vec![agent(1, AgentStatusOnWire::Active)];
    authority.apply(&snapshot(2, 1, agents, vec![token(9, 1)])).unwrap();
    let restore =
        vec![Change::Agent(agent(1, AgentStatusOnWire::Active)), Change::Token(token(9, 1))];
    authority.apply(&delta(2, 2, restore)).unwrap();
    assert_eq!(authority.agent(agent_id(1)), Some(AgentStatus::Revoked));
    assert!(authority.token(opaque(9).digest()).unwrap().revoked);
}

#[test]
fn a_suspension_is_undone_by_a_later_revision() {
    let mut authority = synced();
    for (revision, status) in [(6, AgentStatusOnWire::Suspended), (7, AgentStatusOnWire::Active)] {
        authority.apply(&delta(1, revision, vec![Change::Agent(agent(1, status))])).unwrap();
    }
    assert_eq!(authority.agent(agent_id(1)), Some(AgentStatus::Active));
}

#[test]
fn expired_tokens_are_forgotten_and_no_others() {
    let mut authority = synced();
    assert_eq!(authority.forget_expired(UnixSeconds(1_000)), 0);
    assert_eq!(authority.forget_expired(UnixSeconds(1_001)), 1);
    assert_eq!(authority.token_count(), 0);
}

proptest! {
    /// Any order, loss and duplication of deltas: the state is always that of
    /// an unbroken prefix, so no agent is active after its revocation was seen.
    #[test]
    fn whatever_arrives_the_state_is_a_prefix(arrivals in prop::collection::vec(6u64..16, 0..60)) {
        let mut authority = synced();
        for revision in arrivals {
            let status = if revision == 8 { AgentStatusOnWire::Revoked } else { AgentStatusOnWire::Active };
            let subject = if revision >= 8 { 1 } else { 2 };
            // Revision 8 revokes agent 1; later ones speak of others.
            let subject = if revision > 8 { 3 } else { subject };
            let change = Change::Agent(agent(subject, status));
            let _ = authority.apply(&delta(1, revision, vec![change]));
            let here = authority.position().unwrap().revision.0;
            let expected = if here >= 8 { AgentStatus::Revoked } else { AgentStatus::Active };
            prop_assert_eq!(authority.agent(agent_id(1)), Some(expected));
        }
    }
}
