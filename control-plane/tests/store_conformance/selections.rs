//! Labels, expiry, and decisions about many agents, in every store.

use std::sync::Arc;

use kya_control_plane::labels::Selector;
use kya_control_plane::store::{
    AgentFilter, Batch, Cause, NewAgent, NewPrincipal, Reach, ShownStatus, StatusAction, StopError,
    Store, StoreError, Target,
};
use kya_core::{AgentId, MAX_CHANGES, PrincipalId, Revision, Status, TokenId, UnixSeconds};

use super::stops::register_for;
use super::{
    Fixture, REVOKE, SUSPEND, agent_id, cause, decide, everything, issue, records, register_as,
};
use crate::support::TestClock;
use crate::support::state::Known;

async fn label(store: &dyn Store, n: u64, labels: &str, expires: Option<u64>) -> AgentId {
    let labels = labels.parse().unwrap();
    let expires = expires.map(UnixSeconds);
    let new = NewAgent { labels, expires, ..NewAgent::named(agent_id(n), format!("agent {n}")) };
    store.register_agent(new, Cause::default()).await.unwrap().record.id
}

fn selector(text: &str) -> Selector {
    text.parse().unwrap()
}

async fn found(store: &dyn Store, filter: AgentFilter) -> Vec<AgentId> {
    let mut seen: Vec<AgentId> = Vec::new();
    loop {
        let page = store.agents(filter.clone(), seen.last().copied(), 2).await.unwrap();
        seen.extend(page.iter().map(|agent| agent.id));
        if page.len() < 2 {
            return seen;
        }
    }
}

async fn stop(store: &dyn Store, text: &str, action: StatusAction) -> Batch {
    store.decide_agents(selector(text), None, action, cause("noise")).await.unwrap()
}

pub async fn an_expired_agent_is_shown_as_that_and_gets_no_tokens(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(100));
    let store = fixture.open(clock.clone()).await;
    let agent = label(&*store, 1, "", Some(200)).await;
    let gone = label(&*store, 2, "", Some(200)).await;
    let forever = label(&*store, 3, "", None).await;
    decide(&*store, gone, REVOKE).await.unwrap();
    issue(&*store, agent, 1, 1_000).await.unwrap();
    let active = || AgentFilter {
        status: Some(ShownStatus::Decided(Status::Active)),
        ..AgentFilter::default()
    };
    let expired = || AgentFilter { status: Some(ShownStatus::Expired), ..AgentFilter::default() };
    let revoked = || AgentFilter {
        status: Some(ShownStatus::Decided(Status::Revoked)),
        ..AgentFilter::default()
    };
    clock.set(199);
    assert_eq!(found(&*store, active()).await, [agent, forever]);
    assert_eq!(found(&*store, expired()).await, []);
    clock.set(200);
    assert_eq!(found(&*store, active()).await, [forever]);
    assert_eq!(found(&*store, expired()).await, [agent]);
    assert_eq!(found(&*store, revoked()).await, [gone]);
    let refused = issue(&*store, agent, 2, 60).await.unwrap_err();
    let StoreError::Stop(StopError::AgentExpired { agent: of, at }) = refused else { panic!() };
    assert_eq!((of, at), (agent, UnixSeconds(200)));
    assert_eq!(store.reach(Target::Fleet).await.unwrap(), Reach { agents: 1, tokens: 0 });
    // It can be revoked all the same, which is more.
    assert!(decide(&*store, agent, REVOKE).await.unwrap().changed);
    assert_eq!(found(&*store, revoked()).await, [agent, gone]);
}

pub async fn agents_are_found_by_labels_owner_and_status(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let new = NewPrincipal { id: PrincipalId::from_bytes([1; 16]), name: "alice".parse().unwrap() };
    store.add_principal(new, Cause::default()).await.unwrap();
    for (n, labels) in
        [(1, "env=prod,team=a"), (2, "env=prod,team=b"), (3, "env=staging,team=a"), (4, "")]
    {
        label(&*store, n, labels, None).await;
    }
    register_for(&*store, "alice", 5).await.unwrap();
    decide(&*store, agent_id(2), SUSPEND).await.unwrap();
    for (text, meant) in [
        ("env=prod", &[1, 2][..]),
        ("env=prod,team!=b", &[1]),
        ("env!=prod", &[3, 4, 5]),
        ("team", &[1, 2, 3]),
        ("!team", &[4, 5]),
        ("team=a", &[1, 3]),
        ("env=pro", &[]),
    ] {
        let filter = AgentFilter { selector: Some(selector(text)), ..AgentFilter::default() };
        let meant: Vec<_> = meant.iter().copied().map(agent_id).collect();
        assert_eq!(found(&*store, filter).await, meant, "{text}");
    }
    let owner = Some("alice".parse().unwrap());
    let hers = AgentFilter { owner, ..AgentFilter::default() };
    assert_eq!(found(&*store, hers).await, [agent_id(5)]);
    let both = AgentFilter {
        status: Some(ShownStatus::Decided(Status::Suspended)),
        selector: Some(selector("env=prod")),
        ..AgentFilter::default()
    };
    assert_eq!(found(&*store, both).await, [agent_id(2)]);
    let owner = Some("bob".parse().unwrap());
    let nobodys = store.agents(AgentFilter { owner, ..AgentFilter::default() }, None, 9).await;
    assert_eq!(nobodys.unwrap_err().to_string(), "there is no principal bob");
    let shown = store.agent(agent_id(1)).await.unwrap();
    assert_eq!(shown.labels.to_string(), "env=prod,team=a");
}

