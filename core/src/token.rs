//! Opaque tokens: `at_`, 32 random bytes in base62, and a checksum.
//!
//! A token is a handle. It says nothing about its holder and proves nothing by
//! itself; what it may do is decided against live state at every use. The
//! checksum lets a gate tell a typo or a truncated paste ("malformed") from a
//! token that it does not know, without a look-up.

use sha2::{Digest, Sha256};
use thiserror::Error;

const PREFIX: &str = "at_";
/// Of every kind of secret that is written this way.
const PREFIX_LENGTH: usize = PREFIX.len();
/// 43 base62 digits hold 256 bits: 62^43 > 2^256.
const SECRET_DIGITS: usize = 43;
/// 6 base62 digits hold a CRC-32: 62^6 > 2^32.
const CHECKSUM_DIGITS: usize = 6;
const LENGTH: usize = PREFIX_LENGTH + SECRET_DIGITS + CHECKSUM_DIGITS;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A kind of secret that is written this way, and its digest, by the prefix of the kind.
/// It is a secret: `Debug` does not show it, and there is no `Display`.
macro_rules! secret {
    (
        $prefix:literal;
        $(#[$about:meta])* $secret:ident;
        $(#[$about_digest:meta])* $digest:ident;
    ) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $secret(String);

        $(#[$about_digest])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $digest(pub [u8; 32]);

        impl $secret {
            /// Makes one from 32 random bytes.
            pub fn from_random(secret: [u8; 32]) -> Self {
                Self($crate::token::write($prefix, &secret))
            }

            /// Reads one as it came from outside.
            pub fn parse(text: &[u8]) -> Result<Self, $crate::token::TokenError> {
                $crate::token::read($prefix, text).map(Self)
            }

            /// The digest by which it is known.
            pub fn digest(&self) -> $digest {
                $digest(<sha2::Sha256 as sha2::Digest>::digest(self.0.as_bytes()).into())
            }

            /// The secret itself, to be shown once to whoever asked for it, and sent by
            /// whoever has it.
            pub fn reveal(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Debug for $secret {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($secret), "(", $prefix, "…)"))
            }
        }

        impl std::fmt::Debug for $digest {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("sha256:")?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("…")
            }
        }
    };
}
pub(crate) use secret;

secret! {
    "at_";
    /// A well-formed opaque token. It is a secret: `Debug` does not show it, and
    /// there is no `Display`.
    OpaqueToken;
    /// SHA-256 of an opaque token as it is sent, `at_` included: the only form in
    /// which a token is stored, pushed or compared.
    TokenDigest;
}

/// Why a text is not an opaque token, or not another secret of the same form.
/// None of them says more than the text's own shape shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It does not start with its prefix.
    #[error("it does not start with `{0}`")]
    WrongPrefix(&'static str),
    /// It has another length.
    #[error("it must have {LENGTH} characters and has {0}: it may have been cut off")]
    WrongLength(usize),
    /// It has a character outside 0-9, A-Z, a-z.
    #[error("it must have only letters and digits after its prefix")]
    WrongCharacter,
    /// The checksum does not fit: a typo, or two pastes in one.
    #[error("its checksum does not fit: it was mistyped or altered")]
    WrongChecksum,
}

impl TokenDigest {
    /// The digest of a token as it came from outside, if it is well-formed. This
    /// is what a gate needs of a token, without a copy of it.
    pub fn of(text: &[u8]) -> Result<Self, TokenError> {
        check(PREFIX, text)?;
        Ok(Self(Sha256::digest(text).into()))
    }

    /// The digest with these bytes, if there are 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        <[u8; 32]>::try_from(bytes).ok().map(Self)
    }
}

/// The written form of a secret: a prefix of three characters, the digits of its
/// 32 bytes, and those of the CRC-32 (IEEE) of everything before them.
pub(crate) fn write(prefix: &'static str, secret: &[u8; 32]) -> String {
    let mut text = String::with_capacity(LENGTH);
    text.push_str(prefix);
    text.extend(base62::<SECRET_DIGITS, _>(*secret).map(char::from));
    text.extend(checksum(text.as_bytes()).map(char::from));
    text
}

