use kya_core::{Revision, TokenDigest};
use wire::change::Change;

use super::*;
use crate::store::{Cause, Committed, NewAgent, NewToken, SqliteStore, TokenLimits};
use crate::time::{Clock, SystemClock};

/// An image of one agent with `tokens` tokens, and its store.
async fn loaded(tokens: u8, keep: usize) -> (tempfile::TempDir, Arc<Images>) {
    let temp = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&temp.path().join("kya.db"), Arc::new(SystemClock)).await;
    let store = store.unwrap();
    let id = kya_core::AgentId::from_bytes([1; 16]);
    let new = NewAgent::named(id, "a");
    store.register_agent(new, Cause::default()).await.unwrap();
    for n in 0..tokens {
        let digest = TokenDigest([n; 32]);
        let id = kya_core::TokenId::from_bytes([n; 16]);
        let limits = TokenLimits::default();
        let new = NewToken { id, digest, agent_id: new_agent(), limits, ttl_seconds: 60 };
        store.issue_token(new, Cause::default()).await.unwrap();
    }
    let images = Images::load(&store, SystemClock.now(), keep).await.unwrap();
    (temp, images)
}

fn new_agent() -> kya_core::AgentId {
    kya_core::AgentId::from_bytes([1; 16])
}

fn token(n: u8, expires: u64) -> Change {
    let digest = vec![n; 32];
    Change::Token(wire::Token { digest, grant: 1, expires_unix_seconds: expires, ..<_>::default() })
}

fn update(images: &Images, change: Option<Change>) -> StoredUpdate {
    let at = images.position();
    let position = Position { revision: at.revision.next(), ..at };
    let changes = change.into_iter().map(|change| wire::Change { change: Some(change) }).collect();
    let committed = Committed { position, at: UnixMicros(0) };
    StoredUpdate { committed, delta: wire::Delta { changes } }
}

fn note(images: &Images, change: Option<Change>) {
    images.note(update(images, change), || {});
}

fn fingerprint(n: u8) -> Fingerprint {
    TokenDigest([n; 32]).fingerprint()
}

#[tokio::test]
async fn what_is_stored_and_what_is_published_later_are_in_the_image() {
    let (_temp, images) = loaded(3, 4).await;
    assert_eq!(images.position().revision, Revision(4));
    assert!(images.knows(fingerprint(2)).1 && !images.knows(fingerprint(3)).1);
    note(&images, Some(token(3, u32::MAX.into())));
    let (position, known) = images.knows(fingerprint(3));
    assert_eq!((position.revision, known), (Revision(5), true));
    assert_eq!(images.newest().position, position);
}

#[tokio::test]
async fn an_image_is_published_when_it_changed_and_the_last_so_many_are_kept() {
    let (_temp, images) = loaded(0, 2).await;
    let first = images.newest();
    assert!(Arc::ptr_eq(&first, &images.newest()), "nothing has changed");
    // Nothing changes but the position: the same image, further on.
    note(&images, None);
    let moved = images.newest();
    assert_eq!(moved.image.id(), first.image.id());
    assert_eq!(moved.position.revision, first.position.revision.next());
    let found = images.find(first.image.id()).unwrap();
    assert!(Arc::ptr_eq(&found, &moved));

    note(&images, Some(token(1, 9)));
    let second = images.newest();
    assert!(images.find(first.image.id()).is_some() && images.find(second.image.id()).is_some());
    note(&images, Some(token(2, 9)));
    images.newest();
    assert!(images.find(first.image.id()).is_none(), "two are kept");
    assert!(images.find(second.image.id()).is_some());
}

#[tokio::test]
async fn a_token_that_expired_long_ago_is_forgotten_and_the_image_is_another() {
    let (_temp, images) = loaded(0, 4).await;
    note(&images, Some(token(1, 10_000)));
    note(&images, Some(token(2, 20_000)));
    let before = images.newest();
    let at = |second: u64| UnixMicros(second * 1_000_000);
    images.forget_expired(at(10_000 + KEEP_EXPIRED_SECONDS), 64);
    assert!(Arc::ptr_eq(&before, &images.newest()), "it expired an hour ago, and not longer");
    images.forget_expired(at(10_001 + KEEP_EXPIRED_SECONDS), 64);
    assert!(!images.knows(fingerprint(1)).1 && images.knows(fingerprint(2)).1);
    let after = images.newest();
    assert_ne!(after.image.id(), before.image.id());
    assert_eq!(after.position, before.position);
}