pub async fn a_selection_is_stopped_in_one_revision_and_each_agent_has_an_event(
    fixture: impl Fixture,
) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    for n in 1..=5 {
        label(&*store, n, if n == 5 { "env=prod" } else { "env=staging" }, None).await;
    }
    decide(&*store, agent_id(1), REVOKE).await.unwrap();
    decide(&*store, agent_id(2), SUSPEND).await.unwrap();
    let events_before = store.events_after(0, 100).await.unwrap().last().unwrap().sequence;

    let batch = stop(&*store, "env=staging", SUSPEND).await;
    assert_eq!((batch.changed, batch.unchanged, batch.next), (2, 2, None));
    let committed = batch.committed.unwrap();
    assert_eq!(committed.position.revision, Revision(8));
    let events = store.events_after(events_before, 100).await.unwrap();
    let told: Vec<_> = events.iter().map(|it| (it.action.as_str(), it.subject.as_str())).collect();
    let (third, fourth) = (agent_id(3).to_string(), agent_id(4).to_string());
    assert_eq!(
        told,
        [
            ("agent.suspended", &*third),
            ("agent.suspended", &*fourth),
            ("selection.suspended", "env=staging"),
        ]
    );
    assert!(events.iter().all(|it| it.committed == committed && it.cause == cause("noise")));
    let update = store.updates_after(Revision(7), 9).await.unwrap().remove(0);
    let changed: Vec<_> = Known::replay(update.delta.changes).agents.into_keys().collect();
    assert_eq!(changed, [agent_id(3), agent_id(4)]);
    let prod = store.agent(agent_id(5)).await.unwrap();
    assert_eq!((prod.status, prod.revision), (Status::Active, Revision(5)));
    let first = store.agent(agent_id(3)).await.unwrap();
    assert_eq!((first.status_reason.as_deref(), first.revision), (Some("noise"), Revision(8)));
    let known = Known::replay(records(&*store, 0).await.1);
    let stopped = known.agents.values().filter(|it| it.standing.status != Status::Active);
    assert_eq!(stopped.count(), 4);
}

pub async fn a_selection_that_is_stopped_already_changes_nothing(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    for n in 1..=3 {
        label(&*store, n, "env=staging", None).await;
    }
    let first = stop(&*store, "env=staging", REVOKE).await;
    let before = everything(&*store).await;
    for action in [REVOKE, SUSPEND] {
        let again = stop(&*store, "env=staging", action).await;
        assert_eq!((again.changed, again.unchanged), (0, 3));
        assert_eq!(again.committed, first.committed);
    }
    let nobody = stop(&*store, "env=prod", REVOKE).await;
    assert_eq!(nobody, Batch { changed: 0, unchanged: 0, committed: None, next: None });
    assert!(everything(&*store).await == before, "nothing was to be done");
}

pub async fn a_selection_of_more_than_a_delta_holds_goes_on_in_the_next_revision(
    fixture: impl Fixture,
) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let all = u64::try_from(MAX_CHANGES).unwrap() + 3;
    for n in 0..all {
        label(&*store, n, "env=staging", None).await;
    }
    let first = stop(&*store, "env=staging", REVOKE).await;
    assert_eq!(first.changed, all - 3);
    assert_eq!(first.next, Some(agent_id(all - 4)));
    let second = store.decide_agents(selector("env=staging"), first.next, REVOKE, cause("noise"));
    let second = second.await.unwrap();
    assert_eq!((second.changed, second.unchanged, second.next), (3, 0, None));
    let updates = store.updates_after(Revision(all), 9).await.unwrap();
    let sizes: Vec<_> = updates.iter().map(|update| update.delta.changes.len()).collect();
    assert_eq!(sizes, [MAX_CHANGES, 3]);
}

