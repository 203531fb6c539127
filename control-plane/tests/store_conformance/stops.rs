//! Principals, capabilities and the fleet in every store.

use std::sync::Arc;

use kya_control_plane::store::StatusAction::{Restore, Revoke, Suspend};
use kya_control_plane::store::{
    Capability, Cause, FleetAction, MAX_STOPPED_CAPABILITIES, NewAgent, NewPrincipal, Outcome,
    Principal, Reach, StatusAction, StopError, Store, StoreError, Target,
};
use kya_control_plane::time::UnixMicros;
use kya_core::{AgentId, InFlight, PrincipalId, Revision, Standing, Status};

use super::{Fixture, REVOKE, SUSPEND, agent_id, cause, decide, issue, records, register_as};
use crate::support::TestClock;
use crate::support::state::Known;

const HALT: FleetAction = FleetAction::Halt(InFlight::Abort);

pub(super) async fn add(store: &dyn Store, name: &str, n: u8) -> Principal {
    let new = NewPrincipal { id: PrincipalId::from_bytes([n; 16]), name: name.parse().unwrap() };
    store.add_principal(new, cause("hired")).await.unwrap().record
}

/// One principal and one capability that are revoked, and a halt.
pub async fn stop_everything(store: &dyn Store, agent: AgentId) {
    add(store, "alice", 1).await;
    decide_on(store, "alice", REVOKE).await.unwrap();
    capability(store, agent, "pay", REVOKE).await.unwrap();
    store.decide_fleet(HALT, cause("fire")).await.unwrap();
}

/// Registers an agent of this principal.
pub async fn register_for(store: &dyn Store, owner: &str, n: u64) -> Result<AgentId, StoreError> {
    let owner = Some(owner.parse().unwrap());
    let new = NewAgent { owner, ..NewAgent::named(agent_id(n), "hers") };
    Ok(store.register_agent(new, Cause::default()).await?.record.id)
}

async fn decide_on(
    store: &dyn Store,
    name: &str,
    action: StatusAction,
) -> Result<Outcome<Principal>, StoreError> {
    store.decide_principal(name.parse().unwrap(), action, cause("left")).await
}

async fn capability(
    store: &dyn Store,
    agent: AgentId,
    name: &str,
    action: StatusAction,
) -> Result<Outcome<Capability>, StoreError> {
    store.decide_capability(agent, name.parse().unwrap(), action, cause("refunds")).await
}

/// The changes of one revision, and the actions and subjects of its events.
async fn revision_of(store: &dyn Store, revision: u64) -> (Known, Vec<(String, String)>) {
    let update = store.updates_after(Revision(revision - 1), 1).await.unwrap().remove(0);
    let events = store.events_after(0, 10_000).await.unwrap().into_iter();
    let events = events.filter(|event| event.committed == update.committed);
    let known = Known::replay(update.delta.changes);
    (known, events.map(|event| (event.action, event.subject)).collect())
}

pub async fn a_principal_is_added_once_and_decided_about_as_an_agent_is(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(10));
    let store = fixture.open(clock.clone()).await;
    let alice = add(&*store, "alice@example.com", 1).await;
    assert_eq!((alice.decided.status, alice.created_at), (Status::Active, UnixMicros(10_000_000)));
    let new = NewPrincipal { id: PrincipalId::from_bytes([2; 16]), name: alice.name.clone() };
    let twice = store.add_principal(new, Cause::default()).await.unwrap_err();
    assert!(twice.to_string().contains("there is, or was, a principal alice@example.com"));
    let new = NewPrincipal { id: alice.id, name: "bob".parse().unwrap() };
    assert!(store.add_principal(new, Cause::default()).await.is_err(), "the same id");

    for (action, status) in
        [(SUSPEND, Status::Suspended), (Restore, Status::Active), (REVOKE, Status::Revoked)]
    {
        clock.set(20);
        let first = decide_on(&*store, "alice@example.com", action).await.unwrap();
        clock.set(30);
        let second = decide_on(&*store, &alice.id.to_string(), action).await.unwrap();
        assert!(first.changed && !second.changed);
        assert_eq!((&first.record, first.committed), (&second.record, second.committed));
        assert_eq!((first.record.id, first.record.decided.status), (alice.id, status));
        assert_eq!(first.record.decided.reason.as_deref(), Some("left"));
        assert_eq!(first.record.decided.incident_id.as_deref(), Some("INC-1"));
    }
    for action in [SUSPEND, Restore] {
        let refused = decide_on(&*store, "alice@example.com", action).await.unwrap_err();
        let StoreError::Stop(StopError::PrincipalRevokedIsFinal(name)) = refused else { panic!() };
        assert_eq!(name, alice.name);
    }
    let unknown = decide_on(&*store, "bob", REVOKE).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no principal bob");
    assert_eq!(store.head().await.unwrap().position.revision, Revision(4));

    add(&*store, "team-payments", 9).await;
    let all = store.principals(None, None, 10).await.unwrap();
    assert_eq!(
        all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(),
        ["alice@example.com", "team-payments"]
    );
    assert_eq!(store.principals(None, Some(alice.id), 10).await.unwrap(), all[1..]);
    assert_eq!(store.principals(Some(Status::Revoked), None, 10).await.unwrap(), all[..1]);
    assert_eq!(store.principals(None, None, 1).await.unwrap(), all[..1]);
    assert_eq!(store.principal(alice.id.to_string().parse().unwrap()).await.unwrap(), all[0]);
}

