use super::*;
use proptest::prelude::*;

fn signer() -> Signer {
    Signer::from_seed([1; 32])
}

fn verifier() -> Verifier {
    Verifier::new([signer().public_key()])
}

fn delta() -> wire::Update {
    wire::Update {
        epoch: 1,
        revision: 7,
        unix_millis: 1_000,
        body: Some(wire::update::Body::Delta(wire::Delta { changes: vec![] })),
    }
}

#[test]
fn what_a_pinned_key_signed_is_believed() {
    let verified = verifier().verify(&sign_update(&signer(), &delta()).encode_to_vec()).unwrap();
    assert_eq!(verified.position(), Position { epoch: 1, revision: Revision(7) });
    assert_eq!(verified.issued(), UnixMillis(1_000));
}

#[test]
fn another_key_is_not_believed_even_under_a_pinned_key_id() {
    let foreign = Signer::from_seed([2; 32]);
    let mut signed = sign_update(&foreign, &delta());
    assert_eq!(verifier().verify(&signed.encode_to_vec()), Err(UpdateError::UnknownKey));
    signed.key_id = signer().public_key().id().0.to_vec();
    assert_eq!(verifier().verify(&signed.encode_to_vec()), Err(UpdateError::BadSignature));
}

#[test]
fn a_signature_without_the_domain_prefix_is_not_believed() {
    let mut signed = sign_update(&signer(), &delta());
    signed.signature = signer().sign(&signed.payload).to_vec();
    assert_eq!(verifier().verify(&signed.encode_to_vec()), Err(UpdateError::BadSignature));
}

#[test]
fn a_signed_update_of_an_unknown_shape_is_refused() {
    let mut without_body = delta();
    without_body.body = None;
    let short_nonce = wire::Update {
        body: Some(wire::update::Body::Heartbeat(wire::Heartbeat { nonce: vec![0; 31] })),
        ..delta()
    };
    let no_hashes = wire::Update {
        body: Some(wire::update::Body::Manifest(wire::Manifest {
            nonce: vec![0; 32],
            ..Default::default()
        })),
        ..delta()
    };
    let keys = |keys| wire::Update {
        body: Some(wire::update::Body::Keys(wire::Keys { serial: 1, keys })),
        ..delta()
    };
    let good_key = signer().public_key().to_bytes().to_vec();
    let with = |change| wire::Update {
        body: Some(wire::update::Body::Delta(wire::Delta {
            changes: vec![wire::Change { change }],
        })),
        ..delta()
    };
    let unknown_change = with(None);
    let short_digest = with(Some(wire::change::Change::Token(wire::Token {
        digest: vec![0; 31],
        ..crate::shorthand::token(8, 1)
    })));
    let long_id = with(Some(wire::change::Change::Agent(wire::Agent {
        id: vec![0; 17],
        ..Default::default()
    })));
    let too_many =
        wire::Change { change: Some(wire::change::Change::Token(crate::shorthand::token(8, 1))) };
    let too_many = wire::Update {
        body: Some(wire::update::Body::Delta(wire::Delta {
            changes: vec![too_many; MAX_CHANGES + 1],
        })),
        ..delta()
    };
    for update in [
        without_body,
        short_nonce,
        no_hashes,
        keys(vec![]),
        keys(vec![vec![0; 31]]),
        keys(vec![vec![0; 32]]),
        keys(vec![good_key; MAX_KEYS + 1]),
        unknown_change,
        short_digest,
        long_id,
        too_many,
    ] {
        let signed = sign_update(&signer(), &update).encode_to_vec();
        let position = Some(Position { epoch: 1, revision: Revision(7) });
        assert_eq!(verifier().verify(&signed), Err(UpdateError::BadPayload { position }));
    }
}

fn keys(serial: u64, signed_by: &Signer, named: &[&Signer]) -> Vec<u8> {
    let keys = named.iter().map(|key| key.public_key().to_bytes().to_vec()).collect();
    let body = wire::update::Body::Keys(wire::Keys { serial, keys });
    sign_update(signed_by, &wire::Update { body: Some(body), ..delta() }).encode_to_vec()
}

#[test]
fn keys_follow_one_another_without_a_moment_in_which_none_counts() {
    let (old, new, foreign) = (signer(), Signer::from_seed([2; 32]), Signer::from_seed([3; 32]));
    let mut verifier = verifier();
    let counts = |verifier: &Verifier, signer: &Signer| {
        verifier.verify(&sign_update(signer, &delta()).encode_to_vec()).is_ok()
    };
    let announced = verifier.verify(&keys(1, &old, &[&old, &new])).unwrap();
    assert!(verifier.learn(&announced));
    assert!(counts(&verifier, &old) && counts(&verifier, &new));
    assert!(!verifier.learn(&announced), "the same again is no news");
    let retired = verifier.verify(&keys(2, &new, &[&new])).unwrap();
    assert!(verifier.learn(&retired));
    assert!(!counts(&verifier, &old) && counts(&verifier, &new));
    assert!(!verifier.learn(&announced), "an older one brings no key back");
    assert_eq!(verifier.key_serial(), 2);
    for by in [&old, &foreign] {
        assert_eq!(verifier.verify(&keys(9, by, &[by])), Err(UpdateError::UnknownKey));
    }
}

#[test]
fn a_later_epoch_comes_after_every_revision_of_an_earlier_one() {
    let before = Position { epoch: 1, revision: Revision(u64::MAX) };
    let after = Position { epoch: 2, revision: Revision(0) };
    assert!(after > before);
}

proptest! {
    #[test]
    fn no_changed_byte_is_believed(at: prop::sample::Index, flip in 1u8..=255) {
        let mut bytes = sign_update(&signer(), &delta()).encode_to_vec();
        let honest = verifier().verify(&bytes).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        // A flipped bit in a protobuf tag may leave the meaning as it was;
        // what is believed must then still be what was signed.
        if let Ok(believed) = verifier().verify(&bytes) {
            prop_assert_eq!(believed, honest);
        }
    }

    #[test]
    fn no_bytes_make_the_verifier_panic(bytes: Vec<u8>) {
        prop_assert!(verifier().verify(&bytes).is_err());
    }
}
