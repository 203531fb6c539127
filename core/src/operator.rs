//! Keys of operators: by which people and tools show a control plane who they are.

use crate::token::secret;

secret! {
    "ok_";
    /// The key of an operator: `ok_`, 43 base62 digits of 32 random bytes, and 6 of the
    /// CRC-32 of everything before them. It is a secret: `Debug` does not show it, and
    /// there is no `Display`.
    OperatorKey;
    /// SHA-256 of an operator's key as it is sent, `ok_` included: the only form in
    /// which a control plane keeps it.
    OperatorKeyDigest;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{NodeCredential, OpaqueToken, TokenError};

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