pub async fn offboarding_is_one_record_whatever_the_number_of_agents(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let alice = add(&*store, "alice", 1).await;
    add(&*store, "bob", 2).await;
    for n in 1..=20 {
        let agent = register_for(&*store, "alice", n).await.unwrap();
        // One that is gone, and one that will be.
        let ttl = if n == 2 { 0 } else { 60 };
        issue(&*store, agent, u8::try_from(n).unwrap(), ttl).await.unwrap();
    }
    decide(&*store, agent_id(1), REVOKE).await.unwrap();
    let other = register_for(&*store, "bob", 99).await.unwrap();
    issue(&*store, other, 99, 60).await.unwrap();

    let gone = decide_on(&*store, "alice", REVOKE).await.unwrap();
    let revision = gone.committed.position.revision.0;
    let (known, events) = revision_of(&*store, revision).await;
    let standing = Standing::new(Status::Revoked);
    assert_eq!(known, Known { principals: [(alice.id, standing)].into(), ..Known::default() });
    assert_eq!(events, [("principal.revoked".to_owned(), alice.id.to_string())]);
    let reach = store.reach(Target::Principal("alice".parse().unwrap())).await.unwrap();
    assert_eq!(reach, Reach { agents: 19, tokens: 18 });
    // Her agents name her, to every proxy.
    let known = Known::replay(records(&*store, 0).await.1);
    assert_eq!(known.agents[&agent_id(7)].principal, Some(alice.id));
    assert_ne!(known.agents[&other].principal, Some(alice.id));
    let owner = store.agent(agent_id(7)).await.unwrap().owner.unwrap();
    assert_eq!((owner.name.as_str(), owner.status), ("alice", Status::Revoked));
}

pub async fn who_was_offboarded_gets_no_agents_and_her_agents_no_tokens(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    add(&*store, "alice", 1).await;
    let agent = register_for(&*store, "alice", 1).await.unwrap();
    assert!(register_for(&*store, "bob", 2).await.is_err(), "there is no bob");
    for (action, status) in [(SUSPEND, "suspended"), (Restore, ""), (REVOKE, "revoked")] {
        decide_on(&*store, "alice", action).await.unwrap();
        let token = issue(&*store, agent, status.len().try_into().unwrap(), 60).await;
        let successor = register_for(&*store, "alice", 3 + status.len() as u64).await;
        if status.is_empty() {
            assert!(token.is_ok() && successor.is_ok());
            continue;
        }
        for refused in [token.unwrap_err(), successor.unwrap_err()] {
            let expected = format!("the principal alice is {status}; ");
            assert!(refused.to_string().starts_with(&expected), "{refused}");
        }
    }
}

