//! Decisions by capability tokens, by limited grants and for those who act for others.

use super::tests::{BEFORE_EXPIRY, State, named, presenting};
use super::*;
use crate::ids::{CapabilityId, PrincipalId};
use crate::jwt::{Actor, Claims, Scope, Thumbprint, mint};
use crate::keys::Signer;
use crate::shorthand::{agent, agent_id, changes, delta, grant, token};
use crate::standing::Standing;
use crate::time::UnixSeconds;
use crate::wire::{self, Status, change::Change};

const ISSUER: &str = "https://kya.example";

pub(super) fn signer() -> Signer {
    Signer::from_seed([2; 32])
}

pub(super) fn issuer() -> Change {
    Change::Issuer(wire::Issuer {
        name: ISSUER.into(),
        keys: vec![signer().public_key().to_bytes().to_vec()],
        max_lifetime_seconds: 3600,
    })
}

/// What agent 1 may do at `shop` from second 100 to 1000.
pub(super) fn claims() -> Claims {
    Claims {
        issuer: ISSUER.into(),
        agent: agent_id(1),
        subject: None,
        audience: vec!["shop".into()],
        issued: UnixSeconds(100),
        not_before: UnixSeconds(100),
        expires: UnixSeconds(1_000),
        id: CapabilityId::from_bytes([9; 16]),
        scope: Scope::parse("pay read").unwrap(),
        actors: vec![],
        confirmation: None,
    }
}

fn at(second: u64) -> Moment {
    Moment { now: UnixMillis(second * 1_000), ..BEFORE_EXPIRY }
}

impl State {
    /// The decision on a request to `shop` for this action by a token of these claims.
    fn by(&self, claims: &Claims, action: Option<&str>, moment: Moment) -> Decision {
        let token = mint(&signer(), claims).unwrap();
        self.presented(token.reveal().as_bytes(), action, Some("shop"), moment)
    }

    fn presented(
        &self,
        token: &[u8],
        action: Option<&str>,
        service: Option<&str>,
        moment: Moment,
    ) -> Decision {
        let action = action.map(named);
        let credential = Credential::Capability(token);
        self.decide(&Request { credential, action: action.as_ref(), service }, moment)
    }

    fn why(&self, claims: &Claims, action: &str, moment: Moment) -> Option<DenyReason> {
        reason(self.by(claims, Some(action), moment))
    }

    /// Whether requests by such a token that were allowed before may go on.
    fn ends(&self, claims: &Claims) -> Option<(DenyReason, InFlight)> {
        let Some(issuer) = self.0.issuer() else { panic!() };
        let token = mint(&signer(), claims).unwrap();
        let verified = issuer.verify(token.reveal().as_bytes()).unwrap();
        let stop = self.0.stop(&verified, Some(&named("pay")), Some("shop"));
        stop.map(|stop| (stop.reason, stop.in_flight))
    }
}

fn reason(decision: Decision) -> Option<DenyReason> {
    match decision {
        Decision::Allow { .. } => None,
        Decision::Deny { reason, .. } => Some(reason),
    }
}

pub(super) fn stands(n: u8) -> wire::Agent {
    agent(n, Status::Active)
}

fn in_flight(status: Status, in_flight: wire::InFlight) -> Option<wire::Standing> {
    Some(wire::Standing {
        status: status.into(),
        in_flight: in_flight.into(),
        ..Default::default()
    })
}

/// An agent that acts for another.
fn below(parent: u8, child: u8) -> wire::Agent {
    wire::Agent { parent_id: vec![parent; 16], ..stands(child) }
}

/// Agent 1 and the issuer, and these records.
fn with(records: impl IntoIterator<Item = Change>) -> State {
    State::new([issuer(), Change::Agent(stands(1))].into_iter().chain(records))
}

