//! Policies.

use kya_control_plane::store::{
    Expected, Policy, PolicyChange, PolicyError, PolicyStep, Reach, Target,
};
use kya_core::policy::{PolicyDocument, PolicyReference};
use kya_core::{PolicyId, PolicyVersion};
use wire::change::Change;

use super::*;

fn checked(name: &str, allow: &[&str]) -> Box<kya_core::Policy> {
    let allow = allow.iter().map(|&it| it.to_owned()).collect();
    let document = PolicyDocument { name: name.to_owned(), allow, ..PolicyDocument::default() };
    Box::new(document.check().unwrap())
}

fn version(number: u32) -> PolicyVersion {
    PolicyVersion::new(number).unwrap()
}

fn named(name: &str) -> PolicyReference {
    name.parse().unwrap()
}

async fn change(
    store: &dyn Store,
    change: PolicyChange,
    expected: Option<Expected>,
) -> Result<Outcome<Policy>, StoreError> {
    store.change_policy(change, expected, cause("review")).await
}

/// Applies a policy, which gets an id of this number if it is new.
pub(super) async fn apply(store: &dyn Store, n: u8, name: &str, allow: &[&str]) -> Outcome<Policy> {
    let apply = PolicyChange::Apply(PolicyId::from_bytes([n; 16]), checked(name, allow));
    change(store, apply, None).await.unwrap()
}

async fn roll_back(store: &dyn Store, name: &str, to: u32) -> Result<Outcome<Policy>, StoreError> {
    change(store, PolicyChange::RollBack(named(name), version(to)), None).await
}

async fn revoke(store: &dyn Store, name: &str, in_flight: InFlight) -> Outcome<Policy> {
    change(store, PolicyChange::Revoke(named(name), in_flight), None).await.unwrap()
}

async fn last_event(store: &dyn Store) -> (String, String) {
    let last = store.events_after(0, 1000).await.unwrap().pop().unwrap();
    (last.action, last.subject)
}

pub async fn register_under(
    store: &dyn Store,
    n: u64,
    policy: &str,
) -> Result<AgentId, StoreError> {
    let policy = Some(named(policy));
    let new = NewAgent { policy, ..NewAgent::named(agent_id(n), "under") };
    Ok(store.register_agent(new, Cause::default()).await?.record.id)
}

pub async fn a_policy_has_versions_that_count_up_and_stay(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    let first = apply(&*store, 1, "pay", &["charge"]).await;
    assert!(first.changed);
    let Policy { id, step, revision, committed_at, cause: why, .. } = first.record.clone();
    assert_eq!((first.record.version, first.record.newest), (version(1), version(1)));
    assert_eq!((id, step), (PolicyId::from_bytes([1; 16]), PolicyStep::Applied));
    assert_eq!((revision, committed_at), (Revision(1), UnixMicros(10_000_000)));
    assert_eq!(why, cause("review"));
    assert_eq!(last_event(&*store).await, ("policy.applied".into(), format!("{id}@1")));
    // The same, written otherwise, is no change.
    let again = apply(&*store, 2, "pay", &["charge"]).await;
    assert_eq!((again.changed, again.committed), (false, first.committed));
    let second = apply(&*store, 2, "pay", &["charge", "refund"]).await;
    assert_eq!((second.record.id, second.record.version), (id, version(2)));
    let other = apply(&*store, 3, "mail", &["send"]).await;
    assert_eq!((other.record.version, revision_now(&*store).await), (version(1), 3));

    let listed = store.policies(None, 10).await.unwrap();
    assert_eq!(listed, [second.record.clone(), other.record.clone()]);
    assert_eq!(store.policies(Some(id), 10).await.unwrap(), [other.record]);
    let by_id = PolicyReference::Id(id);
    assert_eq!(store.policy(by_id.clone(), None).await.unwrap(), second.record);
    let before = Policy { newest: version(2), ..first.record };
    assert_eq!(store.policy(by_id.clone(), Some(version(1))).await.unwrap(), before);
    let history = store.policy_versions(by_id.clone(), None, 10).await.unwrap();
    assert_eq!(history, [second.record, before.clone()]);
    let older = store.policy_versions(by_id.clone(), Some(version(2)), 10).await.unwrap();
    assert_eq!(older, [before]);
    let unknown = store.policy(by_id, Some(version(3))).await.unwrap_err();
    assert!(unknown.to_string().contains("has no version 3: its newest is 2"), "{unknown}");
    let unknown = store.policy(named("male"), None).await.unwrap_err();
    assert!(matches!(unknown, StoreError::Policy(PolicyError::NoSuchPolicy(_))), "{unknown}");
    assert!(store.policy_versions(named("male"), None, 1).await.is_err());
    store.close().await;
    drop(store);
    fixture.closed().await;
    let store = fixture.open(Arc::new(TestClock::at(20))).await;
    assert_eq!(store.policies(None, 10).await.unwrap(), listed);
}

