//! Kills in every store.

use std::sync::Arc;

use kya_control_plane::store::{
    Cause, FleetAction, KillFilter, NewAgent, NewSuccessor, Outcome, PolicyChange, Store,
    TokenSelection,
};
use kya_core::{AgentId, InFlight, KillId, Position, PublicKey, Revision, Signer};

use super::stops::{add, register_for};
use super::{Fixture, REVOKE, SUSPEND, agent_id, cause, decide, issue, register_as};
use crate::support::TestClock;

async fn all(store: &dyn Store) -> Vec<(String, String)> {
    let kills = store.kills(KillFilter::default(), None, 1000).await.unwrap();
    kills.into_iter().rev().map(|kill| (kill.act, kill.subject)).collect()
}

async fn at(store: &dyn Store, position: Position) -> Option<KillId> {
    store.kill_at(position.revision).await.unwrap()
}

fn key(n: u8) -> PublicKey {
    Signer::from_seed([n; 32]).public_key()
}

/// An agent with a label.
async fn labelled(store: &dyn Store, n: u64) -> AgentId {
    let labels = "team=a".parse().unwrap();
    let new = NewAgent { labels, ..NewAgent::named(agent_id(n), "labelled") };
    store.register_agent(new, Cause::default()).await.unwrap().record.id
}

pub async fn every_kind_of_stop_is_a_kill_and_nothing_else_is(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1_000))).await;
    let store = &*store;
    add(store, "alice", 1).await;
    let (one, two) = (register_as(store, 1).await, register_as(store, 2).await);
    let (three, four) = (labelled(store, 3).await, labelled(store, 4).await);
    let token = issue(store, two, 1, 600).await.unwrap().record.id;
    issue(store, two, 2, 600).await.unwrap();
    issue(store, three, 3, 600).await.unwrap();
    assert!(all(store).await.is_empty(), "nobody was stopped");
    let first: Outcome<_> = decide(store, one, SUSPEND).await.unwrap();
    let kill = at(store, first.committed.position).await.unwrap();
    let again = decide(store, one, SUSPEND).await.unwrap();
    assert!(!again.changed);
    assert_eq!(at(store, again.committed.position).await, Some(kill), "the one that made it so");
    decide(store, one, kya_control_plane::store::StatusAction::Restore).await.unwrap();
    decide(store, one, REVOKE).await.unwrap();
    let pay = "pay".parse().unwrap();
    store.decide_capability(two, pay, SUSPEND, cause("x")).await.unwrap();
    store.decide_principal("alice".parse().unwrap(), REVOKE, cause("x")).await.unwrap();
    store.decide_fleet(FleetAction::Halt(InFlight::Drain), cause("x")).await.unwrap();
    store.decide_fleet(FleetAction::Resume, cause("x")).await.unwrap();
    store.revoke_token(token, cause("x")).await.unwrap();
    let selection = TokenSelection { agent: Some(three), ..TokenSelection::default() };
    store.revoke_tokens(selection.clone(), None, cause("x")).await.unwrap();
    store.supersede_tokens(two, cause("x")).await.unwrap();
    let selector: kya_control_plane::labels::Selector = "team=a".parse().unwrap();
    store.decide_agents(selector.clone(), None, REVOKE, cause("x")).await.unwrap();
    let new = NewSuccessor {
        id: agent_id(9),
        replaces: two,
        public_key: key(9),
        name: None,
        owner: None,
        labels: None,
        expires: None,
        revoke: true,
    };
    let replaced = store.replace_agent(new, cause("x")).await.unwrap();
    assert!(at(store, replaced.committed.position).await.is_some());
    let subjects: Vec<_> = all(store).await;
    let principal = store.principal("alice".parse().unwrap()).await.unwrap().id;
    let expected = [
        ("agent.suspended", one.to_string()),
        ("agent.revoked", one.to_string()),
        ("capability.suspended", format!("{two} pay")),
        ("principal.revoked", principal.to_string()),
        ("fleet.halted", "fleet".to_owned()),
        ("token.revoked", token.to_string()),
        ("tokens.revoked", selection.to_string()),
        ("agent.tokens_revoked", two.to_string()),
        ("selection.revoked", selector.to_string()),
        ("agent.revoked", two.to_string()),
    ];
    let expected: Vec<_> = expected.map(|(act, of)| (act.to_owned(), of)).into();
    assert_eq!(subjects, expected);
    let events = store.events_after(0, 1000).await.unwrap();
    let kills = store.kills(KillFilter::default(), None, 1000).await.unwrap();
    let of_events = store.kills_of_events(0, u64::MAX / 2).await.unwrap();
    assert_eq!(of_events.len(), kills.len());
    for kill in &kills {
        let event = events.iter().find(|event| event.sequence == kill.event).unwrap();
        assert_eq!((&event.action, &event.subject), (&kill.act, &kill.subject));
        assert_eq!(event.committed, kill.committed);
        assert_eq!(event.cause.actor, kill.cause.actor);
        assert_eq!(store.kill(kill.id).await.unwrap().as_ref(), Some(kill));
    }
    let drains = kills.iter().filter(|kill| kill.in_flight == InFlight::Drain);
    let drains: Vec<_> = drains.map(|kill| kill.act.as_str()).collect();
    assert_eq!(drains, ["fleet.halted", "capability.suspended", "agent.suspended"]);
    assert!(store.agent(four).await.unwrap().revoked_at.is_some());
}