#[test]
fn a_token_of_the_issuer_is_allowed_for_what_it_says() {
    let state = with([]);
    let decision = state.by(&claims(), Some("pay"), BEFORE_EXPIRY);
    let Decision::Allow { agent_id: id, bearer: Bearer::Capability(token), .. } = decision else {
        panic!("{decision:?}")
    };
    assert_eq!((id, token.claims()), (agent_id(1), &claims()));
    assert_eq!(state.why(&claims(), "refund", at(500)), Some(DenyReason::InsufficientScope));
    assert_eq!(reason(state.by(&claims(), None, at(500))), Some(DenyReason::ActionUnknown));
    assert_eq!(state.why(&claims(), "pay", at(1_000)), Some(DenyReason::TokenExpired));
    assert_eq!(state.why(&claims(), "pay", at(94)), Some(DenyReason::TokenNotYet));
    assert_eq!(state.why(&claims(), "pay", at(95)), None, "a clock may be behind");
    let all = Claims { scope: Scope::of([Scope::EVERYTHING]).unwrap(), ..claims() };
    assert_eq!(state.why(&all, "refund", at(500)), None);
    assert_eq!(reason(state.by(&all, None, at(500))), None);
}

#[test]
fn a_token_is_for_its_services_and_for_none_where_none_is_named() {
    let state = with([]);
    let token = mint(&signer(), &claims()).unwrap();
    for (service, expected) in [
        (Some("shop"), None),
        (Some("bank"), Some(DenyReason::WrongAudience)),
        (Some("shop2"), Some(DenyReason::WrongAudience)),
        (None, Some(DenyReason::WrongAudience)),
    ] {
        let bytes = token.reveal().as_bytes();
        assert_eq!(reason(state.presented(bytes, Some("pay"), service, at(500))), expected);
    }
}

#[test]
fn only_the_issuer_of_the_state_is_believed() {
    let token = mint(&signer(), &claims()).unwrap();
    let present = |state: &State, token: &[u8]| {
        reason(state.presented(token, Some("pay"), Some("shop"), at(500)))
    };
    let nobody = State::new([Change::Agent(stands(1))]);
    assert_eq!(present(&nobody, token.reveal().as_bytes()), Some(DenyReason::TokenUnknown));
    let none = wire::Issuer { name: ISSUER.into(), ..Default::default() };
    let none = with([Change::Issuer(none)]);
    assert_eq!(present(&none, token.reveal().as_bytes()), Some(DenyReason::TokenUnknown));
    let state = with([]);
    let other = mint(&Signer::from_seed([8; 32]), &claims()).unwrap();
    assert_eq!(present(&state, other.reveal().as_bytes()), Some(DenyReason::TokenUnknown));
    let elsewhere = Claims { issuer: "https://other.example".into(), ..claims() };
    assert_eq!(state.why(&elsewhere, "pay", at(500)), Some(DenyReason::TokenMalformed));
    let mut forged = token.reveal().as_bytes().to_vec();
    let last = forged.len() - 20;
    forged[last] ^= 1;
    assert_eq!(present(&state, &forged), Some(DenyReason::TokenMalformed));
    for junk in [&b"eyJ"[..], b"eyJhbGciOiJub25lIn0.e30.", b"eyJ.eyJ.eyJ"] {
        assert_eq!(present(&state, junk), Some(DenyReason::TokenMalformed));
        assert_eq!(present(&nobody, junk), Some(DenyReason::TokenMalformed));
    }
    let bound = Claims { confirmation: Some(Thumbprint::from_bytes([4; 32])), ..claims() };
    assert_eq!(state.why(&bound, "pay", at(500)), Some(DenyReason::TokenMalformed));
    // An older state may not know the key yet.
    let stale = Moment { state_age: 60_001, ..at(500) };
    assert_eq!(
        reason(state.presented(other.reveal().as_bytes(), Some("pay"), Some("shop"), stale)),
        Some(DenyReason::Stale)
    );
}

