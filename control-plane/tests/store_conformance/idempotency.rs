//! Requests that are done once, by the keys of whoever makes them.

use kya_control_plane::store::{KEYS_KEPT, KeyState, KeyedRequest};

use super::*;

pub fn request(operator: &str, key: u8, request: u8) -> KeyedRequest {
    KeyedRequest { operator: operator.parse().unwrap(), key: [key; 32], request: [request; 32] }
}

async fn begin(store: &dyn Store, operator: &str, key: u8, what: u8) -> KeyState {
    store.begin_request(request(operator, key, what)).await.unwrap()
}

pub async fn a_keyed_request_is_begun_once_and_what_came_of_it_is_kept_a_day(
    fixture: impl Fixture,
) {
    let clock = Arc::new(TestClock::at(1_000));
    let store = fixture.open(clock.clone()).await;
    let head = store.head().await.unwrap();
    assert_eq!(begin(&*store, "ann", 1, 1).await, KeyState::Begun);
    assert_eq!(begin(&*store, "ann", 1, 1).await, KeyState::UnderWay);
    assert_eq!(begin(&*store, "ann", 1, 2).await, KeyState::OtherRequest);
    assert_eq!(begin(&*store, "bob", 1, 2).await, KeyState::Begun, "a key is its operator's");
    // Whoever has not begun it cannot end it.
    store.end_request(request("ann", 1, 2), Some("other".to_owned())).await.unwrap();
    assert_eq!(begin(&*store, "ann", 1, 1).await, KeyState::UnderWay);
    store.end_request(request("ann", 1, 1), Some("made".to_owned())).await.unwrap();
    // What came of it is said once.
    store.end_request(request("ann", 1, 1), Some("other".to_owned())).await.unwrap();
    store.end_request(request("ann", 1, 1), None).await.unwrap();
    // That nothing came of it frees the key.
    store.end_request(request("bob", 1, 2), None).await.unwrap();
    assert_eq!(begin(&*store, "bob", 1, 3).await, KeyState::Begun);
    drop(store);
    fixture.closed().await;

    let store = fixture.open(clock.clone()).await;
    assert_eq!(begin(&*store, "ann", 1, 1).await, KeyState::Done("made".to_owned()));
    clock.set(1_000 + KEYS_KEPT - 1);
    assert_eq!(begin(&*store, "ann", 1, 1).await, KeyState::Done("made".to_owned()));
    assert_eq!(begin(&*store, "ann", 1, 2).await, KeyState::OtherRequest);
    clock.set(1_000 + KEYS_KEPT);
    assert_eq!(begin(&*store, "ann", 1, 2).await, KeyState::Begun, "it is over");
    assert_eq!(store.head().await.unwrap().position.revision, head.position.revision);
    assert_eq!(store.newest_event().await.unwrap(), 0, "it is no change of anything");
}

pub async fn of_one_keyed_request_that_comes_many_times_at_once_one_is_begun(
    fixture: impl Fixture,
) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let asked = (0..16).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { begin(&*store, "ann", 1, 1).await })
    });
    let mut begun = 0;
    for asked in asked.collect::<Vec<_>>() {
        match asked.await.unwrap() {
            KeyState::Begun => begun += 1,
            other => assert_eq!(other, KeyState::UnderWay),
        }
    }
    assert_eq!(begun, 1);
}