pub async fn a_policy_that_is_revoked_is_a_kill(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1_000))).await;
    let store = &*store;
    let policy = super::policies::apply(store, 1, "payments", &["pay"]).await.record;
    let reference = kya_core::policy::PolicyReference::Id(policy.id);
    let change = PolicyChange::Revoke(reference.clone(), InFlight::Drain);
    let new = NewAgent { policy: Some(reference), ..NewAgent::named(agent_id(1), "payer") };
    store.register_agent(new, Cause::default()).await.unwrap();
    store.change_policy(change, None, cause("x")).await.unwrap();
    let kills = store.kills(KillFilter::default(), None, 10).await.unwrap();
    assert_eq!(kills.len(), 1);
    assert_eq!(kills[0].subject, format!("{}@2", policy.id));
    assert_eq!(kills[0].in_flight, InFlight::Drain);
    let reach = store.kill_reach(&kills[0]).await.unwrap();
    assert_eq!((reach.agents, reach.listed), (1, vec![agent_id(1)]));
}

pub async fn a_kill_reaches_what_counted_at_its_instant(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(1_000));
    let store = fixture.open(clock.clone()).await;
    let store = &*store;
    add(store, "alice", 1).await;
    let (one, two) = (
        register_for(store, "alice", 1).await.unwrap(),
        register_for(store, "alice", 2).await.unwrap(),
    );
    let below = NewAgent { parent: Some(one), ..NewAgent::named(agent_id(3), "below") };
    store.register_agent(below, Cause::default()).await.unwrap();
    let gone = register_for(store, "alice", 4).await.unwrap();
    for (n, holder) in [(1, one), (2, one), (3, agent_id(3)), (4, two), (5, gone)] {
        issue(store, holder, n, 600).await.unwrap();
    }
    decide(store, gone, REVOKE).await.unwrap();
    clock.set(1_001);
    let reach = async |position: Position| {
        let id = at(store, position).await.unwrap();
        let kill = store.kill(id).await.unwrap().unwrap();
        store.kill_reach(&kill).await.unwrap()
    };
    let pay = "pay".parse().unwrap();
    let stopped = store.decide_capability(one, pay, REVOKE, cause("x")).await.unwrap();
    let capability = stopped.committed.position;
    let taken = store.supersede_tokens(two, cause("x")).await.unwrap().committed.position;
    let agent = decide(store, one, REVOKE).await.unwrap().committed.position;
    clock.set(1_002);
    let alice = "alice".parse().unwrap();
    let all = store.decide_principal(alice, REVOKE, cause("x")).await.unwrap().committed.position;
    // What happens after a kill does not change what it reached.
    clock.set(1_003);
    decide(store, two, REVOKE).await.unwrap();
    let found = reach(agent).await;
    assert_eq!((found.agents, found.tokens, found.capability_tokens), (2, 3, 0));
    assert_eq!(found.listed, [one, agent_id(3)]);
    let found = reach(capability).await;
    assert_eq!((found.agents, found.actions), (2, vec!["pay".to_owned()]));
    let found = reach(taken).await;
    assert_eq!((found.agents, found.tokens, found.holders), (0, 1, vec![two]));
    let found = reach(all).await;
    // One that is revoked is gone, its sub-agent is not, and the other has no token left.
    assert_eq!((found.agents, found.tokens), (2, 1));
}

pub async fn kills_are_listed_the_newest_first_page_by_page(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1_000))).await;
    let store = &*store;
    let mut ids = Vec::new();
    for n in 1..=5 {
        let id = register_as(store, n).await;
        let position = decide(store, id, SUSPEND).await.unwrap().committed.position;
        ids.push(at(store, position).await.unwrap());
        if n == 3 {
            decide(store, id, REVOKE).await.unwrap();
        }
    }
    let page = async |filter: KillFilter, before, limit| {
        let found = store.kills(filter, before, limit).await.unwrap();
        found.into_iter().map(|kill| kill.id).collect::<Vec<_>>()
    };
    let suspended =
        || KillFilter { act: Some("agent.suspended".to_owned()), ..KillFilter::default() };
    assert_eq!(page(suspended(), None, 2).await, [ids[4], ids[3]]);
    assert_eq!(page(suspended(), Some(ids[3]), 2).await, [ids[2], ids[1]]);
    assert_eq!(page(suspended(), Some(ids[1]), 2).await, [ids[0]]);
    let subject = Some(agent_id(3).to_string());
    let of_one = KillFilter { subject, ..KillFilter::default() };
    assert_eq!(page(of_one.clone(), None, 10).await.len(), 2);
    assert_eq!(page(KillFilter { act: suspended().act, ..of_one }, None, 10).await, [ids[2]]);
    let incident_id = Some("INC-1".to_owned());
    let of_incident = KillFilter { incident_id, ..KillFilter::default() };
    assert_eq!(page(of_incident, None, 10).await.len(), 6);
    let nobodys = KillId::from_bytes([7; 16]);
    assert!(store.kill(nobodys).await.unwrap().is_none());
    assert_eq!(store.kill_at(Revision(0)).await.unwrap(), None);
    assert!(page(KillFilter::default(), Some(nobodys), 10).await.is_empty());
}
