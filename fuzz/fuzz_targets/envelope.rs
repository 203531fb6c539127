//! Signed updates: arbitrary bytes in place of one, and arbitrary payloads that
//! the trusted key has signed, which are read as far as they go.
#![no_main]

use kya_core::{Body, MAX_CHANGES, MAX_KEYS, Signer, Verifier};
use kya_fuzz::signing::{is_signed, signed};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    let signer = Signer::from_seed([1; 32]);
    let mut verifier = Verifier::new([signer.public_key()]);
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let encoded = if kind.is_multiple_of(2) {
        let encoded = bytes.to_vec();
        assert!(verifier.verify(&encoded).is_err() || is_signed(signer.public_key(), &encoded));
        encoded
    } else {
        let other = Signer::from_seed([2; 32]);
        assert!(verifier.verify(&signed(&other, bytes).encode_to_vec()).is_err());
        signed(&signer, bytes).encode_to_vec()
    };
    let Ok(update) = verifier.verify(&encoded) else { return };
    let learnt = verifier.learn(&update);
    match update.body() {
        Body::Manifest { manifest, .. } => {
            let count = u32::try_from(manifest.count()).unwrap();
            assert_eq!(manifest.records().count() + manifest.token_chunks(), manifest.count());
            assert!((0..count).all(|index| manifest.hash(index).is_some()));
            assert_eq!(manifest.hash(count), None);
            assert_eq!(manifest.changed_since(Some(manifest)).count(), 0);
        }
        Body::Delta(changes) => assert!(changes.len() <= MAX_CHANGES),
        Body::Keys { serial, keys } => {
            assert!((1..=MAX_KEYS).contains(&keys.len()));
            assert_eq!(learnt, *serial > 0);
            let trusted = keys.contains(&signer.public_key());
            assert!(!learnt || verifier.verify(&encoded).is_ok() == trusted);
        }
        Body::Heartbeat { .. }
        | Body::Challenge(_)
        | Body::Introspection { .. }
        | Body::AuditReceipt { .. } => {}
    }
    assert!(!learnt || matches!(update.body(), Body::Keys { .. }));
});
