use proptest::prelude::*;

use super::*;
use crate::decision::DenyReason;
use crate::shorthand::{agent, agent_id, checked, delta, grant, opaque, token, verified};
use crate::standing::InFlight;
use crate::time::UnixMillis;
use crate::wire::{self, Status as OnWire, change::Change as Wire};

const NOW: UnixMillis = UnixMillis(600_000);

fn at(epoch: u64, revision: u64) -> Position {
    Position { epoch, revision: Revision(revision) }
}

fn active(n: u8) -> Wire {
    Wire::Agent(agent(n, OnWire::Active))
}

fn revoked(n: u8) -> Wire {
    Wire::Agent(agent(n, OnWire::Revoked))
}

fn revoked_token() -> Wire {
    Wire::Token(wire::Token { revoked: true, ..token(9, 1) })
}

/// Agent 1 with its grant, at revision 5.
fn synced() -> Authority {
    let records = checked([active(1), Wire::Grant(grant(1))]);
    Authority::default().reloaded(at(1, 5), records).unwrap()
}

fn status(authority: &Authority, n: u8) -> Option<Status> {
    authority.agents.get(&agent_id(n)).map(|agent| agent.standing.status)
}

fn known(authority: &Authority, n: u8) -> Option<TokenEntry> {
    authority.token(opaque(n).digest().fingerprint())
}

#[test]
fn the_state_starts_unsynced_and_takes_no_delta() {
    let mut authority = Authority::default();
    assert_eq!(authority.position(), None);
    assert!(matches!(authority.apply(&delta(1, 1, [])), Err(ApplyError::Gap { .. })));
    assert_eq!(authority.position(), None);
}

#[test]
fn a_delta_applies_only_to_the_revision_before_it() {
    let mut authority = synced();
    for (revision, gap) in [(4, false), (5, false), (7, true)] {
        let error = authority.apply(&delta(1, revision, [])).unwrap_err();
        assert_eq!(matches!(error, ApplyError::Gap { .. }), gap, "{error}");
    }
    assert!(matches!(authority.apply(&delta(2, 6, [])), Err(ApplyError::Gap { .. })));
    authority.apply(&delta(1, 6, [])).unwrap();
    assert_eq!(authority.position(), Some(at(1, 6)));
    let heartbeat = wire::update::Body::Heartbeat(wire::Heartbeat::default());
    assert_eq!(authority.apply(&verified(1, 7, heartbeat)), Err(ApplyError::NotADelta));
}

#[test]
fn an_older_base_never_brings_a_revoked_agent_back() {
    let mut authority = synced();
    authority.apply(&delta(1, 6, [revoked(1)])).unwrap();
    let old = authority.reloaded(at(1, 5), checked([active(1)]));
    assert!(matches!(old, Err(ApplyError::NotNewer { .. })));
    assert_eq!(status(&authority, 1), Some(Status::Revoked));
}

#[test]
fn a_new_base_replaces_all_that_is_not_irrevocable() {
    let mut authority = synced();
    authority.apply(&delta(1, 6, [Wire::Token(token(9, 1))])).unwrap();
    let authority = authority.reloaded(at(1, 9), checked([active(2)])).unwrap();
    assert_eq!(authority.position(), Some(at(1, 9)));
    assert_eq!((status(&authority, 1), status(&authority, 2)), (None, Some(Status::Active)));
    assert_eq!(known(&authority, 9), None);
    assert_eq!(authority.holder(GrantIndex::new(1).unwrap()), None);
}

#[test]
fn a_later_epoch_starts_with_a_base_whatever_its_revision() {
    let authority = synced().reloaded(at(2, 1), []).unwrap();
    assert_eq!(authority.position(), Some(at(2, 1)));
}

#[test]
fn a_revocation_is_never_undone_not_even_by_a_later_epoch() {
    let mut authority = synced();
    authority.apply(&delta(1, 6, [revoked(1), revoked_token()])).unwrap();
    let records = checked([active(1), Wire::Grant(grant(1))]);
    let mut authority = authority.reloaded(at(2, 1), records).unwrap();
    authority.apply(&delta(2, 2, [active(1), Wire::Token(token(9, 1))])).unwrap();
    assert_eq!(status(&authority, 1), Some(Status::Revoked));
    assert!(known(&authority, 9).unwrap().revoked);
    authority.rebase(at(2, 2));
    assert!(known(&authority, 9).unwrap().revoked);
}