pub async fn a_preview_says_what_a_stop_would_do_and_writes_nothing(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let new = NewPrincipal { id: PrincipalId::from_bytes([1; 16]), name: "alice".parse().unwrap() };
    store.add_principal(new, Cause::default()).await.unwrap();
    let hers = register_for(&*store, "alice", 1).await.unwrap();
    let labelled = label(&*store, 2, "env=staging", None).await;
    let revoked = register_as(&*store, 3).await;
    for (agent, n) in [(hers, 1), (hers, 2), (labelled, 3), (revoked, 4)] {
        issue(&*store, agent, n, 60).await.unwrap();
    }
    decide(&*store, revoked, REVOKE).await.unwrap();
    let before = everything(&*store).await;
    let action = || "pay".parse().unwrap();
    for (target, changes, agents, tokens) in [
        (Target::Fleet, true, 2, 3),
        (Target::Principal("alice".parse().unwrap()), true, 1, 2),
        (Target::Agent(hers), true, 1, 2),
        (Target::Agent(revoked), false, 0, 0),
        (Target::Capability(hers, action()), true, 1, 2),
        (Target::Token(TokenId::from_bytes([3; 16])), true, 0, 1),
        (Target::Token(TokenId::from_bytes([4; 16])), true, 0, 0),
        (Target::Agents(selector("env=staging")), true, 1, 1),
        (Target::Agents(selector("env=prod")), false, 0, 0),
        (Target::Agents(selector("!env")), true, 1, 2),
    ] {
        let shown = format!("{target:?}");
        // The fleet is suspended, and nothing else.
        let action = if matches!(target, Target::Fleet) { SUSPEND } else { REVOKE };
        let preview = store.preview(target, action).await.unwrap();
        assert_eq!(
            (preview.changes, preview.reach),
            (changes, Reach { agents, tokens }),
            "{shown}"
        );
    }
    for target in [
        Target::Principal("bob".parse().unwrap()),
        Target::Agent(agent_id(9)),
        Target::Capability(agent_id(9), action()),
        Target::Token(TokenId::from_bytes([9; 16])),
    ] {
        assert!(store.preview(target.clone(), REVOKE).await.is_err(), "{target:?}");
        assert!(store.reach(target.clone()).await.is_err(), "{target:?}");
    }
    assert!(store.preview(Target::Agent(revoked), SUSPEND).await.is_err(), "as the stop itself");
    assert!(everything(&*store).await == before, "a preview wrote something");
}

pub async fn a_selection_reaches_also_those_who_act_for_its_agents(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    let below = async |n: u64, parent: AgentId, labels: &str, expires: Option<u64>| {
        let new = NewAgent {
            parent: Some(parent),
            labels: labels.parse().unwrap(),
            expires: expires.map(UnixSeconds),
            ..NewAgent::named(agent_id(n), "below")
        };
        store.register_agent(new, Cause::default()).await.unwrap().record.id
    };
    let top = label(&*store, 1, "env=staging", None).await;
    let second = below(2, top, "", None).await;
    // This one is meant by itself, too, and counts once.
    let third = below(3, second, "env=staging", None).await;
    let fourth = below(4, third, "", None).await;
    let other = label(&*store, 5, "env=prod", None).await;
    let others = below(6, other, "", None).await;
    let revoked = below(7, top, "", None).await;
    let expiring = below(8, revoked, "", Some(101)).await;
    for (agent, n) in [(top, 1), (second, 2), (fourth, 3), (fourth, 4), (others, 5), (revoked, 6)] {
        issue(&*store, agent, n, 60).await.unwrap();
    }
    decide(&*store, revoked, REVOKE).await.unwrap();
    let reach = async |text: &str| {
        let would = store.preview(Target::Agents(selector(text)), REVOKE).await.unwrap().reach;
        assert_eq!(store.reach(Target::Agents(selector(text))).await.unwrap(), would);
        would
    };
    assert_eq!(reach("env=staging").await, Reach { agents: 5, tokens: 4 });
    assert_eq!(reach("env=prod").await, Reach { agents: 2, tokens: 1 });
    assert_eq!(reach("env=none").await, Reach::default());
    // As for the agent at the top alone.
    assert_eq!(store.reach(Target::Agent(top)).await.unwrap(), reach("env=staging").await);
    decide(&*store, expiring, REVOKE).await.unwrap();
    assert_eq!(reach("env=staging").await, Reach { agents: 4, tokens: 4 });
}