#[test]
fn keys_that_were_replaced_count_no_more_though_their_tokens_were_verified() {
    let mut state = with([]);
    let mut cache = VerifiedCache::default();
    let token = mint(&signer(), &claims()).unwrap();
    let pay = named("pay");
    let request = Request {
        credential: Credential::Capability(token.reveal().as_bytes()),
        action: Some(&pay),
        service: Some("shop"),
    };
    let mut ask =
        |state: &State| reason(decide(&state.0, &mut &state.1, &mut cache, &request, &at(500)));
    assert_eq!(ask(&state), None);
    let other = Signer::from_seed([8; 32]).public_key().to_bytes().to_vec();
    let rotated =
        wire::Issuer { name: ISSUER.into(), keys: vec![other], max_lifetime_seconds: 3600 };
    state.0.apply(&delta(1, 6, [Change::Issuer(rotated)])).unwrap();
    assert_eq!(ask(&state), Some(DenyReason::TokenUnknown));
    state.0.apply(&delta(1, 7, [issuer()])).unwrap();
    assert_eq!(ask(&state), None);
}

#[test]
fn what_was_decided_above_a_capability_token_denies_it() {
    for (status, suspended, revoked) in [
        (Status::Active, None, None),
        (Status::Suspended, Some(DenyReason::AgentSuspended), Some(DenyReason::FleetHalted)),
        (Status::Revoked, Some(DenyReason::AgentRevoked), Some(DenyReason::FleetHalted)),
    ] {
        let state = with([Change::Agent(agent(1, status))]);
        assert_eq!(state.why(&claims(), "pay", at(500)), suspended);
        let fleet = wire::Fleet { standing: in_flight(status, wire::InFlight::Abort) };
        assert_eq!(with([Change::Fleet(fleet)]).why(&claims(), "pay", at(500)), revoked);
    }
    let nobody = State::new([issuer()]);
    assert_eq!(nobody.why(&claims(), "pay", at(500)), Some(DenyReason::AgentRevoked));
    let bounded = Standing { not_before: UnixSeconds(100), ..Standing::ACTIVE };
    let bounded = wire::Agent { standing: Some(bounded.into()), ..stands(1) };
    let state = with([Change::Agent(bounded)]);
    assert_eq!(state.why(&claims(), "pay", at(500)), Some(DenyReason::TokenSuperseded));
    let later = Claims { issued: UnixSeconds(101), ..claims() };
    assert_eq!(state.why(&later, "pay", at(500)), None);
}

#[test]
fn whoever_acts_for_another_subject_ends_with_it_and_has_its_own_level() {
    let subject = Some(Actor::Agent(agent_id(2)));
    let acting = Claims { subject, actors: vec![Actor::Agent(agent_id(1))], ..claims() };
    let why = |records: Vec<Change>| with(records).why(&acting, "pay", at(500));
    assert_eq!(why(vec![Change::Agent(stands(2))]), None);
    assert_eq!(why(vec![]), Some(DenyReason::DelegatorStopped), "nobody knows it");
    for status in [Status::Suspended, Status::Revoked] {
        let stopped = why(vec![Change::Agent(agent(2, status))]);
        assert_eq!(stopped, Some(DenyReason::DelegatorStopped));
    }
    let own = vec![Change::Agent(agent(1, Status::Suspended)), Change::Agent(stands(2))];
    assert_eq!(why(own), Some(DenyReason::AgentSuspended));
}

#[test]
fn a_token_that_was_taken_back_counts_no_more_until_it_is_forgotten() {
    let taken = Change::RevokedCapability(wire::RevokedCapability {
        id: vec![9; 16],
        expires_unix_seconds: 1_000,
    });
    let state = with([taken.clone()]);
    assert_eq!(state.why(&claims(), "pay", at(500)), Some(DenyReason::TokenRevoked));
    assert_eq!(state.ends(&claims()), Some((DenyReason::TokenRevoked, InFlight::Abort)));
    let other = Claims { id: CapabilityId::from_bytes([8; 16]), ..claims() };
    assert_eq!(state.why(&other, "pay", at(500)), None);
    // No base that does not know it brings it back.
    let State(mut authority, image) = with([]);
    authority.apply(&delta(1, 6, [taken])).unwrap();
    let records =
        crate::change::Change::all_from_wire(&changes([issuer(), Change::Agent(stands(1))]));
    let position = Position { epoch: 1, revision: crate::update::Revision(9) };
    let mut state = State(authority.reloaded(position, records.unwrap()).unwrap(), image);
    assert_eq!(state.why(&claims(), "pay", at(500)), Some(DenyReason::TokenRevoked));
    state.0.forget_expired(UnixSeconds(1_000), None, 9);
    assert_eq!(state.0.taken_back_count(), 1);
    state.0.forget_expired(UnixSeconds(1_001), None, 9);
    assert_eq!(state.0.taken_back_count(), 0);
}

