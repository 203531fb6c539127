//! Operators in every store.

use std::sync::Arc;

use kya_control_plane::operators::{OperatorName, Role};
use kya_control_plane::store::{Cause, NewOperator, OperatorRecord, Store, StoreError};
use kya_control_plane::time::UnixMicros;
use kya_core::{OperatorKey, OperatorKeyDigest, UnixSeconds};

use super::{Fixture, cause, everything, register};
use crate::support::TestClock;

fn operator_name(text: &str) -> OperatorName {
    text.parse().unwrap()
}

fn key_digest(n: u8) -> OperatorKeyDigest {
    OperatorKey::from_random([n; 32]).digest()
}

pub async fn add_operator(
    store: &dyn Store,
    text: &str,
    n: u8,
    ttl_seconds: Option<u64>,
) -> Result<OperatorRecord, StoreError> {
    let (name, digest) = (operator_name(text), key_digest(n));
    let new = NewOperator { name, role: Role::Operator, digest, ttl_seconds };
    store.add_operator(new, Cause { actor: "boss".to_owned(), ..Cause::default() }).await
}

pub async fn an_operator_is_added_found_by_its_key_and_revoked_once(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(100));
    let store = fixture.open(clock.clone()).await;
    let added = add_operator(&*store, "oncall", 1, Some(60)).await.unwrap();
    assert_eq!(added.created_at, UnixMicros(100_000_000));
    assert_eq!(added.expires, Some(UnixSeconds(160)));
    assert_eq!((added.role, &*added.created_by), (Role::Operator, "boss"));
    assert!(
        !added.is_expired(UnixMicros(159_999_999)) && added.is_expired(UnixMicros(160_000_000))
    );
    assert_eq!(store.operator_by_key(key_digest(1)).await.unwrap().as_ref(), Some(&added));
    assert_eq!(store.operator_by_key(key_digest(2)).await.unwrap(), None);

    clock.set(200);
    let revoked = store.revoke_operator(operator_name("oncall"), cause("left")).await.unwrap();
    assert!(revoked.changed);
    let how = revoked.record.revoked.clone().unwrap();
    assert_eq!((how.at, &*how.by), (UnixMicros(200_000_000), "admin"));
    assert_eq!((how.reason.as_deref(), how.incident_id.as_deref()), (Some("left"), Some("INC-1")));
    // Whoever asks next sees it, though the store is the same one.
    let found = store.operator_by_key(key_digest(1)).await.unwrap();
    assert_eq!(found.as_ref(), Some(&revoked.record));
    clock.set(300);
    let again = store.revoke_operator(operator_name("oncall"), cause("again")).await.unwrap();
    assert_eq!((again.changed, again.record), (false, revoked.record));
    let nobody = store.revoke_operator(operator_name("nobody"), cause("x")).await.unwrap_err();
    assert_eq!(nobody.to_string(), "there is no operator nobody");
}

pub async fn an_operator_is_an_event_and_no_change_of_authority(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(1));
    let store = fixture.open(clock.clone()).await;
    register(&*store).await;
    let head = store.head().await.unwrap();
    clock.set(2);
    add_operator(&*store, "oncall", 1, None).await.unwrap();
    clock.set(3);
    store.revoke_operator(operator_name("oncall"), cause("left")).await.unwrap();
    store.revoke_operator(operator_name("oncall"), cause("again")).await.unwrap();
    assert_eq!(store.head().await.unwrap(), head);
    assert_eq!(store.updates_after(kya_core::Revision(0), 10).await.unwrap().len(), 1);

    let events = store.events_after(1, 10).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (&*event.action, &*event.subject, &*event.cause.actor, event.committed.at.0))
        .collect();
    let added = ("operator.added", "oncall", "boss", 2_000_000);
    assert_eq!(told, [added, ("operator.revoked", "oncall", "admin", 3_000_000)]);
    assert!(events.iter().all(|event| event.committed.position == head.position));
    assert_eq!(events[1].cause, cause("left"));
}

pub async fn an_operators_name_and_key_are_used_once(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    add_operator(&*store, "oncall", 1, None).await.unwrap();
    store.revoke_operator(operator_name("oncall"), cause("left")).await.unwrap();
    let before = everything(&*store).await;
    let taken = add_operator(&*store, "oncall", 2, None).await.unwrap_err();
    assert!(matches!(taken, StoreError::OperatorNameTaken(of) if of == operator_name("oncall")));
    assert!(add_operator(&*store, "oncall-2", 1, None).await.is_err(), "the same key");
    for reserved in ["admin", "Admin", "ADMIN"] {
        assert!(add_operator(&*store, reserved, 3, None).await.is_err(), "{reserved}");
    }
    assert_eq!(store.operators(None, 10).await.unwrap().len(), 1);
    assert!(everything(&*store).await == before, "what was refused left a trace");
}

pub async fn operators_survive_a_reopening_and_are_paged_by_name(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(1));
    let store = fixture.open(clock.clone()).await;
    for (n, text) in [(1, "b"), (2, "C"), (3, "a"), (4, "b-2")] {
        add_operator(&*store, text, n, Some(5)).await.unwrap();
    }
    store.revoke_operator(operator_name("a"), cause("left")).await.unwrap();
    let all = store.operators(None, 10).await.unwrap();
    let reopened = fixture.open(clock).await;
    assert_eq!(reopened.operators(None, 10).await.unwrap(), all);
    let names: Vec<_> = all.iter().map(|operator| operator.name.as_str()).collect();
    assert_eq!(names, ["C", "a", "b", "b-2"]);
    assert_eq!(reopened.operators(Some(operator_name("a")), 1).await.unwrap(), all[2..3]);
    assert_eq!(reopened.operators(Some(operator_name("b-2")), 1).await.unwrap(), []);
}

pub async fn a_decision_keeps_the_name_of_whoever_made_it(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let agent = register(&*store).await;
    super::decide(&*store, agent, super::REVOKE).await.unwrap();
    assert_eq!(store.agent(agent).await.unwrap().status_actor, "admin");
    super::register_node(&*store, "web", 1, None).await.unwrap();
    let by = Cause { actor: "oncall".to_owned(), ..cause("leaked") };
    let node = store.revoke_node("web".parse().unwrap(), by).await.unwrap().record;
    assert_eq!(node.revoked_by.as_deref(), Some("oncall"));
    assert_eq!(store.nodes(None, 1).await.unwrap(), [node]);
}
