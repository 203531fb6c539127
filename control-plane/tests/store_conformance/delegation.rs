//! Who acts for whom, who takes whose place, and tokens that are for less than all.

use kya_control_plane::store::{
    DelegationError, NewSuccessor, ServiceName, Target, TokenLimits, TokenSelection,
};
use kya_core::{PublicKey, Signer};
use wire::change::Change;

use super::*;

fn key(n: u8) -> PublicKey {
    Signer::from_seed([n; 32]).public_key()
}

fn successor(of: AgentId, n: u64, revoke: bool) -> NewSuccessor {
    NewSuccessor {
        id: agent_id(n),
        replaces: of,
        public_key: key(u8::try_from(n).unwrap()),
        name: None,
        owner: None,
        labels: None,
        expires: None,
        revoke,
    }
}

async fn register_below(store: &dyn Store, n: u64, parent: AgentId) -> Result<AgentId, StoreError> {
    let new = NewAgent { parent: Some(parent), ..NewAgent::named(agent_id(n), "below") };
    Ok(store.register_agent(new, Cause::default()).await?.record.id)
}

fn limits(services: &[&str], actions: &[&str]) -> TokenLimits {
    let service = |name: &&str| ServiceName::try_from((*name).to_owned()).unwrap();
    let services = services.iter().map(service).collect::<Vec<_>>();
    let actions = actions.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>();
    let named = |empty: bool| !empty;
    TokenLimits::new(
        named(services.is_empty()).then_some(services),
        named(actions.is_empty()).then_some(actions),
    )
    .unwrap()
}

async fn issue_for(store: &dyn Store, agent: AgentId, n: u8, limits: TokenLimits) -> Token {
    let digest = OpaqueToken::from_random([n; 32]).digest();
    let id = TokenId::from_bytes([n; 16]);
    let new = NewToken { id, digest, agent_id: agent, limits, ttl_seconds: 60 };
    store.issue_token(new, Cause::default()).await.unwrap().record
}

/// The last change of an agent, as a proxy is sent it.
async fn sent(store: &dyn Store, agent: AgentId) -> wire::Agent {
    let updates = store.updates_after(Revision(0), 1000).await.unwrap().into_iter();
    let changes = updates.flat_map(|update| update.delta.changes);
    let of = |change: wire::Change| match change.change {
        Some(Change::Agent(it)) if it.id == agent.to_bytes() => Some(it),
        _ => None,
    };
    changes.filter_map(of).next_back().expect("the agent was sent")
}

pub async fn a_successor_takes_the_place_of_a_revoked_agent_once(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    let old = register(&*store).await;
    let replace = |new| store.replace_agent(new, cause("fresh key"));
    let refused = replace(successor(old, 2, false)).await.unwrap_err();
    assert!(refused.to_string().contains("is not revoked"), "{refused}");
    assert_eq!(revision(&*store).await, 1, "what is refused leaves no trace");
    let new = replace(successor(old, 2, true)).await.unwrap().record;
    assert_eq!((new.replaces, new.name.as_str()), (Some(old), "agent 1"));
    assert_eq!((new.status, new.public_key), (Status::Active, Some(key(2))));
    assert_eq!(revision(&*store).await, 2, "revoked and replaced by one revision");
    let before = store.agent(old).await.unwrap();
    assert_eq!((before.status, before.replaced_by), (Status::Revoked, Some(new.id)));
    let events = store.events_after(0, 100).await.unwrap();
    let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(
        actions,
        ["agent.registered", "agent.revoked", "agent.replaced", "agent.registered"]
    );
    let [was, is] = [&events[2].before, &events[2].after].map(|it| it.as_ref().unwrap());
    assert_eq!(
        (&was["replaced_by"], &was["status"]),
        (&serde_json::Value::Null, &"revoked".into())
    );
    assert_eq!(is["replaced_by"], new.id.to_string());
    let refused = replace(successor(old, 3, true)).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("was replaced by {}", new.id)), "{refused}");
    let same = NewSuccessor { public_key: key(2), ..successor(new.id, 4, true) };
    let refused = replace(same).await.unwrap_err();
    assert!(matches!(refused, StoreError::Delegation(DelegationError::KeyUsed { .. })));
    assert!(matches!(
        replace(successor(agent_id(99), 5, true)).await,
        Err(StoreError::NoSuchAgent(_))
    ));
    assert!(replace(successor(new.id, 4, true)).await.unwrap().changed);
}