#[test]
fn a_revocation_is_remembered_even_while_a_base_does_not_know_the_agent() {
    let mut authority = synced();
    authority.apply(&delta(1, 6, [revoked(1)])).unwrap();
    let authority = authority.reloaded(at(2, 1), []).unwrap();
    let authority = authority.reloaded(at(3, 1), checked([active(1)])).unwrap();
    assert_eq!(status(&authority, 1), Some(Status::Revoked));
}

#[test]
fn a_revoked_capability_stays_revoked_whatever_a_base_says() {
    let capability = |action: &str, status: OnWire, not_before_unix_seconds| {
        let standing = wire::Standing { not_before_unix_seconds, ..Default::default() };
        let standing = Some(wire::Standing { status: status.into(), ..standing });
        Wire::Capability(wire::Capability {
            agent_id: vec![1; 16],
            action: action.into(),
            standing,
        })
    };
    let mut authority = synced();
    let decided = [
        capability("charge", OnWire::Revoked, 0),
        capability("read", OnWire::Active, 500),
        capability("list", OnWire::Suspended, 0),
    ];
    authority.apply(&delta(1, 6, decided)).unwrap();
    for records in [
        vec![active(1), Wire::Grant(grant(1))],
        vec![active(1), Wire::Grant(grant(1)), capability("charge", OnWire::Active, 0)],
    ] {
        let authority = authority.reloaded(at(2, 1), checked(records)).unwrap();
        let token = TokenEntry {
            grant: GrantIndex::new(1).unwrap(),
            issued: UnixSeconds(100),
            expires: UnixSeconds(1_000),
            revoked: false,
        };
        let reason =
            |action| authority.check(&token, Some(action), NOW).map_err(|stop| stop.reason);
        assert_eq!(reason("charge"), Err(DenyReason::CapabilityRevoked));
        assert_eq!(reason("read"), Err(DenyReason::TokenSuperseded));
        assert_eq!(reason("list"), Ok(agent_id(1)));
        assert!(authority.check(&token, None, NOW).is_err());
    }
}

#[test]
fn a_suspension_is_undone_by_a_later_revision_and_a_not_before_is_not() {
    let mut authority = synced();
    let standing = |status: OnWire, not_before_unix_seconds| {
        let standing = wire::Standing { not_before_unix_seconds, ..Default::default() };
        let standing = wire::Standing { status: status.into(), ..standing };
        Wire::Agent(wire::Agent { standing: Some(standing), ..agent(1, status) })
    };
    authority.apply(&delta(1, 6, [standing(OnWire::Suspended, 500)])).unwrap();
    authority.apply(&delta(1, 7, [standing(OnWire::Active, 0)])).unwrap();
    assert_eq!(status(&authority, 1), Some(Status::Active));
    let entry = |issued| TokenEntry {
        grant: GrantIndex::new(1).unwrap(),
        issued: UnixSeconds(issued),
        expires: UnixSeconds(1_000),
        revoked: false,
    };
    let reason = authority.check(&entry(500), None, NOW).unwrap_err().reason;
    assert_eq!(reason, DenyReason::TokenSuperseded);
    assert_eq!(authority.check(&entry(501), None, NOW), Ok(agent_id(1)));
    let reloaded = authority.reloaded(at(2, 1), checked([active(1), Wire::Grant(grant(1))]));
    assert!(reloaded.unwrap().check(&entry(500), None, NOW).is_err());
}

#[test]
fn a_base_takes_over_the_tokens_that_it_holds() {
    let mut authority = synced();
    authority.apply(&delta(1, 6, [Wire::Token(token(8, 1)), revoked_token()])).unwrap();
    authority.apply(&delta(1, 7, [Wire::Token(token(7, 1))])).unwrap();
    authority.rebase(at(1, 6));
    assert_eq!(known(&authority, 8), None);
    assert!(known(&authority, 9).unwrap().revoked, "revoked, so remembered");
    assert!(known(&authority, 7).is_some(), "younger than the base");
}

