use super::super::tests::{claims, minted, signer, verifier};
use super::super::{CapabilityKeys, CapabilityVerifier};
use super::*;
use crate::keys::Signer;
use proptest::prelude::*;

fn cache() -> VerifiedCache {
    VerifiedCache::new(verifier())
}

/// Trusts a key that has signed nothing.
fn stranger() -> CapabilityVerifier {
    let keys = CapabilityKeys::new([Signer::from_seed([9; 32]).public_key()]).unwrap();
    CapabilityVerifier::new("https://kya.example", keys).unwrap()
}

/// `cache` as it would be if it could not verify anything any more: what it still
/// answers, it remembers.
fn without_a_key(mut cache: VerifiedCache) -> VerifiedCache {
    cache.verifier = Some(stranger().into());
    cache
}

#[test]
fn a_token_is_verified_once() {
    let (token, other) = (minted(&claims(1)), minted(&claims(2)));
    let mut cache = cache();
    assert!(cache.is_empty());
    for _ in 0..3 {
        assert_eq!(cache.verified(&token).unwrap().claims(), &claims(1));
        assert_eq!(cache.len(), 1);
    }
    let mut cache = without_a_key(cache);
    assert_eq!(cache.verified(&token).unwrap().claims(), &claims(1));
    assert_eq!(cache.verified(&other), Err(CapabilityError::UnknownKey));
}

#[test]
fn a_known_signature_does_not_carry_other_claims() {
    let (token, other) = (minted(&claims(1)), minted(&claims(2)));
    let mut cache = cache();
    cache.verified(&token).unwrap();
    cache.verified(&other).unwrap();
    let at = token.len() - SIGNATURE_CHARACTERS;
    let mixed = [&other[..at], &token[at..]].concat();
    assert_eq!(cache.verified(&mixed), Err(CapabilityError::BadSignature));
    // Nor the claims another spelling of the signature, or a shorter one.
    for end in [at, at + 1, token.len() - 1] {
        assert!(cache.verified(&token[..end]).is_err());
    }
    for more in [".", "=", "A", "\n"] {
        assert!(cache.verified(&[&token, more.as_bytes()].concat()).is_err());
    }
    assert_eq!(cache.len(), 2, "what is refused takes no place");
}

#[test]
fn what_was_verified_by_other_keys_is_forgotten() {
    let token = minted(&claims(1));
    let mut cache = cache();
    cache.verified(&token).unwrap();
    cache.replace(stranger());
    assert!(cache.is_empty());
    assert_eq!(cache.verified(&token), Err(CapabilityError::UnknownKey));
}

#[test]
fn short_texts_are_refused_and_nothing_panics() {
    let mut cache = cache();
    for length in 0..200 {
        assert!(cache.verified(&vec![b'.'; length]).is_err());
    }
}

/// Entries of the same token under other hashes, since signatures that fall into one
/// set are found only by trying.
fn entry(n: u16) -> Entry {
    let token = minted(&claims(n));
    let capability = verifier().verify(&token).unwrap();
    Entry { message: token.into(), signature: [0; 32], capability: capability.into() }
}

#[test]
fn the_token_that_was_not_used_for_longest_makes_room() {
    let mut set = Set::default();
    let entries: Vec<_> = (0..9).map(entry).collect();
    let messages: Vec<_> = entries.iter().map(|entry| entry.message.clone()).collect();
    let mut entries = entries.into_iter();
    for entry in entries.by_ref().take(WAYS) {
        set.put(entry);
    }
    // All but the second are used, and the first last.
    for at in (2..WAYS).chain([0]) {
        assert!(set.bring_forward(&messages[at], &[0; 32]));
        assert_eq!(set.first().unwrap().claims(), &claims(u16::try_from(at).unwrap()));
    }
    set.put(entries.next().unwrap());
    assert!(!set.bring_forward(&messages[1], &[0; 32]), "the second had to go");
    for at in (2..WAYS).chain([0, WAYS]) {
        assert!(set.bring_forward(&messages[at], &[0; 32]), "{at} is gone");
    }
    assert!(!set.bring_forward(&messages[0], &[1; 32]), "the signature is another");
}

#[test]
fn no_more_are_kept_than_there_are_places() {
    assert_eq!(CACHE_ENTRIES, 4096);
    let mut cache = VerifiedCache { sets: empty_sets(), ..cache() };
    let set = &mut cache.sets[0];
    for n in 0..2 * WAYS {
        set.put(entry(u16::try_from(n).unwrap()));
    }
    assert_eq!(cache.len(), WAYS);
}

#[test]
fn debug_shows_names_and_no_token() {
    let token = minted(&claims(1));
    let mut cache = cache();
    cache.verified(&token).unwrap();
    let shown = format!("{cache:?}");
    assert!(shown.contains(&claims(1).id.to_string()));
    assert!(!shown.contains(std::str::from_utf8(&token[100..120]).unwrap()), "{shown}");
    assert!(!shown.contains(&format!("{:?}", signer().to_seed())));
}

proptest! {
    #[test]
    fn a_cache_answers_as_its_verifier_does(
        steps in prop::collection::vec((0u16..6, any::<Option<(prop::sample::Index, u8)>>()), 1..20),
    ) {
        let mut cache = cache();
        for (n, change) in steps {
            let mut token = minted(&claims(n));
            if let Some((at, new)) = change {
                let at = at.index(token.len());
                token[at] = new;
            }
            prop_assert_eq!(cache.verified(&token), verifier().verify(&token).map(Arc::new));
        }
    }
}
