//! Opaque tokens: `at_`, 32 random bytes in base62, and a checksum.
//!
//! A token is a handle. It says nothing about its holder and proves nothing by
//! itself; what it may do is decided against live state at every use. The
//! checksum lets a gate tell a typo or a truncated paste ("malformed") from a
//! token that it does not know, without a look-up.

use std::fmt;

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

/// A well-formed opaque token. It is a secret: `Debug` does not show it, and
/// there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct OpaqueToken(String);

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

/// SHA-256 of an opaque token as it is sent, `at_` included: the only form in
/// which a token is stored, pushed or compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl OpaqueToken {
    /// Makes a token from 32 random bytes.
    pub fn from_random(secret: [u8; 32]) -> Self {
        Self(write(PREFIX, &secret))
    }

    /// Reads a token as it came from outside.
    pub fn parse(text: &[u8]) -> Result<Self, TokenError> {
        read(PREFIX, text).map(Self)
    }

    /// The digest by which the token is known.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The token itself, to be shown once to whoever asked for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueToken(at_…)")
    }
}

impl TokenDigest {
    /// The digest with these bytes, if there are 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        <[u8; 32]>::try_from(bytes).ok().map(Self)
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

/// The written form of a secret: a prefix of three characters, the digits of its
/// 32 bytes, and those of the CRC-32 (IEEE) of everything before them.
pub(crate) fn write(prefix: &'static str, secret: &[u8; 32]) -> String {
    let mut text = String::with_capacity(LENGTH);
    text.push_str(prefix);
    push_base62::<SECRET_DIGITS>(&mut text, secret);
    let checksum = crc32fast::hash(text.as_bytes()).to_be_bytes();
    push_base62::<CHECKSUM_DIGITS>(&mut text, &checksum);
    text
}

/// Takes a text that [`write`] can have written with this prefix.
pub(crate) fn read(prefix: &'static str, text: &[u8]) -> Result<String, TokenError> {
    let Some(digits) = text.strip_prefix(prefix.as_bytes()) else {
        return Err(TokenError::WrongPrefix(prefix));
    };
    if text.len() != LENGTH {
        return Err(TokenError::WrongLength(text.len()));
    }
    if !digits.iter().all(u8::is_ascii_alphanumeric) {
        return Err(TokenError::WrongCharacter);
    }
    let (body, checksum) = text.split_at(LENGTH - CHECKSUM_DIGITS);
    let mut expected = String::with_capacity(CHECKSUM_DIGITS);
    push_base62::<CHECKSUM_DIGITS>(&mut expected, &crc32fast::hash(body).to_be_bytes());
    if expected.as_bytes() != checksum {
        return Err(TokenError::WrongChecksum);
    }
    // Only ASCII is left, so the conversion cannot lose anything.
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Appends `number` (big-endian) as exactly `DIGITS` base62 digits.
fn push_base62<const DIGITS: usize>(out: &mut String, number: &[u8]) {
    let mut digits = [b'0'; DIGITS];
    let mut rest = number.to_vec();
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u8;
        for byte in &mut rest {
            // `remainder` is below 62, so the quotient fits into a byte.
            let value = u16::from_be_bytes([remainder, *byte]);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = u8::try_from(value % 62).unwrap_or(0);
        }
        *digit = ALPHABET.get(usize::from(remainder)).copied().unwrap_or(b'0');
    }
    out.extend(digits.iter().copied().map(char::from));
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