async fn revision_now(store: &dyn Store) -> u64 {
    store.head().await.unwrap().position.revision.0
}

pub async fn a_policy_is_changed_only_as_its_writer_has_seen_it(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    let with = |allow: &[&str], expected| {
        let apply = PolicyChange::Apply(PolicyId::from_bytes([1; 16]), checked("pay", allow));
        let store = Arc::clone(&store);
        async move { change(&*store, apply, Some(expected)).await }
    };
    let none_yet = with(&["a"], Expected::Version(version(1))).await.unwrap_err();
    assert!(none_yet.to_string().contains("there is no policy pay yet"), "{none_yet}");
    assert!(with(&["a"], Expected::Nothing).await.unwrap().changed);
    assert!(with(&["b"], Expected::Nothing).await.is_err());
    assert!(with(&["b"], Expected::Version(version(1))).await.unwrap().changed);
    let late = with(&["c"], Expected::Version(version(1))).await.unwrap_err();
    assert!(late.to_string().contains("is at version 2 now"), "{late}");
    assert_eq!(revision_now(&*store).await, 2, "what is refused leaves no trace");

    // Of many who have seen the same version, one is the first.
    let writers = (0..8).map(|n| {
        let store = Arc::clone(&store);
        let apply =
            PolicyChange::Apply(PolicyId::from_bytes([9; 16]), checked("pay", &[&format!("w{n}")]));
        tokio::spawn(async move {
            change(&*store, apply, Some(Expected::Version(version(2)))).await.is_ok()
        })
    });
    let mut taken = 0;
    for writer in writers.collect::<Vec<_>>() {
        taken += usize::from(writer.await.unwrap());
    }
    assert_eq!((taken, revision_now(&*store).await), (1, 3));
}

pub async fn a_policy_is_rolled_back_by_a_new_version(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    let first = apply(&*store, 1, "pay", &["charge"]).await.record;
    apply(&*store, 1, "pay", &["*"]).await;
    let back = roll_back(&*store, "pay", 1).await.unwrap().record;
    assert_eq!((back.version, &back.document), (version(3), &first.document));
    assert_eq!(back.step, PolicyStep::RolledBack(version(1)));
    assert_eq!(last_event(&*store).await.0, "policy.rolled_back");
    assert!(!roll_back(&*store, "pay", 1).await.unwrap().changed, "it says that already");
    assert!(roll_back(&*store, "pay", 4).await.is_err());
    assert!(roll_back(&*store, "male", 1).await.is_err());
    assert_eq!(store.policy(named("pay"), None).await.unwrap(), back);
}

pub async fn a_revoked_policy_permits_nothing_until_it_is_rolled_back(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    let first = apply(&*store, 1, "pay", &["charge"]).await.record;
    let agent = register_under(&*store, 1, "pay").await.unwrap();
    issue(&*store, agent, 1, 60).await.unwrap();
    let target = || Target::Policy(named("pay"));
    let would = store.preview(target(), REVOKE).await.unwrap();
    assert_eq!((would.changes, would.reach), (true, Reach { agents: 1, tokens: 1 }));
    let permits = |policy: &Policy| {
        let document: PolicyDocument = serde_json::from_str(&policy.document).unwrap();
        let policy = document.check().unwrap();
        let charge = "charge".parse().unwrap();
        (policy.permits(Some(&charge), None).is_ok(), policy.in_flight())
    };
    assert!(permits(&first).0);
    let drained = revoke(&*store, "pay", InFlight::Drain).await;
    assert_eq!(permits(&drained.record), (false, InFlight::Drain));
    assert_eq!(drained.record.step, PolicyStep::Revoked);
    assert_eq!(last_event(&*store).await.0, "policy.revoked");
    // The stricter of two counts, and the milder changes nothing.
    let cut = revoke(&*store, "pay", InFlight::Abort).await;
    assert_eq!((cut.changed, permits(&cut.record)), (true, (false, InFlight::Abort)));
    let milder = revoke(&*store, "pay", InFlight::Drain).await;
    assert_eq!((milder.changed, milder.committed), (false, cut.committed));
    assert!(!store.preview(target(), REVOKE).await.unwrap().changes);
    let back = roll_back(&*store, "pay", 1).await.unwrap().record;
    assert_eq!(back.document, first.document);
    assert!(store.reach(Target::Policy(named("male"))).await.is_err());
}