#[test]
fn expired_tokens_are_forgotten_in_bounded_steps_and_no_others() {
    let mut authority = synced();
    let expiring = |n: u8| {
        let expires_unix_seconds = n.into();
        Wire::Token(wire::Token { revoked: true, expires_unix_seconds, ..token(n, 1) })
    };
    authority.apply(&delta(1, 6, (1..=9).map(expiring))).unwrap();
    authority.rebase(at(1, 6));
    let (mut cursor, mut steps) = (None, 0);
    loop {
        cursor = authority.forget_expired(UnixSeconds(4), cursor, 4);
        steps += 1;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((authority.token_count(), steps), (6, 3));
    assert!((4..=9).all(|n| known(&authority, n).is_some()));
}

#[test]
fn a_token_that_changed_after_the_base_is_not_forgotten_for_what_the_base_says_of_it() {
    let mut authority = synced();
    // In the base, it expires at second 1000; it is replaced, and expires sooner.
    let sooner = Wire::Token(wire::Token { expires_unix_seconds: 200, ..token(9, 1) });
    authority.apply(&delta(1, 6, [sooner])).unwrap();
    assert_eq!(authority.forget_expired(UnixSeconds(201), None, 9), None);
    assert_eq!(known(&authority, 9).map(|it| it.expires), Some(UnixSeconds(200)));
    authority.rebase(at(1, 6));
    assert_eq!(known(&authority, 9), None, "the base says so, too");
}

proptest! {
    /// Any order, loss and duplication of deltas: the state is always that of
    /// an unbroken prefix, so no agent is active after its revocation was seen.
    #[test]
    fn whatever_arrives_the_state_is_a_prefix(arrivals in prop::collection::vec(6u64..16, 0..60)) {
        let mut authority = synced();
        for revision in arrivals {
            // Revision 8 revokes agent 1; the others speak of others.
            let change = if revision == 8 { revoked(1) } else { active(3) };
            let _ = authority.apply(&delta(1, revision, [change]));
            let here = authority.position().unwrap().revision.0;
            let expected = if here >= 8 { Status::Revoked } else { Status::Active };
            prop_assert_eq!(status(&authority, 1), Some(expected));
        }
    }
}

#[test]
fn what_is_in_flight_is_ended_if_any_level_that_denies_says_so() {
    use wire::InFlight::{Abort, Drain};
    let said = |status: OnWire, in_flight: wire::InFlight| wire::Standing {
        status: status.into(),
        in_flight: in_flight.into(),
        ..Default::default()
    };
    let agent = |standing| {
        Wire::Agent(wire::Agent { standing: Some(standing), ..agent(1, OnWire::Active) })
    };
    let fleet = |standing| Wire::Fleet(wire::Fleet { standing: Some(standing) });
    let capability = |action: &str, standing| {
        let agent_id = vec![1; 16];
        Wire::Capability(wire::Capability {
            agent_id,
            action: action.into(),
            standing: Some(standing),
        })
    };
    let drained = said(OnWire::Suspended, Drain);
    let aborted = said(OnWire::Revoked, Abort);
    for (name, records, reason, ends) in [
        ("a drain alone", vec![agent(drained)], DenyReason::AgentSuspended, false),
        ("and its token", vec![agent(drained), revoked_token()], DenyReason::AgentSuspended, true),
        ("and above it", vec![fleet(drained), agent(aborted)], DenyReason::FleetHalted, true),
        ("below it", vec![fleet(aborted), agent(drained)], DenyReason::FleetHalted, true),
        (
            "two actions",
            vec![capability("a", drained), capability("b", aborted)],
            DenyReason::CapabilityRevoked,
            true,
        ),
    ] {
        let records = [vec![active(1), Wire::Grant(grant(1)), Wire::Token(token(9, 1))], records];
        let authority = Authority::default().reloaded(at(1, 5), checked(records.concat())).unwrap();
        let token = authority.token(opaque(9).digest().fingerprint()).unwrap();
        let stop = authority.stop(&token, None, None).unwrap();
        assert_eq!((stop.reason, stop.in_flight == InFlight::Abort), (reason, ends), "{name}");
        assert_eq!(authority.check(&token, None, NOW).unwrap_err().reason, reason, "{name}");
    }
}