pub async fn a_sub_agent_acts_for_one_that_may_and_for_no_longer(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(10));
    let store = fixture.open(clock.clone()).await;
    let new = NewAgent { expires: Some(UnixSeconds(100)), ..NewAgent::named(agent_id(1), "top") };
    let top = store.register_agent(new, Cause::default()).await.unwrap().record.id;
    let below = register_below(&*store, 2, top).await.unwrap();
    let record = store.agent(below).await.unwrap();
    assert_eq!((record.parent, record.expires), (Some(top), Some(UnixSeconds(100))));
    let told = sent(&*store, below).await;
    assert_eq!((told.parent_id, told.expires_unix_seconds), (top.to_bytes().to_vec(), 100));
    let longer = NewAgent {
        parent: Some(top),
        expires: Some(UnixSeconds(101)),
        ..NewAgent::named(agent_id(3), "longer")
    };
    let refused = store.register_agent(longer, Cause::default()).await.unwrap_err();
    assert!(refused.to_string().contains("expires no later than"), "{refused}");
    let unknown = register_below(&*store, 4, agent_id(99)).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchAgent(_))));
    let filter = AgentFilter { parent: Some(top), ..AgentFilter::default() };
    let listed = store.agents(filter, None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|agent| agent.id).collect::<Vec<_>>(), [below]);
    let third = register_below(&*store, 5, below).await.unwrap();
    let tree = store.descendants(top, 10).await.unwrap();
    let tree: Vec<_> = tree.iter().map(|it| (it.agent.id, it.depth)).collect();
    assert_eq!(tree, [(top, 0), (below, 1), (third, 2)]);
    let reach = store.reach(Target::Agent(top)).await.unwrap();
    assert_eq!(reach.agents, 3, "whoever is stopped stops those who act for them");

    decide(&*store, below, SUSPEND).await.unwrap();
    for parent in [below, third] {
        let refused = register_below(&*store, 6, parent).await.unwrap_err();
        assert!(refused.to_string().contains("is suspended"), "{refused}");
    }
    clock.set(100);
    let refused = register_below(&*store, 6, top).await.unwrap_err();
    assert!(refused.to_string().contains("is expired"), "{refused}");
}

pub async fn a_chain_of_agents_has_an_end(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    let mut last = register(&*store).await;
    for n in 2..=9 {
        last = register_below(&*store, n, last).await.unwrap();
    }
    let refused = register_below(&*store, 10, last).await.unwrap_err();
    assert!(matches!(refused, StoreError::Delegation(DelegationError::TooDeep(_))), "{refused}");
}

pub async fn a_sub_agent_has_the_owner_of_its_parent_and_no_wider_policy(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    let alice = stops::add(&*store, "alice", 1).await;
    stops::add(&*store, "bob", 2).await;
    for (n, name, allow) in [(1, "narrow", &["pay"][..]), (2, "wide", &["pay", "refund"])] {
        policies::apply(&*store, n, name, allow).await;
    }
    let under = |n, policy: &str, parent, owner: Option<&str>| NewAgent {
        policy: Some(policy.parse().unwrap()),
        parent,
        owner: owner.map(|name| name.parse().unwrap()),
        ..NewAgent::named(agent_id(n), "agent")
    };
    let register = |new| store.register_agent(new, Cause::default());
    let top = register(under(1, "narrow", None, Some("alice"))).await.unwrap().record.id;
    let below = register(under(2, "narrow", Some(top), None)).await.unwrap().record;
    assert_eq!(below.owner.map(|owner| owner.id), Some(alice.id));
    let refused = register(under(3, "narrow", Some(top), Some("bob"))).await.unwrap_err();
    assert!(refused.to_string().contains("has the owner of the one"), "{refused}");
    let refused = register(under(3, "wide", Some(top), None)).await.unwrap_err();
    assert!(refused.to_string().contains("`allow` must hold only patterns"), "{refused}");
    let wide = register(under(4, "wide", None, None)).await.unwrap().record.id;
    assert!(register(under(5, "narrow", Some(wide), None)).await.is_ok());
}

