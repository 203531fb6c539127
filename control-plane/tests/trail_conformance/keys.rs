//! Keys, checkpoints and proofs.

use kya_control_plane::audit::Because;
use kya_control_plane::store::audit::RecordFilter;
use kya_core::audit::merkle::{NodeHash, verify_consistency, verify_inclusion};
use kya_core::audit::{Entry, KeyStep, SignedCheckpoint, VerifierKey};

use super::{Fixture, batch, ended, open, open_at, root};

fn because() -> Because {
    Because { actor: "ada".to_owned(), reason: "yearly".to_owned() }
}

pub async fn a_new_trail_begins_with_its_key<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    let entries = it.entries().await;
    let [Entry::Key(named)] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(named.verified(), Ok(KeyStep::First));
    let keys = it.trail.store().keys().await.unwrap();
    assert_eq!((keys.len(), keys[0].seq, &keys[0].verifier_key), (1, 1, &named.key));
    let published = std::fs::read_to_string(fixture.dir().join("keys/audit.pub")).unwrap();
    assert_eq!(published, format!("{}\n", named.key));
    it.close().await;
    let it = open(&fixture).await;
    assert_eq!(it.entries().await, entries, "it is not made again");
}

pub async fn every_proof_proves_it<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    // More than one tile, and not all of the second.
    it.report(batch("web-1", 9, 1, vec![ended(1); 599])).await;
    let filter = RecordFilter::all(1, u64::MAX);
    let lines = it.trail.store().lines(&filter, 1000).await.unwrap().lines;
    assert_eq!(lines.len(), 600);
    for size in [1, 2, 255, 256, 257, 512, 599, 600] {
        let of = root(&lines[..size]);
        let size = size as u64;
        for seq in [1, size.div_ceil(2), size] {
            let proof = it.trail.inclusion(seq, size).await.unwrap();
            let record = &lines[usize::try_from(seq).unwrap() - 1].record;
            let leaf = NodeHash::leaf(record.as_bytes());
            verify_inclusion(leaf, seq - 1, size, &proof, of).unwrap();
        }
        let proof = it.trail.consistency(size, 600).await.unwrap();
        verify_consistency(size, of, 600, root(&lines), &proof).unwrap();
    }
    for (seq, size) in [(0, 600), (601, 600), (1, 601)] {
        assert!(it.trail.inclusion(seq, size).await.is_err(), "{seq} in {size}");
    }
    assert!(it.trail.consistency(5, 601).await.is_err());
    assert!(it.trail.consistency(5, 4).await.is_err());
}

pub async fn a_key_is_followed_by_the_next_and_both_verify<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    it.report(batch("web-1", 9, 1, vec![ended(1)])).await;
    it.trail.finish().await;
    let old = it.trail.store().checkpoint(None).await.unwrap().unwrap();
    let new = it.trail.rotate_key(&because()).await.unwrap();
    it.trail.finish().await;
    let row = it.trail.store().checkpoint(None).await.unwrap().unwrap();
    let signed = SignedCheckpoint::parse(&row.note).unwrap();
    assert!(signed.verified_by(&new).is_some());
    let keys = it.trail.store().keys().await.unwrap();
    let first: VerifierKey = keys[0].verifier_key.parse().unwrap();
    assert!(signed.verified_by(&first).is_none());
    assert!(SignedCheckpoint::parse(&old.note).unwrap().verified_by(&first).is_some());
    // Whoever pins the first finds the second.
    let changes: Vec<_> = it
        .entries()
        .await
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Key(named) => match named.verified().unwrap() {
                KeyStep::Follows(change) => Some(change),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(changes.len(), 1);
    assert_eq!((&changes[0].previous, &changes[0].key), (&first, &new));
}

pub async fn nothing_is_signed_by_a_key_that_another_has_followed<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    it.trail.finish().await;
    // Another server, which does not know yet that the key is replaced.
    let late = open_at(&fixture, fixture.dir(), 60_000).await;
    let new = it.trail.rotate_key(&because()).await.unwrap();
    late.report(batch("web-1", 9, 1, vec![ended(1)])).await;
    let keys = it.trail.store().keys().await.unwrap();
    let row = it.trail.store().checkpoint(None).await.unwrap().unwrap();
    let signed = SignedCheckpoint::parse(&row.note).unwrap();
    assert!(
        row.size < keys[1].seq || signed.verified_by(&new).is_some(),
        "a checkpoint of {} records by the key before",
        row.size
    );
    // Nor does one follow a key that does not sign any more.
    assert_eq!(late.records().await.len(), it.records().await.len());
}

