//! Node registrations in every store.

use std::sync::Arc;

use kya_control_plane::nodes::{NodeName, NodePattern};
use kya_control_plane::store::{Cause, NewNode, NodeRegistration, Store, StoreError};
use kya_control_plane::time::UnixMicros;
use kya_core::{NodeCredential, NodeCredentialDigest, UnixSeconds};

use super::{Fixture, cause, everything, register};
use crate::support::TestClock;

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn digest(n: u8) -> NodeCredentialDigest {
    NodeCredential::from_random([n; 32]).digest()
}

pub async fn register_node(
    store: &dyn Store,
    text: &str,
    n: u8,
    ttl_seconds: Option<u64>,
) -> Result<NodeRegistration, StoreError> {
    let node_id = NodePattern::try_from(format!("{text}-*")).unwrap();
    let new = NewNode { name: name(text), node_id, digest: digest(n), ttl_seconds };
    store.register_node(new, Cause { actor: "admin".to_owned(), ..Cause::default() }).await
}

pub async fn a_node_is_registered_found_by_its_credential_and_revoked_once(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(100));
    let store = fixture.open(clock.clone()).await;
    let node = register_node(&*store, "web", 1, Some(60)).await.unwrap();
    assert_eq!(node.created_at, UnixMicros(100_000_000));
    assert_eq!(node.expires, Some(UnixSeconds(160)));
    assert_eq!(node.node_id.as_str(), "web-*");
    assert_eq!(store.node_by_credential(digest(1)).await.unwrap().as_ref(), Some(&node));
    assert_eq!(store.node_by_credential(digest(2)).await.unwrap(), None);

    clock.set(200);
    let revoked = store.revoke_node(name("web"), cause("leaked")).await.unwrap();
    assert!(revoked.changed);
    assert_eq!(revoked.record.revoked_at, Some(UnixMicros(200_000_000)));
    assert_eq!(revoked.record.revoked_reason.as_deref(), Some("leaked"));
    assert_eq!(revoked.record.incident_id.as_deref(), Some("INC-1"));
    clock.set(300);
    let again = store.revoke_node(name("web"), cause("again")).await.unwrap();
    assert_eq!((again.changed, again.record), (false, revoked.record.clone()));
    let found = store.node_by_credential(digest(1)).await.unwrap();
    assert_eq!(found, Some(revoked.record));
    let nobody = store.revoke_node(name("nobody"), cause("x")).await.unwrap_err();
    assert_eq!(nobody.to_string(), "there is no node registration nobody");
}

pub async fn a_node_registration_is_an_event_and_no_change_of_authority(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(1));
    let store = fixture.open(clock.clone()).await;
    register(&*store).await;
    let (head, updates) = (
        store.head().await.unwrap(),
        store.updates_after(kya_core::Revision(0), 10).await.unwrap(),
    );
    clock.set(2);
    register_node(&*store, "web", 1, None).await.unwrap();
    clock.set(3);
    store.revoke_node(name("web"), cause("leaked")).await.unwrap();
    store.revoke_node(name("web"), cause("again")).await.unwrap();
    assert_eq!(store.head().await.unwrap(), head);
    assert_eq!(store.updates_after(kya_core::Revision(0), 10).await.unwrap(), updates);

    let events = store.events_after(1, 10).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (&*event.action, &*event.subject, event.committed.at.0))
        .collect();
    let (registered, revoked) =
        (("node.registered", "web", 2_000_000), ("node.revoked", "web", 3_000_000));
    assert_eq!(told, [registered, revoked]);
    assert!(events.iter().all(|event| event.committed.position == head.position));
    assert_eq!(events[1].cause, cause("leaked"));
    // And the order of changes goes on as if nothing had been.
    assert_eq!(super::register_as(&*store, 2).await, super::agent_id(2));
    assert_eq!(super::revision(&*store).await, 2);
}

pub async fn a_name_and_a_credential_are_used_once(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    register_node(&*store, "web", 1, None).await.unwrap();
    store.revoke_node(name("web"), cause("leaked")).await.unwrap();
    let before = everything(&*store).await;
    let taken = register_node(&*store, "web", 2, None).await.unwrap_err();
    assert!(matches!(taken, StoreError::NodeNameTaken(of) if of == name("web")));
    assert!(register_node(&*store, "web-2", 1, None).await.is_err(), "the same credential");
    assert!(everything(&*store).await == before, "a refused registration left a trace");
}

pub async fn node_registrations_survive_a_reopening_and_are_paged_by_name(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(1));
    let store = fixture.open(clock.clone()).await;
    for (n, text) in [(1, "b"), (2, "C"), (3, "a"), (4, "b-2")] {
        register_node(&*store, text, n, Some(5)).await.unwrap();
    }
    let all = store.nodes(None, 10).await.unwrap();
    let reopened = fixture.open(clock).await;
    assert_eq!(reopened.nodes(None, 10).await.unwrap(), all);
    let names: Vec<_> = all.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["C", "a", "b", "b-2"]);
    assert_eq!(reopened.nodes(Some(name("a")), 1).await.unwrap(), all[2..3]);
    assert_eq!(reopened.nodes(Some(name("b-2")), 1).await.unwrap(), []);
}
