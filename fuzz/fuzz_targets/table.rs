//! Chunks of tokens: a search by halves finds what a walk finds.
#![no_main]

use std::collections::BTreeMap;

use kya_core::table::{self, ENTRY_BYTES};
use kya_core::{Fingerprint, Image, TokenEntry, wire};
use libfuzzer_sys::fuzz_target;

fn walk(chunk: &[u8], wanted: Fingerprint) -> Vec<TokenEntry> {
    table::entries(chunk).filter(|(key, _)| *key == wanted).map(|(_, entry)| entry).collect()
}

fuzz_target!(|bytes: &[u8]| {
    // As it came: nobody sorted it, and the last entry may be cut off.
    let all: Vec<_> = table::entries(bytes).collect();
    assert_eq!(all.len(), bytes.len() / ENTRY_BYTES);
    for (key, _) in &all {
        if let Some(found) = table::find(bytes, *key) {
            assert!(walk(bytes, *key).contains(&found), "nobody wrote this entry");
        }
    }

    // As a control plane writes it: sorted, and each token once.
    let mut image = Image::new();
    let mut last = BTreeMap::new();
    for (key, entry) in all {
        let mut digest = key.0.to_vec();
        digest.resize(32, 0);
        let token = wire::Token {
            digest,
            grant: entry.grant.get(),
            issued_unix_seconds: entry.issued.0,
            expires_unix_seconds: entry.expires.0,
            revoked: entry.revoked,
        };
        image.apply(&wire::Change { change: Some(wire::change::Change::Token(token)) }).unwrap();
        last.insert(key, entry);
    }
    assert_eq!(image.token_count(), last.len());
    let published = image.publish();
    let mut listed = 0;
    for index in 0..u32::try_from(published.manifest().token_chunks()).unwrap() {
        let chunk = published.chunk(index).unwrap();
        assert!(published.manifest().fits(index, chunk));
        assert!(table::entries(chunk).is_sorted_by_key(|(key, _)| key));
        listed += table::entries(chunk).count();
    }
    assert_eq!(listed, last.len());
    for (key, entry) in &last {
        let chunk = published.chunk(published.manifest().token_chunk(*key)).unwrap();
        assert_eq!(table::find(chunk, *key), Some(*entry));
        let mut other = *key;
        other.0[15] ^= 1;
        assert_eq!(table::find(chunk, other), last.get(&other).copied());
    }
});