pub async fn a_suspension_that_drains_says_since_when(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(10));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    clock.set(20);
    decide(&*store, agent, SUSPEND).await.unwrap();
    assert_eq!(sent(&*store, agent).await.suspended_unix_seconds, 20);
    decide(&*store, agent, StatusAction::Suspend(InFlight::Abort)).await.unwrap();
    assert_eq!(sent(&*store, agent).await.suspended_unix_seconds, 0, "nothing is to end");
    decide(&*store, agent, Restore).await.unwrap();
    assert_eq!(sent(&*store, agent).await.suspended_unix_seconds, 0);
}

pub async fn tokens_for_the_same_share_a_grant_and_others_have_their_own(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    let agent = register(&*store).await;
    let all = issue_for(&*store, agent, 1, TokenLimits::default()).await;
    let one = issue_for(&*store, agent, 2, limits(&["shop", "mail"], &["pay"])).await;
    let same = issue_for(&*store, agent, 3, limits(&["mail", "shop"], &["pay"])).await;
    let other = issue_for(&*store, agent, 4, limits(&[], &["pay"])).await;
    assert_eq!(one.grant, same.grant);
    assert!(all.grant != one.grant && one.grant != other.grant && other.grant != all.grant);
    assert_eq!(store.unlimited_grant(agent).await.unwrap(), all.grant);
    let records = records(&*store, 0).await.1;
    let grants = records.iter().filter_map(|it| match it.change.as_ref() {
        Some(Change::Grant(grant)) => {
            Some((grant.index, grant.services.join(" "), grant.actions.join(" ")))
        }
        _ => None,
    });
    let mut grants: Vec<_> = grants.collect();
    grants.sort();
    let expected = [
        (all.grant.get(), String::new(), String::new()),
        (one.grant.get(), "mail shop".to_owned(), "pay".to_owned()),
        (other.grant.get(), String::new(), "pay".to_owned()),
    ];
    assert_eq!(grants, expected);
    let listed = store.tokens(Some(agent), None, 10).await.unwrap();
    assert_eq!(listed[1].limits, limits(&["mail", "shop"], &["pay"]));
    let selection = TokenSelection {
        agent: Some(agent),
        service: Some(ServiceName::try_from("bank".to_owned()).unwrap()),
        ..TokenSelection::default()
    };
    // Those that are for all services are good for this one.
    let batch = store.revoke_tokens(selection, None, cause("bank")).await.unwrap();
    assert_eq!((batch.changed, batch.next), (2, None));
    let left = store.tokens(Some(agent), None, 10).await.unwrap();
    let left: Vec<_> = left.iter().filter(|it| it.revoked_at.is_none()).map(|it| it.id).collect();
    assert_eq!(left, [one.id, same.id]);
}

pub async fn all_tokens_of_an_agent_are_taken_back_by_one_record(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(10));
    let store = fixture.open(clock.clone()).await;
    let agent = register(&*store).await;
    for n in 1..=5 {
        issue(&*store, agent, n, 60).await.unwrap();
    }
    let before = revision(&*store).await;
    let taken = store.supersede_tokens(agent, cause("leaked")).await.unwrap();
    assert_eq!((taken.changed, taken.record.tokens_not_before), (true, UnixSeconds(10)));
    assert_eq!(revision(&*store).await, before + 1);
    let standing = sent(&*store, agent).await.standing.unwrap();
    assert_eq!(standing.not_before_unix_seconds, 10);
    assert!(!store.supersede_tokens(agent, cause("again")).await.unwrap().changed);
    // One that is issued in the same second counts: it is of the next.
    let later = issue(&*store, agent, 6, 60).await.unwrap().record;
    assert!(later.issued_at.seconds() > UnixSeconds(10));
    let superseded = store.tokens(Some(agent), None, 10).await.unwrap();
    let superseded: Vec<_> = superseded.iter().map(|token| token.superseded).collect();
    assert_eq!(superseded, [true, true, true, true, true, false]);
    clock.set(20);
    assert!(store.supersede_tokens(agent, cause("later")).await.unwrap().changed);
}

