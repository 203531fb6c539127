use super::*;
use crate::testing::{agent, agent_id, delta, opaque, snapshot, token, token_id};
use crate::update::Revision;
use crate::wire::{self, change::Change};

const BEFORE_EXPIRY: UnixMillis = UnixMillis(999_999);
const AT_EXPIRY: UnixMillis = UnixMillis(1_000_000);

fn presenting(n: u8) -> Request {
    Request { credential: Credential::Opaque(opaque(n).digest()) }
}

fn authority(agents: Vec<wire::Agent>, tokens: Vec<wire::Token>) -> Authority {
    let mut authority = Authority::default();
    authority.apply(&snapshot(1, 5, agents, tokens)).unwrap();
    authority
}

fn reason(decision: Decision) -> Option<DenyReason> {
    match decision {
        Decision::Allow { .. } => None,
        Decision::Deny { reason, .. } => Some(reason),
    }
}

#[test]
fn an_active_agent_with_a_live_token_is_allowed_by_name() {
    let authority = authority(vec![agent(1, wire::AgentStatus::Active)], vec![token(9, 1)]);
    assert_eq!(
        decide(&authority, &presenting(9), BEFORE_EXPIRY),
        Decision::Allow {
            agent_id: agent_id(1),
            token_id: token_id(9),
            position: Position { epoch: 1, revision: Revision(5) },
        }
    );
}

#[test]
fn nothing_is_allowed_before_the_first_snapshot() {
    let empty = Authority::default();
    for credential in [Credential::Missing, Credential::Malformed, presenting(9).credential] {
        let decision = decide(&empty, &Request { credential }, BEFORE_EXPIRY);
        assert_eq!(
            decision,
            Decision::Deny { reason: DenyReason::Unsynced, agent_id: None, position: None }
        );
    }
}

#[test]
fn what_is_presented_decides_the_reason() {
    let authority = authority(vec![agent(1, wire::AgentStatus::Active)], vec![token(9, 1)]);
    for (credential, expected) in [
        (Credential::Missing, DenyReason::TokenMissing),
        (Credential::Multiple, DenyReason::MultipleCredentials),
        (Credential::Malformed, DenyReason::TokenMalformed),
        (presenting(8).credential, DenyReason::TokenUnknown),
    ] {
        let decision = decide(&authority, &Request { credential }, BEFORE_EXPIRY);
        assert_eq!(reason(decision), Some(expected));
        assert!(matches!(decision, Decision::Deny { agent_id: None, .. }));
    }
}

#[test]
fn a_token_counts_until_the_second_at_which_it_expires() {
    let authority = authority(vec![agent(1, wire::AgentStatus::Active)], vec![token(9, 1)]);
    assert_eq!(reason(decide(&authority, &presenting(9), BEFORE_EXPIRY)), None);
    let late = decide(&authority, &presenting(9), AT_EXPIRY);
    assert_eq!(reason(late), Some(DenyReason::TokenExpired));
}

#[test]
fn a_holder_that_is_not_active_is_denied_whatever_its_token() {
    for (status, expected) in [
        (wire::AgentStatus::Suspended, DenyReason::AgentSuspended),
        (wire::AgentStatus::Revoked, DenyReason::AgentRevoked),
        (wire::AgentStatus::Unspecified, DenyReason::AgentRevoked),
    ] {
        let authority = authority(vec![agent(1, status)], vec![token(9, 1)]);
        for now in [BEFORE_EXPIRY, AT_EXPIRY] {
            let decision = decide(&authority, &presenting(9), now);
            assert_eq!(reason(decision), Some(expected));
            assert!(
                matches!(decision, Decision::Deny { agent_id: Some(id), .. } if id == agent_id(1))
            );
        }
    }
}

#[test]
fn a_token_without_a_holder_is_denied() {
    let authority = authority(vec![], vec![token(9, 1)]);
    let decision = decide(&authority, &presenting(9), BEFORE_EXPIRY);
    assert_eq!(reason(decision), Some(DenyReason::AgentRevoked));
}

#[test]
fn revoking_one_agent_or_one_token_touches_no_other() {
    let agents = vec![agent(1, wire::AgentStatus::Active), agent(2, wire::AgentStatus::Active)];
    let mut authority = authority(agents, vec![token(7, 1), token(8, 2), token(9, 2)]);
    let revoked = wire::Token { revoked: true, ..token(8, 2) };
    authority
        .apply(&delta(1, 6, vec![Change::Agent(agent(1, wire::AgentStatus::Revoked))]))
        .unwrap();
    authority.apply(&delta(1, 7, vec![Change::Token(revoked)])).unwrap();
    let ask = |n| reason(decide(&authority, &presenting(n), BEFORE_EXPIRY));
    assert_eq!(ask(7), Some(DenyReason::AgentRevoked));
    assert_eq!(ask(8), Some(DenyReason::TokenRevoked));
    assert_eq!(ask(9), None);
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = DenyReason::ALL.iter().map(|r| r.name()).collect();
    assert_eq!(names.len(), DenyReason::ALL.len());
}