#[test]
fn every_one_of_whom_a_token_says_that_they_acted_must_stand() {
    let principal = |status| {
        let standing = in_flight(status, wire::InFlight::Drain);
        Change::Principal(wire::Principal { id: vec![5; 16], standing })
    };
    let by = Claims {
        actors: vec![Actor::Agent(agent_id(2)), Actor::Principal(PrincipalId::from_bytes([5; 16]))],
        ..claims()
    };
    let stopped = Some(DenyReason::DelegatorStopped);
    let all = with([Change::Agent(stands(2)), principal(Status::Active)]);
    assert_eq!(all.why(&by, "pay", at(500)), None);
    assert_eq!(all.0.behind(agent_id(1), (&*verified(&by)).into()).to_vec(), [agent_id(2)]);
    assert_eq!(with([principal(Status::Active)]).why(&by, "pay", at(500)), stopped, "unknown");
    assert_eq!(with([Change::Agent(stands(2))]).why(&by, "pay", at(500)), stopped, "unknown");
    for status in [Status::Suspended, Status::Revoked] {
        let state = with([Change::Agent(agent(2, status)), principal(Status::Active)]);
        assert_eq!(state.why(&by, "pay", at(500)), stopped);
        let state = with([Change::Agent(stands(2)), principal(status)]);
        assert_eq!(state.why(&by, "pay", at(500)), stopped);
        assert_eq!(state.ends(&by), Some((DenyReason::DelegatorStopped, InFlight::Drain)));
    }
}

#[test]
fn whoever_acted_counts_only_with_those_for_whom_they_act() {
    let by = Claims { actors: vec![Actor::Agent(agent_id(2))], ..claims() };
    let of = |above| with([Change::Agent(below(3, 2)), Change::Agent(agent(3, above))]);
    let state = of(Status::Active);
    assert_eq!(state.why(&by, "pay", at(500)), None);
    let behind = state.0.behind(agent_id(1), (&*verified(&by)).into());
    assert_eq!(behind.to_vec(), [agent_id(2), agent_id(3)]);
    let state = of(Status::Revoked);
    assert_eq!(state.why(&by, "pay", at(500)), Some(DenyReason::DelegatorStopped));
    assert_eq!(state.ends(&by), Some((DenyReason::DelegatorStopped, InFlight::Abort)));
    let endless = with([Change::Agent(below(2, 3)), Change::Agent(below(3, 2))]);
    assert_eq!(endless.why(&by, "pay", at(500)), Some(DenyReason::DelegatorStopped));
}

fn verified(claims: &Claims) -> std::sync::Arc<crate::jwt::VerifiedCapability> {
    let token = mint(&signer(), claims).unwrap();
    let state = with([]);
    let issuer = state.0.issuer().unwrap();
    std::sync::Arc::new(issuer.verify(token.reveal().as_bytes()).unwrap())
}

