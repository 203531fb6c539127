//! Keys of operators: by which people and tools show a control plane who they are.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::token::{self, TokenError};

/// Of the same length as that of an opaque token, whose written form it shares.
const PREFIX: &str = "ok_";

/// The key of an operator: `ok_`, 43 base62 digits of 32 random bytes, and 6 of the
/// CRC-32 of everything before them. It is a secret: `Debug` does not show it, and
/// there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorKey(String);

/// SHA-256 of an operator's key as it is sent, `ok_` included: the only form in
/// which a control plane keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperatorKeyDigest(pub [u8; 32]);

impl OperatorKey {
    /// Makes a key from 32 random bytes.
    pub fn from_random(secret: [u8; 32]) -> Self {
        Self(token::write(PREFIX, &secret))
    }

    /// Reads a key as it came from outside.
    pub fn parse(text: &[u8]) -> Result<Self, TokenError> {
        token::read(PREFIX, text).map(Self)
    }

    /// The digest by which the key is known.
    pub fn digest(&self) -> OperatorKeyDigest {
        OperatorKeyDigest(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The key itself, to be shown once to whoever asked for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey(ok_…)")
    }
}

impl fmt::Debug for OperatorKeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{NodeCredential, OpaqueToken};

    #[test]
    fn the_written_form_is_stable() {
        let key = OperatorKey::from_random([7; 32]);
        // The digits are those of the token of the same bytes; the checksum, which
        // covers the prefix, by zlib's crc32 and big-integer arithmetic in Python.
        assert_eq!(key.reveal(), "ok_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF14YL6h8");
        assert_eq!(OperatorKey::parse(key.reveal().as_bytes()), Ok(key));
    }

    #[test]
    fn a_key_of_another_kind_is_none_and_neither_is_one_that_was_renamed() {
        let token = OpaqueToken::from_random([7; 32]);
        let credential = NodeCredential::from_random([7; 32]);
        for other in [token.reveal(), credential.reveal()] {
            let wrong = OperatorKey::parse(other.as_bytes());
            assert_eq!(wrong, Err(TokenError::WrongPrefix("ok_")));
            let renamed = format!("ok_{}", &other[3..]);
            assert_eq!(OperatorKey::parse(renamed.as_bytes()), Err(TokenError::WrongChecksum));
        }
        let key = OperatorKey::from_random([7; 32]);
        assert!(OpaqueToken::parse(key.reveal().as_bytes()).is_err());
        assert!(NodeCredential::parse(key.reveal().as_bytes()).is_err());
    }

    #[test]
    fn a_key_is_not_shown_by_debug() {
        let key = OperatorKey::from_random([7; 32]);
        let shown = format!("{key:?}{:?}", key.digest());
        assert!(!shown.contains(&key.reveal()[3..10]), "{shown}");
    }

    proptest! {
        #[test]
        fn every_key_survives_being_written_and_read(secret: [u8; 32]) {
            let key = OperatorKey::from_random(secret);
            prop_assert_eq!(OperatorKey::parse(key.reveal().as_bytes()), Ok(key));
        }

        #[test]
        fn what_was_altered_or_cut_off_is_no_key(secret: [u8; 32], at in 0usize..52, to: u8) {
            let whole = OperatorKey::from_random(secret).reveal().as_bytes().to_vec();
            prop_assert!(OperatorKey::parse(&whole[..at]).is_err());
            let mut altered = whole.clone();
            altered[at] = to;
            prop_assume!(altered != whole);
            prop_assert!(OperatorKey::parse(&altered).is_err());
        }
    }
}