pub async fn an_agent_is_put_under_a_policy_that_there_is(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    let refused = register_under(&*store, 1, "pay").await.unwrap_err();
    assert!(refused.to_string().contains("there is no policy pay"), "{refused}");
    assert_eq!(revision_now(&*store).await, 0);
    let pay = apply(&*store, 1, "pay", &["charge"]).await.record;
    apply(&*store, 2, "mail", &["send"]).await;
    let agent = register_under(&*store, 1, "pay").await.unwrap();
    let record = store.agent(agent).await.unwrap();
    assert_eq!(record.policy.as_ref().map(|policy| policy.id), Some(pay.id));
    let assign = |policy: Option<&str>| {
        let (store, policy) = (Arc::clone(&store), policy.map(named));
        async move { store.assign_policy(agent, policy, cause("moved")).await }
    };
    assert!(!assign(Some("pay")).await.unwrap().changed);
    let moved = assign(Some("mail")).await.unwrap();
    assert_eq!(moved.record.policy.as_ref().map(|it| it.name.as_str()), Some("mail"));
    assert_eq!(last_event(&*store).await, ("agent.policy_changed".into(), agent.to_string()));
    let under = |policy: &str| {
        let (store, policy) = (Arc::clone(&store), Some(named(policy)));
        let filter = AgentFilter { policy, ..AgentFilter::default() };
        async move { store.agents(filter, None, 10).await.unwrap().len() }
    };
    assert_eq!((under("pay").await, under("mail").await), (0, 1));
    assert!(assign(Some("male")).await.is_err());
    // What was decided about the agent, and when, is not touched by it.
    let suspended = decide(&*store, agent, SUSPEND).await.unwrap();
    assert!(assign(None).await.unwrap().changed);
    let again = decide(&*store, agent, SUSPEND).await.unwrap();
    assert_eq!((again.changed, again.committed), (false, suspended.committed));
    decide(&*store, agent, REVOKE).await.unwrap();
    let refused = assign(Some("pay")).await.unwrap_err();
    assert!(matches!(refused, StoreError::RevokedIsFinal(_)), "{refused}");
    assert_eq!(store.agent(agent).await.unwrap().policy, None);
}

pub async fn a_policy_travels_before_the_agents_that_are_under_it(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    apply(&*store, 1, "pay", &["charge"]).await;
    let agent = register_under(&*store, 1, "pay").await.unwrap();
    apply(&*store, 1, "pay", &["charge", "refund"]).await;
    apply(&*store, 2, "mail", &["send"]).await;
    store.assign_policy(agent, Some(named("mail")), Cause::default()).await.unwrap();
    let all = records(&*store, 0).await.1;
    let place = |wanted: fn(&Change) -> bool| {
        let found = |change: &wire::Change| change.change.as_ref().is_some_and(wanted);
        (all.iter().position(found), all.iter().filter(|it| found(it)).count())
    };
    let policies = place(|change| matches!(change, Change::Policy(_)));
    let agents = place(|change| matches!(change, Change::Agent(_)));
    assert_eq!((policies.1, agents.1), (2, 1), "each policy once, in the version that counts");
    assert!(policies.0 < agents.0);
    let updates = store.updates_after(Revision(0), 100).await.unwrap();
    let replayed = Known::replay(updates.into_iter().flat_map(|update| update.delta.changes));
    let versions =
        |known: &Known| known.policies.values().map(|(it, _)| it.get()).collect::<Vec<_>>();
    assert_eq!(Known::replay(all), replayed);
    assert_eq!(versions(&replayed), [2, 1]);
    assert_eq!(replayed.agents[&agent].policy, Some(PolicyId::from_bytes([2; 16])));
}
