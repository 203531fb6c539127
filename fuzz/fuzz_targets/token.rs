//! Secrets and names as they come from outside: what is read is what would be
//! written, and nothing else is read.
#![no_main]

use kya_core::{
    AgentId, NodeCredential, OpaqueToken, OperatorKey, PolicyId, PrincipalId, PublicKey,
    TokenDigest, TokenId,
};
use libfuzzer_sys::fuzz_target;

fn name<T: std::str::FromStr + ToString>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string(), text, "there are two spellings");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (token, credential) = (OpaqueToken::parse(bytes), NodeCredential::parse(bytes));
    let key = OperatorKey::parse(bytes);
    let kinds = [token.is_ok(), credential.is_ok(), key.is_ok()];
    assert!(kinds.iter().filter(|read| **read).count() <= 1, "it is of two kinds");
    assert_eq!(
        TokenDigest::of(bytes),
        token.as_ref().map(OpaqueToken::digest).map_err(|error| *error)
    );
    let read = token.as_ref().map(OpaqueToken::reveal);
    let read = read.or(credential.as_ref().map(NodeCredential::reveal));
    let read = read.or(key.as_ref().map(OperatorKey::reveal));
    if let Ok(text) = read {
        assert_eq!(text.as_bytes(), bytes);
    }

    // Whatever is issued is read, and not if any one byte of it is another.
    if let Some((secret, [at, with])) = bytes
        .split_first_chunk::<32>()
        .and_then(|(secret, rest)| Some((*secret, *rest.first_chunk::<2>()?)))
    {
        let issued = OpaqueToken::from_random(secret);
        assert_eq!(OpaqueToken::parse(issued.reveal().as_bytes()).as_ref(), Ok(&issued));
        let mut altered = issued.reveal().as_bytes().to_vec();
        let at = usize::from(at) % altered.len();
        if altered[at] != with {
            altered[at] = with;
            assert!(TokenDigest::of(&altered).is_err(), "an altered token is read");
        }
    }

    if let Ok(text) = std::str::from_utf8(bytes) {
        name::<AgentId>(text);
        name::<PrincipalId>(text);
        name::<PolicyId>(text);
        name::<TokenId>(text);
        name::<PublicKey>(text);
    }
});
