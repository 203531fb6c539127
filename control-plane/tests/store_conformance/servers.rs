//! The servers that use a store.

use kya_control_plane::store::ServerRow;

use super::*;

fn server(name: &str, seen: u64) -> ServerRow {
    ServerRow {
        name: name.to_owned(),
        version: "1.2.3".to_owned(),
        started_at: UnixMicros(5),
        seen_at: UnixMicros(seen),
        revision: Revision(7),
        publishes: true,
        signs: false,
        proxies: 3,
    }
}

pub async fn a_server_is_known_from_its_first_word_to_its_end_and_not_longer_than_asked_for(
    fixture: impl Fixture,
) {
    let store = fixture.open(Arc::new(TestClock::at(1))).await;
    let head = store.head().await.unwrap();
    let event = store.newest_event().await.unwrap();
    let never = UnixMicros(0);
    assert_eq!(store.servers().await.unwrap(), []);
    store.server_is_here(server("b", 100), never).await.unwrap();
    store.server_is_here(server("a", 90), never).await.unwrap();
    assert_eq!(store.servers().await.unwrap(), [server("a", 90), server("b", 100)]);

    // What it says later takes the place of that.
    let later = ServerRow {
        version: "1.3.0".to_owned(),
        started_at: UnixMicros(101),
        revision: Revision(9),
        publishes: false,
        signs: true,
        proxies: 0,
        ..server("b", 110)
    };
    store.server_is_here(later.clone(), UnixMicros(90)).await.unwrap();
    assert_eq!(store.servers().await.unwrap(), [server("a", 90), later.clone()]);
    // Those that were heard of before are not known any more.
    store.server_is_here(later.clone(), UnixMicros(91)).await.unwrap();
    assert_eq!(store.servers().await.unwrap(), std::slice::from_ref(&later));

    store.server_ends("nobody").await.unwrap();
    assert_eq!(store.servers().await.unwrap(), [later]);
    store.server_ends("b").await.unwrap();
    assert_eq!(store.servers().await.unwrap(), []);
    // It is no change of authority, and nobody's act.
    assert_eq!(store.head().await.unwrap(), head);
    assert_eq!(store.newest_event().await.unwrap(), event);
}
