use proptest::prelude::*;

use super::*;
use crate::image::Image;
use crate::shorthand::{agent, agent_id, changes, checked, delta, grant, opaque, token};
use crate::update::Revision;
use crate::wire::{self, change::Change};

pub(super) const BEFORE_EXPIRY: Moment =
    Moment { now: UnixMillis(999_999), state_age: 0, max_staleness: Some(60_000) };
const AT_EXPIRY: Moment = Moment { now: UnixMillis(1_000_000), ..BEFORE_EXPIRY };
const STALE: Moment = Moment { state_age: 60_001, ..BEFORE_EXPIRY };

pub(super) fn presenting(n: u8) -> Request<'static> {
    asking(Credential::Opaque(opaque(n).digest()))
}

fn asking(credential: Credential<'static>) -> Request<'static> {
    Request { credential, action: None, service: None }
}

pub(super) fn named(action: &str) -> ActionName {
    action.parse().unwrap()
}

/// The state at revision 5 and the table of its base.
pub(super) struct State(pub(super) Authority, pub(super) Image);

impl State {
    pub(super) fn new(records: impl IntoIterator<Item = Change>) -> Self {
        let records: Vec<_> = records.into_iter().collect();
        let mut image = Image::new();
        changes(records.clone()).iter().for_each(|record| image.apply(record).unwrap());
        let small = records.into_iter().filter(|record| !matches!(record, Change::Token(_)));
        let position = Position { epoch: 1, revision: Revision(5) };
        Self(Authority::default().reloaded(position, checked(small)).unwrap(), image)
    }

    pub(super) fn decide(&self, request: &Request<'_>, moment: Moment) -> Decision {
        decide(&self.0, &mut &self.1, &mut VerifiedCache::default(), request, &moment)
    }

    pub(super) fn reason(&self, request: &Request<'_>, moment: Moment) -> Option<DenyReason> {
        match self.decide(request, moment) {
            Decision::Allow { .. } => None,
            Decision::Deny { reason, .. } => Some(reason),
        }
    }
}

/// Agent 1 with this status, its grant, and token 9.
fn with_agent(status: wire::Status) -> State {
    State::new([
        Change::Agent(agent(1, status)),
        Change::Grant(grant(1)),
        Change::Token(token(9, 1)),
    ])
}

fn standing(status: wire::Status) -> Option<wire::Standing> {
    Some(wire::Standing { status: status.into(), ..Default::default() })
}

#[test]
fn an_active_agent_with_a_live_token_is_allowed_by_name() {
    let decision = with_agent(wire::Status::Active).decide(&presenting(9), BEFORE_EXPIRY);
    let Decision::Allow {
        agent_id: id, bearer: Bearer::Opaque { fingerprint, .. }, position, ..
    } = decision
    else {
        panic!()
    };
    assert_eq!(id, agent_id(1));
    assert_eq!(fingerprint, opaque(9).digest().fingerprint());
    assert_eq!(position, Position { epoch: 1, revision: Revision(5) });
}

#[test]
fn nothing_is_allowed_before_the_first_base() {
    let state = State(Authority::default(), Image::new());
    for credential in [Credential::Missing, Credential::Malformed, presenting(9).credential] {
        assert_eq!(state.decide(&asking(credential), BEFORE_EXPIRY), Decision::unsynced());
    }
}

#[test]
fn what_is_presented_decides_the_reason() {
    let state = with_agent(wire::Status::Active);
    for (credential, expected) in [
        (Credential::Missing, DenyReason::TokenMissing),
        (Credential::Multiple, DenyReason::MultipleCredentials),
        (Credential::Malformed, DenyReason::TokenMalformed),
        (presenting(8).credential, DenyReason::TokenUnknown),
    ] {
        assert_eq!(state.reason(&asking(credential), BEFORE_EXPIRY), Some(expected));
        let decision = state.decide(&asking(credential), BEFORE_EXPIRY);
        assert!(matches!(decision, Decision::Deny { agent_id: None, .. }));
    }
}

#[test]
fn a_token_counts_until_the_second_at_which_it_expires() {
    let state = with_agent(wire::Status::Active);
    assert_eq!(state.reason(&presenting(9), BEFORE_EXPIRY), None);
    assert_eq!(state.reason(&presenting(9), AT_EXPIRY), Some(DenyReason::TokenExpired));
}

#[test]
fn a_holder_expires_at_its_second_whatever_its_token_and_its_capabilities() {
    let expires =
        |second| wire::Agent { expires_unix_seconds: second, ..agent(1, wire::Status::Active) };
    let stopped = wire::Capability {
        agent_id: vec![1; 16],
        action: "pay".into(),
        standing: standing(wire::Status::Revoked),
    };
    let of = |agent| {
        State::new([
            Change::Agent(agent),
            Change::Capability(stopped.clone()),
            Change::Grant(grant(1)),
            Change::Token(token(9, 1)),
        ])
    };
    let asks = Request { action: Some(&named("read")), ..presenting(9) };
    let at = |second: u64| Moment { now: UnixMillis(second * 1_000), ..BEFORE_EXPIRY };
    let state = of(expires(500));
    assert_eq!(state.reason(&asks, at(499)), None);
    assert_eq!(state.reason(&asks, at(500)), Some(DenyReason::AgentExpired));
    assert_eq!(state.reason(&presenting(9), at(500)), Some(DenyReason::AgentExpired));
    assert_eq!(of(expires(0)).reason(&asks, at(999)), None, "0 is never");
    let revoked = wire::Agent { standing: standing(wire::Status::Revoked), ..expires(500) };
    assert_eq!(of(revoked).reason(&asks, at(500)), Some(DenyReason::AgentRevoked));
    // A request that was allowed may end.
    let Decision::Allow { bearer, .. } = state.decide(&asks, at(499)) else { panic!() };
    assert_eq!(state.0.stop(bearer.held(), Some(&named("read")), None), None);
}

/// Agent 1 under the policy of this document, its grant and token 9.
fn under(document: &str) -> State {
    let policy = wire::Policy { id: vec![3; 16], version: 4, document: document.into() };
    let agent = wire::Agent { policy_id: vec![3; 16], ..agent(1, wire::Status::Active) };
    State::new([
        Change::Policy(policy),
        Change::Agent(agent),
        Change::Grant(grant(1)),
        Change::Token(token(9, 1)),
    ])
}

#[test]
fn a_policy_permits_its_actions_of_its_services_and_nothing_else() {
    let state = under(
        r#"{"name": "p", "allow": ["read_*", "pay"], "deny": ["read_secret"], "services": ["shop"]}"#,
    );
    for (action, service, expected) in [
        (Some("read_charge"), Some("shop"), None),
        (Some("pay"), Some("shop"), None),
        (Some("read_secret"), Some("shop"), Some(DenyReason::ActionDenied)),
        (Some("refund"), Some("shop"), Some(DenyReason::ActionDenied)),
        (None, Some("shop"), Some(DenyReason::ActionUnknown)),
        (Some("pay"), Some("bank"), Some(DenyReason::ServiceDenied)),
        (Some("pay"), None, Some(DenyReason::ServiceDenied)),
    ] {
        let action = action.map(named);
        let request = Request { action: action.as_ref(), service, ..presenting(9) };
        assert_eq!(state.reason(&request, BEFORE_EXPIRY), expected, "{action:?} {service:?}");
        // What is wrong with the token comes first.
        assert_eq!(state.reason(&request, AT_EXPIRY), Some(DenyReason::TokenExpired));
    }
    let pay = named("pay");
    let request = Request { action: Some(&pay), service: Some("shop"), ..presenting(9) };
    let Decision::Allow { policy: Some(used), .. } = state.decide(&request, BEFORE_EXPIRY) else {
        panic!()
    };
    assert_eq!((used.id.to_bytes(), used.version.get()), ([3; 16], 4));
}

#[test]
fn a_policy_may_want_a_fresher_state_for_an_action_and_never_an_older_one() {
    let state =
        under(r#"{"name": "p", "allow": ["*"], "max_staleness": {"pay": "5s", "read": "10min"}}"#);
    let reason = |action: &str, age, max_staleness| {
        let moment = Moment { state_age: age, max_staleness, ..BEFORE_EXPIRY };
        state.reason(&Request { action: Some(&named(action)), ..presenting(9) }, moment)
    };
    assert_eq!(reason("pay", 5_000, Some(60_000)), None);
    assert_eq!(reason("pay", 5_001, Some(60_000)), Some(DenyReason::Stale));
    assert_eq!(reason("pay", 5_001, None), Some(DenyReason::Stale), "whatever the proxy says");
    assert_eq!(reason("read", 60_000, Some(60_000)), None);
    assert_eq!(reason("read", 60_001, Some(60_000)), Some(DenyReason::Stale));
    assert_eq!(reason("other", 60_000, Some(60_000)), None);
}

#[test]
fn an_agent_whose_policy_is_not_in_the_state_is_denied() {
    let agent = wire::Agent { policy_id: vec![3; 16], ..agent(1, wire::Status::Active) };
    let state =
        State::new([Change::Agent(agent), Change::Grant(grant(1)), Change::Token(token(9, 1))]);
    assert_eq!(state.reason(&presenting(9), BEFORE_EXPIRY), Some(DenyReason::ActionDenied));
}

#[test]
fn a_holder_that_is_not_active_is_denied_whatever_its_token() {
    for (status, expected) in [
        (wire::Status::Suspended, DenyReason::AgentSuspended),
        (wire::Status::Revoked, DenyReason::AgentRevoked),
        (wire::Status::Unspecified, DenyReason::AgentRevoked),
    ] {
        for moment in [BEFORE_EXPIRY, AT_EXPIRY, STALE] {
            let decision = with_agent(status).decide(&presenting(9), moment);
            let Decision::Deny { reason, agent_id: Some(id), .. } = decision else { panic!() };
            assert_eq!((reason, id), (expected, agent_id(1)));
        }
    }
}

#[test]
fn a_token_without_a_grant_or_a_holder_is_denied() {
    for records in [
        vec![Change::Token(token(9, 1))],
        vec![Change::Token(token(9, 1)), Change::Grant(grant(1))],
        vec![Change::Token(token(9, 1)), Change::Agent(agent(1, wire::Status::Active))],
    ] {
        let reason = State::new(records).reason(&presenting(9), BEFORE_EXPIRY);
        assert_eq!(reason, Some(DenyReason::AgentRevoked));
    }
}

#[test]
fn every_level_above_a_token_can_deny_it() {
    let fleet = |status| Change::Fleet(wire::Fleet { standing: standing(status) });
    let principal =
        |status| Change::Principal(wire::Principal { id: vec![7; 16], standing: standing(status) });
    let capability = |status, action: &str| {
        let action = action.to_owned();
        let standing = standing(status);
        Change::Capability(wire::Capability { agent_id: vec![1; 16], action, standing })
    };
    use wire::Status::{Active, Revoked, Suspended};
    for (record, action, expected) in [
        (fleet(Active), None, None),
        (fleet(Suspended), None, Some(DenyReason::FleetHalted)),
        (fleet(Revoked), None, Some(DenyReason::FleetHalted)),
        (principal(Suspended), None, Some(DenyReason::PrincipalSuspended)),
        (principal(Revoked), None, Some(DenyReason::PrincipalRevoked)),
        (capability(Suspended, "pay"), Some("pay"), Some(DenyReason::CapabilityRevoked)),
        (capability(Suspended, "pay"), Some("read"), None),
        (capability(Suspended, "pay"), None, Some(DenyReason::CapabilityRevoked)),
        (capability(Active, "pay"), None, None),
    ] {
        let owned = wire::Agent { principal_id: vec![7; 16], ..agent(1, Active) };
        let said = format!("{record:?}");
        let state = State::new([
            principal(Active),
            Change::Agent(owned),
            Change::Grant(grant(1)),
            Change::Token(token(9, 1)),
            record,
        ]);
        let action = action.map(named);
        let request = Request { action: action.as_ref(), ..presenting(9) };
        assert_eq!(state.reason(&request, BEFORE_EXPIRY), expected, "{said}");
    }
}

#[test]
fn a_principal_that_is_not_in_the_state_denies() {
    let owned = wire::Agent { principal_id: vec![7; 16], ..agent(1, wire::Status::Active) };
    let state =
        State::new([Change::Agent(owned), Change::Grant(grant(1)), Change::Token(token(9, 1))]);
    let reason = state.reason(&presenting(9), BEFORE_EXPIRY);
    assert_eq!(reason, Some(DenyReason::PrincipalRevoked));
}

#[test]
fn a_not_before_at_any_level_ends_every_token_that_was_issued_until_then() {
    let bounded = |not_before_unix_seconds| {
        let standing = wire::Standing { not_before_unix_seconds, ..Default::default() };
        Some(wire::Standing { status: wire::Status::Active.into(), ..standing })
    };
    // Token 9 was issued at second 100.
    for (not_before, expected) in [(99, None), (100, Some(DenyReason::TokenSuperseded))] {
        for level in 0..4 {
            let bound = |own| bounded(if own == level { not_before } else { 0 });
            let state = State::new([
                Change::Fleet(wire::Fleet { standing: bound(0) }),
                Change::Principal(wire::Principal { id: vec![7; 16], standing: bound(1) }),
                Change::Agent(wire::Agent {
                    id: vec![1; 16],
                    standing: bound(2),
                    principal_id: vec![7; 16],
                    ..Default::default()
                }),
                Change::Capability(wire::Capability {
                    agent_id: vec![1; 16],
                    action: "pay".into(),
                    standing: bound(3),
                }),
                Change::Grant(grant(1)),
                Change::Token(token(9, 1)),
            ]);
            let request = Request { action: Some(&named("pay")), ..presenting(9) };
            assert_eq!(state.reason(&request, BEFORE_EXPIRY), expected, "level {level}");
        }
    }
}

#[test]
fn what_is_stale_denies_what_it_would_have_allowed() {
    let state = with_agent(wire::Status::Active);
    let at_the_limit = Moment { state_age: 60_000, ..BEFORE_EXPIRY };
    let forever = Moment { max_staleness: None, ..STALE };
    assert_eq!(state.reason(&presenting(9), at_the_limit), None);
    assert_eq!(state.reason(&presenting(9), STALE), Some(DenyReason::Stale));
    assert_eq!(state.reason(&presenting(9), forever), None);
    assert_eq!(state.reason(&presenting(8), STALE), Some(DenyReason::Stale), "not known yet");
    let malformed = asking(Credential::Malformed);
    assert_eq!(state.reason(&malformed, STALE), Some(DenyReason::TokenMalformed));
}

#[test]
fn a_table_that_cannot_be_read_denies() {
    struct Torn;
    impl TokenTable for Torn {
        fn find(&mut self, _: Fingerprint) -> Result<Option<TokenEntry>, Unreadable> {
            Err(Unreadable)
        }
    }
    let state = with_agent(wire::Status::Active);
    let decision =
        decide(&state.0, &mut Torn, &mut VerifiedCache::default(), &presenting(9), &BEFORE_EXPIRY);
    assert!(matches!(decision, Decision::Deny { reason: DenyReason::Unsynced, .. }));
}

#[test]
fn revoking_one_agent_or_one_token_touches_no_other() {
    let mut state = State::new([
        Change::Agent(agent(1, wire::Status::Active)),
        Change::Agent(agent(2, wire::Status::Active)),
        Change::Grant(grant(1)),
        Change::Grant(grant(2)),
        Change::Token(token(7, 1)),
        Change::Token(token(8, 2)),
        Change::Token(token(9, 2)),
    ]);
    let revoked = wire::Token { revoked: true, ..token(8, 2) };
    let revoke = delta(1, 6, [Change::Agent(agent(1, wire::Status::Revoked))]);
    state.0.apply(&revoke).unwrap();
    state.0.apply(&delta(1, 7, [Change::Token(revoked)])).unwrap();
    let ask = |n| state.reason(&presenting(n), BEFORE_EXPIRY);
    assert_eq!(ask(7), Some(DenyReason::AgentRevoked));
    assert_eq!(ask(8), Some(DenyReason::TokenRevoked));
    assert_eq!(ask(9), None);
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = DenyReason::ALL.iter().map(|r| r.name()).collect();
    assert_eq!(names.len(), DenyReason::ALL.len());
}

fn any_status() -> impl Strategy<Value = wire::Status> {
    prop_oneof![
        4 => Just(wire::Status::Active),
        1 => Just(wire::Status::Suspended),
        1 => Just(wire::Status::Revoked),
    ]
}

proptest! {
    /// What is allowed, is allowed by every level at once.
    #[test]
    fn the_strictest_level_wins(
        levels in prop::collection::vec((any_status(), 95u64..105), 4),
        revoked: bool,
        now in 990u64..1_010,
        age in 59_990u64..60_010,
    ) {
        let standing = |at: usize| Some(wire::Standing {
            status: levels[at].0.into(),
            not_before_unix_seconds: levels[at].1,
            ..Default::default()
        });
        let id = vec![1; 16];
        let state = State::new([
            Change::Fleet(wire::Fleet { standing: standing(0) }),
            Change::Principal(wire::Principal { id: vec![7; 16], standing: standing(1) }),
            Change::Agent(wire::Agent { id: id.clone(), standing: standing(2), principal_id: vec![7; 16], ..Default::default() }),
            Change::Capability(wire::Capability { agent_id: id, action: "pay".into(), standing: standing(3) }),
            Change::Grant(grant(1)),
            Change::Token(wire::Token { revoked, ..token(9, 1) }),
        ]);
        let moment = Moment { now: UnixMillis(now * 1000), state_age: age, max_staleness: Some(60_000) };
        let allowed = state.reason(&Request { action: Some(&named("pay")), ..presenting(9) }, moment).is_none();
        let expected = levels.iter().all(|(status, bound)| *status == wire::Status::Active && *bound < 100)
            && !revoked && now < 1_000 && age <= 60_000;
        prop_assert_eq!(allowed, expected);
    }
}
