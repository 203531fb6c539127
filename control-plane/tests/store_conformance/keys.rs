//! The log of the signing keys in every store.

use std::sync::Arc;

use kya_control_plane::store::{KeyAction, KeyChange, NewKeyStep, StoreError};
use kya_core::{PublicKey, Revision, Signer};

use super::{Fixture, cause, register};
use crate::support::TestClock;

fn key(n: u8) -> PublicKey {
    Signer::from_seed([n; 32]).public_key()
}

/// The announcement of key 2 beside key 1.
pub fn announcement(serial: u64, follows: u64) -> NewKeyStep {
    let change = KeyChange {
        action: KeyAction::Announced,
        serial,
        active: key(1),
        counting: vec![key(1), key(2)],
        signed: Some(vec![1, 2, 3]),
    };
    NewKeyStep { change, follows: Revision(follows) }
}

pub async fn a_step_with_the_keys_is_one_revision_one_event_and_no_change_of_authority(
    fixture: impl Fixture,
) {
    let clock = Arc::new(TestClock::at(100));
    let store = fixture.open(clock.clone()).await;
    register(&*store).await;
    assert_eq!(store.key_steps_after(Revision(0)).await.unwrap(), []);
    let taken = store.take_key_step(announcement(7, 0), cause("due")).await.unwrap();
    assert!(taken.changed);
    assert_eq!(taken.committed.position.revision, Revision(2));
    let updates = store.updates_after(Revision(1), 10).await.unwrap();
    assert_eq!((updates.len(), updates[0].delta.changes.len()), (1, 0));
    let events = store.events_after(1, 10).await.unwrap();
    assert_eq!((events.len(), &*events[0].action), (1, "key.announced"));
    assert_eq!(events[0].subject, key(2).id().to_string());
    assert_eq!(events[0].cause, cause("due"));

    let steps = store.key_steps_after(Revision(0)).await.unwrap();
    assert_eq!(steps, [taken.record]);
    assert_eq!(store.key_steps_after(Revision(2)).await.unwrap(), []);
    store.close().await;
    let store = fixture.open(clock).await;
    assert_eq!(store.key_steps_after(Revision(0)).await.unwrap(), steps);
}

pub async fn of_two_steps_that_follow_the_same_one_is_taken(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    store.take_key_step(announcement(7, 0), cause("first")).await.unwrap();
    let late = store.take_key_step(announcement(8, 0), cause("second")).await.unwrap_err();
    assert!(matches!(late, StoreError::KeysChanged), "{late}");
    assert_eq!(store.head().await.unwrap().position.revision, Revision(1));
    assert!(store.take_key_step(announcement(7, 1), cause("same serial")).await.is_err());
    store.take_key_step(announcement(8, 1), cause("third")).await.unwrap();
    assert_eq!(store.key_steps_after(Revision(0)).await.unwrap().len(), 2);
}