pub async fn one_action_is_stopped_and_the_others_go_on(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let (agent, other) = (register_as(&*store, 1).await, register_as(&*store, 2).await);
    let stopped = capability(&*store, agent, "issue_refund", REVOKE).await.unwrap();
    assert!(stopped.changed);
    let (known, events) = revision_of(&*store, 3).await;
    let expected =
        [((agent, "issue_refund".parse().unwrap()), Standing::new(Status::Revoked))].into();
    assert_eq!(known, Known { capabilities: expected, ..Known::default() });
    let subject = format!("{agent} issue_refund");
    assert_eq!(events, [("capability.revoked".to_owned(), subject)]);
    let again = capability(&*store, agent, "issue_refund", REVOKE).await.unwrap();
    assert_eq!(
        (again.changed, again.record, again.committed),
        (false, stopped.record.clone(), stopped.committed)
    );
    assert_eq!(store.capabilities(agent).await.unwrap(), [stopped.record]);
    assert_eq!(store.capabilities(other).await.unwrap(), []);
    // What nobody stopped needs no restoring.
    let untouched = capability(&*store, other, "issue_refund", Restore).await.unwrap();
    assert_eq!((untouched.changed, untouched.committed.position.revision), (false, Revision(2)));
    let nobody = capability(&*store, agent_id(9), "issue_refund", REVOKE).await.unwrap_err();
    assert!(matches!(nobody, StoreError::NoSuchAgent(_)), "{nobody}");
    let nobody = store.capabilities(agent_id(9)).await.unwrap_err();
    assert!(matches!(nobody, StoreError::NoSuchAgent(_)), "{nobody}");
    assert_eq!(store.agent(agent).await.unwrap().status, Status::Active);
}

pub async fn a_revoked_capability_is_not_restored_and_a_suspended_one_is(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let agent = register_as(&*store, 1).await;
    for (action, in_flight, changed) in [
        (Suspend(InFlight::Drain), InFlight::Drain, true),
        (Suspend(InFlight::Abort), InFlight::Abort, true),
        (Suspend(InFlight::Drain), InFlight::Abort, false),
        (Restore, InFlight::Abort, true),
        (Revoke(InFlight::Abort), InFlight::Abort, true),
    ] {
        let now = capability(&*store, agent, "pay", action).await.unwrap();
        assert_eq!((now.changed, now.record.decided.in_flight), (changed, in_flight), "{action:?}");
    }
    for action in [SUSPEND, Restore] {
        let refused = capability(&*store, agent, "pay", action).await.unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("only a suspended capability can be restored"), "{said}");
    }
}

pub async fn an_agent_has_at_most_so_many_stopped_capabilities(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let (agent, other) = (register_as(&*store, 1).await, register_as(&*store, 2).await);
    for n in 0..MAX_STOPPED_CAPABILITIES {
        let action = if n == 0 { SUSPEND } else { REVOKE };
        capability(&*store, agent, &format!("a{n:03}"), action).await.unwrap();
    }
    let refused = capability(&*store, agent, "more", SUSPEND).await.unwrap_err();
    assert!(refused.to_string().contains("has 256 stopped capabilities"), "{refused}");
    let preview = store.preview(Target::Capability(agent, "more".parse().unwrap()), SUSPEND).await;
    assert!(preview.is_err(), "a preview is refused as the stop is");
    // What is stopped can be stopped more strictly, and another agent's goes on.
    assert!(capability(&*store, agent, "a000", REVOKE).await.unwrap().changed);
    assert!(capability(&*store, other, "more", SUSPEND).await.unwrap().changed);
    assert_eq!(store.capabilities(agent).await.unwrap().len(), MAX_STOPPED_CAPABILITIES);
}

pub async fn of_restored_capabilities_the_oldest_is_forgotten(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let agent = register_as(&*store, 1).await;
    for n in 0..=MAX_STOPPED_CAPABILITIES {
        for action in [SUSPEND, Restore] {
            capability(&*store, agent, &format!("a{n:03}"), action).await.unwrap();
        }
    }
    let known = store.capabilities(agent).await.unwrap();
    assert_eq!(known.len(), MAX_STOPPED_CAPABILITIES);
    assert_eq!((known[0].action.as_str(), known.last().unwrap().action.as_str()), ("a001", "a256"));
    assert!(known.iter().all(|it| it.decided.status == Status::Active));
}