/// Takes a text that [`write`] can have written with this prefix.
pub(crate) fn read(prefix: &'static str, text: &[u8]) -> Result<String, TokenError> {
    check(prefix, text)?;
    // Only ASCII is left, so the conversion cannot lose anything.
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Whether [`write`] can have written a text with this prefix.
fn check(prefix: &'static str, text: &[u8]) -> Result<(), TokenError> {
    let Some(digits) = text.strip_prefix(prefix.as_bytes()) else {
        return Err(TokenError::WrongPrefix(prefix));
    };
    if text.len() != LENGTH {
        return Err(TokenError::WrongLength(text.len()));
    }
    if !digits.iter().all(u8::is_ascii_alphanumeric) {
        return Err(TokenError::WrongCharacter);
    }
    let (body, written) = text.split_at(LENGTH - CHECKSUM_DIGITS);
    if checksum(body) == written { Ok(()) } else { Err(TokenError::WrongChecksum) }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    base62(crc32fast::hash(body).to_be_bytes())
}

/// `number` (big-endian) as exactly `DIGITS` base62 digits.
fn base62<const DIGITS: usize, const BYTES: usize>(mut number: [u8; BYTES]) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u8;
        for byte in &mut number {
            // `remainder` is below 62, so the quotient fits into a byte.
            let value = u16::from_be_bytes([remainder, *byte]);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = u8::try_from(value % 62).unwrap_or(0);
        }
        *digit = ALPHABET.get(usize::from(remainder)).copied().unwrap_or(b'0');
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> OpaqueToken {
        OpaqueToken::from_random([7; 32])
    }

    #[test]
    fn a_token_has_a_fixed_shape() {
        for secret in [[0; 32], [7; 32], [0xff; 32]] {
            let token = OpaqueToken::from_random(secret);
            assert_eq!(token.reveal().len(), LENGTH);
            assert_eq!(OpaqueToken::parse(token.reveal().as_bytes()), Ok(token));
        }
    }

    #[test]
    fn the_written_form_is_stable() {
        // Fixed by hand from big-integer arithmetic in another language:
        // base62(0x0707…07, 43 digits) and base62(crc32("at_" + digits), 6 digits).
        assert_eq!(token().reveal(), TOKEN_OF_SEVENS);
    }
    const TOKEN_OF_SEVENS: &str = "at_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12goXvQ";

    #[test]
    fn a_truncated_paste_is_malformed() {
        let token = token();
        for length in 0..LENGTH {
            assert!(OpaqueToken::parse(&token.reveal().as_bytes()[..length]).is_err());
        }
        let twice = format!("{0}{0}", token.reveal());
        assert_eq!(OpaqueToken::parse(twice.as_bytes()), Err(TokenError::WrongLength(2 * LENGTH)));
    }

    #[test]
    fn a_token_is_not_shown_by_debug() {
        let shown = format!("{:?}", token());
        assert!(!shown.contains(&token().reveal()[3..10]), "{shown}");
    }

    #[test]
    fn characters_outside_the_alphabet_are_named_as_such() {
        let mut text = token().reveal().as_bytes().to_vec();
        for bad in [b'-', b' ', b'\0', 0xff, b'\n'] {
            text[10] = bad;
            assert_eq!(OpaqueToken::parse(&text), Err(TokenError::WrongCharacter));
        }
    }

    proptest! {
        #[test]
        fn every_token_survives_being_written_and_read(secret: [u8; 32]) {
            let token = OpaqueToken::from_random(secret);
            prop_assert_eq!(OpaqueToken::parse(token.reveal().as_bytes()), Ok(token));
        }

        #[test]
        fn one_changed_character_is_malformed(
            secret: [u8; 32],
            at in PREFIX.len()..LENGTH,
            new in prop::sample::select(ALPHABET.to_vec()),
        ) {
            let mut text = OpaqueToken::from_random(secret).reveal().as_bytes().to_vec();
            prop_assume!(text[at] != new);
            text[at] = new;
            prop_assert_eq!(OpaqueToken::parse(&text), Err(TokenError::WrongChecksum));
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            let _ = OpaqueToken::parse(&bytes);
        }
    }
}
