//! Manifests: which chunks they name, and which of them are others than before.
#![no_main]

use arbitrary::Arbitrary;
use kya_core::wire::{self, update::Body as Wire};
use kya_core::{Body, Fingerprint, Manifest, Signer, Verifier, chunk_hash, sign_update};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

#[derive(Arbitrary, Debug)]
struct Input {
    old: Named,
    new: Named,
    token: [u8; 16],
    indexes: Vec<u32>,
}

#[derive(Arbitrary, Debug)]
struct Named {
    /// The numbers as they are, or small ones.
    wild: bool,
    token_bits: u32,
    record_bits: u32,
    /// Contents of chunks, over and over.
    contents: Vec<u8>,
    /// How many bytes of hashes are too many, or missing.
    off: i8,
}

/// The manifest as it was signed, as it is believed, and whether it should be.
fn manifest(named: &Named) -> (wire::Manifest, Option<Manifest>) {
    let small = |bits: u32| if named.wild { bits } else { bits % 6 };
    let (token_bits, record_bits) = (small(named.token_bits), small(named.record_bits));
    let count = (1usize << (token_bits % 8)) + (1usize << (record_bits % 8));
    let contents = named.contents.iter().cycle().take(count);
    let mut hashes: Vec<u8> = contents.flat_map(|byte| chunk_hash(&[*byte])).collect();
    let length = hashes.len().saturating_add_signed(named.off.into());
    hashes.resize(length, 0);
    let sent = wire::Manifest { nonce: vec![1; 32], token_bits, record_bits, chunk_hashes: hashes };
    let signer = Signer::from_seed([1; 32]);
    let body = Some(Wire::Manifest(sent.clone()));
    let update = wire::Update { epoch: 1, revision: 1, unix_millis: 1, body };
    let signed = sign_update(&signer, &update).encode_to_vec();
    let read = Verifier::new([signer.public_key()]).verify(&signed).ok();
    let read = read.and_then(|update| match update.body() {
        Body::Manifest { manifest, .. } => Some(manifest.clone()),
        _ => None,
    });
    (sent, read)
}

fuzz_target!(|input: Input| {
    let [old, new] = [&input.old, &input.new].map(|named| {
        let (sent, read) = manifest(named);
        let fits = sent.token_bits <= 17
            && sent.record_bits <= 12
            && sent.chunk_hashes.len() == 32 * ((1 << sent.token_bits) + (1 << sent.record_bits));
        assert_eq!(read.is_some(), fits);
        read.map(|read| (sent, read))
    });
    let Some((sent, new)) = new else { return };
    let hash = |sent: &wire::Manifest, index: u32| {
        sent.chunk_hashes.chunks(32).nth(index as usize).map(<[u8]>::to_vec)
    };
    for index in input.indexes.iter().copied().chain(0..new.count() as u32 + 1) {
        let expected = hash(&sent, index);
        assert_eq!(new.hash(index).map(|it| it.to_vec()), expected);
        for byte in &input.new.contents {
            let fits = Some(chunk_hash(&[*byte]).to_vec()) == expected;
            assert_eq!(new.fits(index, &[*byte]), fits);
        }
    }
    let token = Fingerprint(input.token);
    let first = u128::from_be_bytes(input.token).checked_shr(128 - sent.token_bits).unwrap_or(0);
    assert_eq!(u128::from(new.token_chunk(token)), first);
    assert!((new.token_chunk(token) as usize) < new.token_chunks());
    assert_eq!(new.to_wire(&sent.nonce), sent);

    let all: Vec<_> = (0..new.count() as u32).collect();
    assert_eq!(new.changed_since(None).collect::<Vec<_>>(), all);
    let Some((before, old)) = old else { return };
    let alike = (before.token_bits, before.record_bits) == (sent.token_bits, sent.record_bits);
    let differs = |index: &u32| !alike || hash(&before, *index) != hash(&sent, *index);
    let expected: Vec<_> = all.into_iter().filter(differs).collect();
    assert_eq!(new.changed_since(Some(&old)).collect::<Vec<_>>(), expected);
    assert_eq!(old.image() == new.image(), before.chunk_hashes == sent.chunk_hashes);
});