#[test]
fn a_suspension_that_drains_lets_older_capability_tokens_end_their_work() {
    let suspended = |how, policy: Vec<u8>| wire::Agent {
        standing: in_flight(Status::Suspended, how),
        suspended_unix_seconds: 200,
        policy_id: policy,
        ..stands(1)
    };
    let drained = |policy| Change::Agent(suspended(wire::InFlight::Drain, policy));
    let state = with([drained(vec![]), Change::Grant(grant(1)), Change::Token(token(9, 1))]);
    assert_eq!(state.why(&claims(), "pay", at(259)), None);
    assert_eq!(state.why(&claims(), "pay", at(260)), Some(DenyReason::AgentSuspended));
    let during = Claims { issued: UnixSeconds(201), not_before: UnixSeconds(201), ..claims() };
    assert_eq!(state.why(&during, "pay", at(210)), Some(DenyReason::AgentSuspended));
    assert_eq!(state.reason(&presenting(9), at(210)), Some(DenyReason::AgentSuspended));
    let cut = with([Change::Agent(suspended(wire::InFlight::Abort, vec![]))]);
    assert_eq!(cut.why(&claims(), "pay", at(210)), Some(DenyReason::AgentSuspended));
    let document = br#"{"name": "p", "allow": ["pay"], "drain_window": "10s"}"#.to_vec();
    let policy = Change::Policy(wire::Policy { id: vec![3; 16], version: 1, document });
    let state = with([policy, drained(vec![3; 16])]);
    assert_eq!(state.why(&claims(), "pay", at(209)), None);
    assert_eq!(state.why(&claims(), "pay", at(210)), Some(DenyReason::AgentSuspended));
    let lost = with([drained(vec![3; 16])]);
    assert_eq!(lost.why(&claims(), "pay", at(201)), Some(DenyReason::AgentSuspended));
}

#[test]
fn a_grant_is_for_its_services_and_actions() {
    let limited =
        wire::Grant { services: vec!["shop".into()], actions: vec!["pay".into()], ..grant(1) };
    let state = with([Change::Grant(limited), Change::Token(token(9, 1))]);
    for (action, service, expected) in [
        (Some("pay"), Some("shop"), None),
        (Some("read"), Some("shop"), Some(DenyReason::InsufficientScope)),
        (None, Some("shop"), Some(DenyReason::ActionUnknown)),
        (Some("pay"), Some("bank"), Some(DenyReason::WrongAudience)),
        (Some("pay"), None, Some(DenyReason::WrongAudience)),
    ] {
        let action = action.map(named);
        let request = Request { action: action.as_ref(), service, ..presenting(9) };
        assert_eq!(state.reason(&request, BEFORE_EXPIRY), expected, "{action:?} {service:?}");
    }
}

#[test]
fn whoever_acts_for_another_is_stopped_with_it_over_any_number_of_levels() {
    let chain = |top: wire::Agent| {
        with([Change::Agent(below(2, 1)), Change::Agent(below(3, 2)), Change::Agent(top)])
    };
    let stopped = Some(DenyReason::DelegatorStopped);
    assert_eq!(chain(stands(3)).why(&claims(), "pay", at(500)), None);
    let behind = chain(stands(3)).0.behind(agent_id(1), (&*verified(&claims())).into());
    assert_eq!(behind.to_vec(), [agent_id(2), agent_id(3)]);
    for status in [Status::Suspended, Status::Revoked] {
        let state = chain(agent(3, status));
        assert_eq!(state.why(&claims(), "pay", at(500)), stopped);
        assert_eq!(state.ends(&claims()), Some((DenyReason::DelegatorStopped, InFlight::Abort)));
    }
    let expired = wire::Agent { expires_unix_seconds: 500, ..stands(3) };
    assert_eq!(chain(expired.clone()).why(&claims(), "pay", at(499)), None);
    assert_eq!(chain(expired.clone()).why(&claims(), "pay", at(500)), stopped);
    assert_eq!(chain(expired).ends(&claims()), None);
    let owned = wire::Agent { principal_id: vec![5; 16], ..stands(3) };
    let standing = in_flight(Status::Revoked, wire::InFlight::Drain);
    let left = Change::Principal(wire::Principal { id: vec![5; 16], standing });
    let state = with([Change::Agent(below(3, 1)), Change::Agent(owned), left]);
    assert_eq!(state.why(&claims(), "pay", at(500)), stopped);
    // From the fleet down: whom it acts for comes before itself.
    let state = with([
        Change::Agent(agent(3, Status::Suspended)),
        Change::Agent(wire::Agent { parent_id: vec![3; 16], ..agent(1, Status::Revoked) }),
    ]);
    assert_eq!(state.why(&claims(), "pay", at(500)), stopped);
}