pub async fn an_expiry_is_noted_once_when_it_has_come(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(10));
    let store = fixture.open(clock.clone()).await;
    for n in 1..=3 {
        let new = NewAgent {
            expires: Some(UnixSeconds(20 + n)),
            ..NewAgent::named(agent_id(n), "for a while")
        };
        store.register_agent(new, Cause::default()).await.unwrap();
    }
    decide(&*store, agent_id(2), REVOKE).await.unwrap();
    assert_eq!(store.note_expired(10).await.unwrap(), 0);
    let head = store.head().await.unwrap();
    clock.set(30);
    assert_eq!(store.note_expired(1).await.unwrap(), 1);
    assert_eq!(store.note_expired(10).await.unwrap(), 1, "who is revoked does not expire");
    assert_eq!(store.note_expired(10).await.unwrap(), 0);
    assert_eq!(store.head().await.unwrap(), head, "it is no change of authority");
    let events = store.events_after(0, 100).await.unwrap();
    let expired = events.iter().filter(|event| event.action == "agent.expired");
    let expired: Vec<_> = expired.map(|event| event.subject.clone()).collect();
    assert_eq!(expired, [agent_id(1).to_string(), agent_id(3).to_string()]);
}

pub async fn of_many_that_register_one_key_at_once_one_gets_it(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    let with_key = |n: u64, seed: u8| NewAgent {
        public_key: Some(key(seed)),
        ..NewAgent::named(agent_id(n), format!("agent {n}"))
    };
    let racing: Vec<_> = (1..=8)
        .map(|n| {
            let (store, new) = (Arc::clone(&store), with_key(n, 7));
            tokio::spawn(async move { store.register_agent(new, Cause::default()).await })
        })
        .collect();
    let (mut winners, mut told) = (Vec::new(), Vec::new());
    for task in racing {
        match task.await.unwrap() {
            Ok(outcome) => winners.push(outcome.record.id),
            Err(StoreError::Delegation(DelegationError::KeyUsed { of })) => told.push(of),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(told, vec![winners[0]; 7], "each is told whose key it is");
    assert_eq!(revision(&*store).await, 1, "what is refused leaves no trace");
    // It stays the key of whoever had it.
    decide(&*store, winners[0], REVOKE).await.unwrap();
    let refused = store.register_agent(with_key(9, 7), Cause::default()).await.unwrap_err();
    assert!(refused.to_string().contains(&winners[0].to_string()), "{refused}");
    let taken = NewSuccessor { public_key: key(7), ..successor(winners[0], 9, false) };
    let refused = store.replace_agent(taken, cause("r")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Delegation(DelegationError::KeyUsed { .. })));
    // Agents without a key are no agents with the same one.
    for n in [10, 11] {
        register_as(&*store, n).await;
    }
    assert!(store.register_agent(with_key(12, 8), Cause::default()).await.is_ok());
}

pub async fn an_agent_is_put_under_no_wider_policy_than_those_above_it(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    for (n, name, allow) in
        [(1, "narrow", &["pay"][..]), (2, "wide", &["pay", "refund"]), (3, "other", &["pay"])]
    {
        policies::apply(&*store, n, name, allow).await;
    }
    let top = policies::register_under(&*store, 1, "narrow").await.unwrap();
    let middle = register_below(&*store, 2, top).await.unwrap();
    let below = register_below(&*store, 3, middle).await.unwrap();
    let assign = |agent, policy: Option<&str>| {
        let policy = policy.map(|name| name.parse().unwrap());
        store.assign_policy(agent, policy, cause("r"))
    };
    // The one in the middle has no policy of its own, and no more authority for that.
    for agent in [below, middle] {
        let before = revision(&*store).await;
        let refused = assign(agent, Some("wide")).await.unwrap_err();
        let StoreError::Delegation(DelegationError::MoreThanAbove { above, .. }) = refused else {
            panic!("{refused}")
        };
        assert_eq!(above, top);
        assert_eq!(revision(&*store).await, before, "what is refused leaves no trace");
        assert!(assign(agent, Some("other")).await.unwrap().changed);
    }
    let wider = NewAgent {
        parent: Some(middle),
        policy: Some("wide".parse().unwrap()),
        ..NewAgent::named(agent_id(4), "wider")
    };
    assert!(store.register_agent(wider, Cause::default()).await.is_err());
    assert!(assign(below, None).await.unwrap().changed, "those above bound it all the same");
    assert!(assign(top, Some("wide")).await.unwrap().changed, "nobody is above it");
    let refused = assign(below, Some("wide")).await.unwrap_err();
    assert!(refused.to_string().contains(&middle.to_string()), "{refused}");
}
