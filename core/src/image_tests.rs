use proptest::prelude::*;
use wire::change::Change as Wire;

use super::*;
use crate::manifest::records;
use crate::shorthand::{agent, grant, opaque, token};
use crate::token::TokenDigest;
use crate::wire::Status;

fn change(change: Wire) -> wire::Change {
    wire::Change { change: Some(change) }
}

fn numbered(n: u32) -> wire::Token {
    let digest = chunk_hash(&n.to_le_bytes()).to_vec();
    wire::Token { digest, grant: 1, expires_unix_seconds: n.into(), ..Default::default() }
}

fn fingerprint(token: &wire::Token) -> Fingerprint {
    TokenDigest::from_slice(&token.digest).unwrap().fingerprint()
}

/// Looks a token up as a proxy does: in the chunk that the manifest names.
fn look_up(image: &PublishedImage, wanted: Fingerprint) -> Option<TokenEntry> {
    let index = image.manifest().token_chunk(wanted);
    table::find(image.chunk(index).unwrap(), wanted)
}

#[test]
fn an_image_of_nothing_has_a_manifest() {
    let published = Image::new().publish();
    assert_eq!(published.manifest().count(), 2);
    assert!(published.manifest().fits(0, b"") && published.manifest().fits(1, b""));
}

#[test]
fn every_chunk_is_what_its_hash_says_and_every_token_is_found_however_many_there_are() {
    let mut image = Image::new();
    for n in 0..5_000 {
        image.apply(&change(Wire::Token(numbered(n)))).unwrap();
    }
    let published = image.publish();
    assert_eq!(published.manifest().token_chunks(), 64, "5000 / 128, rounded up to a power of two");
    for index in 0..published.manifest().count() as u32 {
        let content = published.chunk(index).unwrap();
        assert!(published.manifest().fits(index, content));
    }
    for n in 0..5_000 {
        let found = look_up(&published, fingerprint(&numbered(n))).unwrap();
        assert_eq!(found.expires, UnixSeconds(n.into()));
    }
    assert_eq!(look_up(&published, opaque(1).digest().fingerprint()), None);
    assert_eq!(image.token_count(), 5_000);
}

#[test]
fn one_change_changes_one_chunk_and_what_was_published_stays_as_it_was() {
    let mut image = Image::new();
    for n in 0..1_000 {
        image.apply(&change(Wire::Token(numbered(n)))).unwrap();
    }
    image.apply(&change(Wire::Agent(agent(1, Status::Active)))).unwrap();
    let before = image.publish();
    let revoked = wire::Token { revoked: true, ..numbered(7) };
    image.apply(&change(Wire::Token(revoked))).unwrap();
    let after = image.publish();
    let changed: Vec<_> = after.manifest().changed_since(Some(before.manifest())).collect();
    assert_eq!(changed, [after.manifest().token_chunk(fingerprint(&numbered(7)))]);
    assert!(!look_up(&before, fingerprint(&numbered(7))).unwrap().revoked);
    assert!(look_up(&after, fingerprint(&numbered(7))).unwrap().revoked);
    assert_ne!(before.id(), after.id());
    assert_eq!(image.publish().id(), after.id(), "the same authority has the same name");
}

#[test]
fn all_records_are_in_some_chunk_and_all_of_an_agent_in_one() {
    let mut image = Image::new();
    for n in 0..=255u8 {
        let mut id = vec![0; 16];
        id[14..].copy_from_slice(&u16::from(n).wrapping_mul(517).to_be_bytes());
        for index in 0..4 {
            let index = u32::from(n) * 4 + index;
            let grant = wire::Grant { index, agent_id: id.clone(), ..Default::default() };
            image.apply(&change(Wire::Grant(grant))).unwrap();
        }
        let agent = wire::Agent { id, ..agent(n, Status::Active) };
        image.apply(&change(Wire::Agent(agent))).unwrap();
    }
    let published = image.publish();
    let manifest = published.manifest();
    assert_eq!(manifest.records().count(), 8, "1280 records of 256 a chunk");
    let mut all = Vec::new();
    for index in manifest.records() {
        let here = records(published.chunk(index).unwrap()).unwrap();
        for change in &here {
            if let Change::Agent(id, _) = change {
                let grants = here
                    .iter()
                    .filter(|it| matches!(it, Change::Grant(_, to) if to.agent() == *id));
                assert_eq!(grants.count(), 4);
            }
        }
        all.extend(here);
    }
    assert_eq!(all.len(), 1280);
}

#[test]
fn a_record_replaces_the_one_before_it() {
    let mut image = Image::new();
    for status in [Status::Active, Status::Suspended] {
        image.apply(&change(Wire::Agent(agent(1, status)))).unwrap();
    }
    image.apply(&change(Wire::Grant(grant(1)))).unwrap();
    let published = image.publish();
    let index = published.manifest().records().next().unwrap();
    let all = records(published.chunk(index).unwrap()).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(image.apply(&wire::Change { change: None }), Err(BadRecord));
}

#[test]
fn expired_tokens_go_in_bounded_steps() {
    let mut image = Image::new();
    for n in 0..1_000 {
        image.apply(&change(Wire::Token(numbered(n)))).unwrap();
    }
    let (mut cursor, mut steps) = (0, 0);
    loop {
        cursor = image.forget_expired(UnixSeconds(400), cursor, 3);
        steps += 1;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(steps, 3, "8 chunks, 3 at a time");
    assert_eq!(image.token_count(), 600);
    let published = image.publish();
    assert_eq!(look_up(&published, fingerprint(&numbered(399))), None);
    assert!(look_up(&published, fingerprint(&numbered(400))).is_some());
}

proptest! {
    /// The image does not depend on the order in which tokens came.
    #[test]
    fn the_same_tokens_make_the_same_image(order in Just((0..300u32).collect::<Vec<_>>()).prop_shuffle()) {
        let (mut image, mut straight) = (Image::new(), Image::new());
        for n in order {
            image.apply(&change(Wire::Token(numbered(n)))).unwrap();
        }
        for n in 0..300 {
            straight.apply(&change(Wire::Token(numbered(n)))).unwrap();
        }
        prop_assert_eq!(image.publish().id(), straight.publish().id());
        let _ = token(1, 1);
    }
}

#[test]
fn large_records_spread_before_a_chunk_is_too_large_to_be_taken() {
    let mut image = Image::new();
    let actions: Vec<_> = (0..250).map(|n| format!("\"{}{n}\"", "a".repeat(240))).collect();
    let document = format!(r#"{{"name": "p", "allow": [{}]}}"#, actions.join(","));
    assert!(document.len() > 60_000 && document.len() <= crate::change::MAX_POLICY_BYTES);
    for n in 0..400u16 {
        let mut id = vec![7; 14];
        id.extend(n.wrapping_mul(40_503).to_be_bytes());
        let policy = wire::Policy { id, version: 1, document: document.clone().into_bytes() };
        let record = wire::Change { change: Some(wire::change::Change::Policy(policy)) };
        image.apply(&record).unwrap();
        // Another version takes the place of the one before, and weighs no more.
        image.apply(&record).unwrap();
    }
    let published = image.publish();
    let chunks = published.manifest().records().filter_map(|index| published.chunk(index));
    let largest = chunks.map(|chunk| chunk.len()).max().unwrap();
    assert!(largest < crate::manifest::MAX_CHUNK_BYTES / 2, "{largest}");
}