#[test]
fn whoever_acts_for_another_may_do_no_more_than_it() {
    let no_pay = wire::Capability {
        agent_id: vec![2; 16],
        action: "pay".into(),
        standing: in_flight(Status::Revoked, wire::InFlight::Drain),
    };
    let state =
        with([Change::Agent(below(2, 1)), Change::Agent(stands(2)), Change::Capability(no_pay)]);
    assert_eq!(state.why(&claims(), "pay", at(500)), Some(DenyReason::DelegatorStopped));
    assert_eq!(state.why(&claims(), "read", at(500)), None);
    let policy = |n: u8, allow: &str| {
        let document = format!(r#"{{"name": "p{n}", "allow": [{allow}], "in_flight": "drain"}}"#);
        Change::Policy(wire::Policy {
            id: vec![n; 16],
            version: n.into(),
            document: document.into(),
        })
    };
    let state = with([
        policy(6, r#""pay", "read""#),
        policy(7, r#""read""#),
        Change::Agent(wire::Agent { policy_id: vec![6; 16], ..below(2, 1) }),
        Change::Agent(wire::Agent { policy_id: vec![7; 16], ..stands(2) }),
    ]);
    assert_eq!(state.why(&claims(), "pay", at(500)), Some(DenyReason::ActionDenied));
    assert_eq!(state.ends(&claims()), Some((DenyReason::DelegatorStopped, InFlight::Drain)));
    let decision = state.by(&claims(), Some("read"), at(500));
    let Decision::Allow { policy: Some(used), .. } = decision else { panic!("{decision:?}") };
    assert_eq!(used.version.get(), 6, "its own policy is the one that is named");
}

#[test]
fn a_policy_that_permits_an_action_no_more_ends_it_as_the_policy_says() {
    let under = |document: &[u8]| {
        let document = document.to_vec();
        with([
            Change::Policy(wire::Policy { id: vec![3; 16], version: 1, document }),
            Change::Agent(wire::Agent { policy_id: vec![3; 16], ..stands(1) }),
        ])
    };
    assert_eq!(under(br#"{"name": "p", "allow": ["pay"]}"#).ends(&claims()), None);
    let denied = DenyReason::ActionDenied;
    let state = under(br#"{"name": "p", "allow": ["read"], "in_flight": "drain"}"#);
    assert_eq!(state.ends(&claims()), Some((denied, InFlight::Drain)));
    let state = under(br#"{"name": "p", "allow": ["read"], "in_flight": "abort"}"#);
    assert_eq!(state.ends(&claims()), Some((denied, InFlight::Abort)));
}

#[test]
fn a_chain_that_is_too_long_or_ends_nowhere_or_never_lets_nobody_act() {
    let stopped = Some(DenyReason::DelegatorStopped);
    let chain = |length: u8| {
        let agents = (1..=length).map(|n| Change::Agent(below(n + 1, n)));
        with(agents.chain([Change::Agent(stands(length + 1))]))
    };
    assert_eq!(crate::MAX_DELEGATION, 8);
    assert_eq!(chain(8).why(&claims(), "pay", at(500)), None);
    assert_eq!(chain(9).why(&claims(), "pay", at(500)), stopped);
    assert_eq!(with([Change::Agent(below(2, 1))]).why(&claims(), "pay", at(500)), stopped);
    let own = with([Change::Agent(below(1, 1))]);
    assert_eq!(own.why(&claims(), "pay", at(500)), stopped);
    let circle = with([Change::Agent(below(2, 1)), Change::Agent(below(1, 2))]);
    assert_eq!(circle.why(&claims(), "pay", at(500)), stopped);
}