pub async fn a_server_without_the_key_appends_and_does_not_sign<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    it.trail.finish().await;
    let signed = it.trail.store().checkpoint(None).await.unwrap();
    it.close().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let it = open_at(&fixture, elsewhere.path(), 2_000).await;
    it.report(batch("web-1", 9, 1, vec![ended(1)])).await;
    it.trail.finish().await;
    assert_eq!(it.trail.store().checkpoint(None).await.unwrap(), signed);
    let error = it.trail.rotate_key(&because()).await.unwrap_err().to_string();
    assert!(error.contains("audit-*.key"), "{error}");
    assert_eq!(it.records().await.len(), 2);
    it.close().await;
    // The one that has it signs for both.
    let it = open_at(&fixture, fixture.dir(), 3_000).await;
    it.trail.finish().await;
    assert_eq!(it.trail.store().checkpoint(None).await.unwrap().unwrap().size, 2);
}

pub async fn a_key_is_announced_and_signs_once_it_is_activated<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    it.trail.finish().await;
    let none = it.trail.activate_key(&because()).await.unwrap_err();
    assert!(none.to_string().contains("no key was announced"), "{none}");
    let given_up = it.trail.announce_key(&because()).await.unwrap();
    let next = it.trail.announce_key(&because()).await.unwrap();
    it.trail.finish().await;
    let store = it.trail.store();
    let first: VerifierKey = store.keys().await.unwrap()[0].verifier_key.parse().unwrap();
    assert_eq!(store.announced().await.unwrap().unwrap().verifier_key, next.to_string());
    let newest = async || {
        let row = store.checkpoint(None).await.unwrap().unwrap();
        (row.size, SignedCheckpoint::parse(&row.note).unwrap())
    };
    let (size, signed) = newest().await;
    assert!(size == 3 && signed.verified_by(&first).is_some(), "it does not sign yet");

    assert_eq!(it.trail.activate_key(&because()).await.unwrap(), next);
    it.trail.finish().await;
    assert!(newest().await.1.verified_by(&next).is_some());
    assert_eq!(store.announced().await.unwrap(), None);
    assert!(it.trail.activate_key(&because()).await.is_err(), "only once");
    let entries = it.entries().await;
    let (Entry::KeyAnnounced(announced), Entry::Key(activated)) = (&entries[2], &entries[3]) else {
        panic!("{entries:?}")
    };
    assert!(matches!(announced.verified(), Ok(KeyStep::Follows(it)) if it.key == next));
    assert!(matches!(activated.verified(), Ok(KeyStep::Follows(it)) if it.previous == first));
    assert_eq!(activated.reason.as_deref(), Some("yearly"));
    assert_ne!(given_up, next);
}

pub async fn a_lost_key_is_recovered_by_whoever_says_which_and_why<F: Fixture>() {
    let fixture = F::new().await;
    let it = open(&fixture).await;
    it.report(batch("web-1", 9, 1, vec![ended(1)])).await;
    it.trail.finish().await;
    let first: VerifierKey =
        it.trail.store().keys().await.unwrap()[0].verifier_key.parse().unwrap();
    let id = first.id().to_string();
    let here = it.trail.recover_key(&id, &because()).await.unwrap_err();
    assert!(here.to_string().contains("is here"), "{here}");
    it.close().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let it = open_at(&fixture, elsewhere.path(), 2_000).await;
    let other = it.trail.recover_key("00000000", &because()).await.unwrap_err();
    assert!(other.to_string().contains(&id), "{other}");
    assert_eq!(it.records().await.len(), 2, "nothing of it is in the trail");
    let next = it.trail.recover_key(&id, &because()).await.unwrap();
    it.trail.finish().await;
    let row = it.trail.store().checkpoint(None).await.unwrap().unwrap();
    assert!(SignedCheckpoint::parse(&row.note).unwrap().verified_by(&next).is_some());
    let entries = it.entries().await;
    let Some(Entry::Key(named)) = entries.last() else { panic!("{entries:?}") };
    assert!(matches!(named.verified(), Ok(KeyStep::Recovered(it)) if it.previous == first));
    assert_eq!((named.actor.as_deref(), named.reason.as_deref()), (Some("ada"), Some("yearly")));
}