pub async fn a_halt_is_one_record_and_is_resumed(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let never = store.decide_fleet(FleetAction::Resume, cause("nothing")).await.unwrap();
    assert_eq!((never.changed, never.committed.position.revision), (false, Revision(0)));
    assert_eq!(store.fleet().await.unwrap().decided, None);
    for n in 1..=5 {
        register_as(&*store, n).await;
        issue(&*store, agent_id(n), u8::try_from(n).unwrap(), 60).await.unwrap();
    }
    let halted =
        store.decide_fleet(FleetAction::Halt(InFlight::Drain), cause("fire")).await.unwrap();
    assert!(halted.changed);
    let harder = store.decide_fleet(HALT, cause("bigger fire")).await.unwrap();
    assert!(harder.changed, "what drains is cut short");
    let again =
        store.decide_fleet(FleetAction::Halt(InFlight::Drain), cause("again")).await.unwrap();
    assert_eq!((again.changed, again.committed), (false, harder.committed));
    let (known, events) = revision_of(&*store, harder.committed.position.revision.0).await;
    let standing = Standing::new(Status::Suspended);
    assert_eq!(known, Known { fleet: Some(standing), ..Known::default() });
    assert_eq!(events, [("fleet.halted".to_owned(), "fleet".to_owned())]);
    assert_eq!(Known::replay(records(&*store, 0).await.1).fleet, Some(standing));
    assert_eq!(store.reach(Target::Fleet).await.unwrap(), Reach { agents: 5, tokens: 5 });
    let resumed = store.decide_fleet(FleetAction::Resume, cause("out")).await.unwrap();
    assert!(resumed.changed);
    assert_eq!(store.fleet().await.unwrap(), resumed.record);
    assert_eq!(resumed.record.status(), Status::Active);
    let again = store.decide_fleet(FleetAction::Resume, cause("out")).await.unwrap();
    assert_eq!((again.changed, again.committed), (false, resumed.committed));
}

pub async fn the_strictest_of_two_stops_at_the_same_time_wins(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let agent = register_as(&*store, 1).await;
    for n in 0..10 {
        let name = format!("p{n}");
        add(&*store, &name, n).await;
        decide_on(&*store, &name, SUSPEND).await.unwrap();
        capability(&*store, agent, &name, SUSPEND).await.unwrap();
        let (revoked, _, capability_revoked, _) = tokio::join!(
            decide_on(&*store, &name, REVOKE),
            decide_on(&*store, &name, Restore),
            capability(&*store, agent, &name, REVOKE),
            capability(&*store, agent, &name, Restore),
        );
        assert!(revoked.unwrap().changed && capability_revoked.unwrap().changed);
        let key = name.parse().unwrap();
        assert_eq!(store.principal(key).await.unwrap().decided.status, Status::Revoked);
    }
    let known = store.capabilities(agent).await.unwrap();
    assert!(known.iter().all(|it| it.decided.status == Status::Revoked));
}

pub async fn every_kind_of_stop_survives_a_reopening_and_leads_to_the_same_records(
    fixture: impl Fixture,
) {
    let clock = Arc::new(TestClock::at(100));
    let store = fixture.open(clock.clone()).await;
    add(&*store, "alice", 1).await;
    let agent = register_for(&*store, "alice", 1).await.unwrap();
    capability(&*store, agent, "pay", REVOKE).await.unwrap();
    capability(&*store, agent, "look", SUSPEND).await.unwrap();
    decide_on(&*store, "alice", SUSPEND).await.unwrap();
    store.decide_fleet(HALT, cause("fire")).await.unwrap();
    let updates = store.updates_after(Revision(0), 100).await.unwrap();
    let replayed = Known::replay(updates.into_iter().flat_map(|update| update.delta.changes));
    assert_eq!(replayed.capabilities.len(), 2);
    assert_eq!(Known::replay(records(&*store, 0).await.1), replayed);
    store.close().await;
    let store = fixture.open(clock).await;
    assert_eq!(Known::replay(records(&*store, 0).await.1), replayed);
    assert_eq!(store.fleet().await.unwrap().status(), Status::Suspended);
    assert_eq!(store.capabilities(agent).await.unwrap().len(), 2);
    assert_eq!(store.agent(agent).await.unwrap().owner.unwrap().status, Status::Suspended);
}
