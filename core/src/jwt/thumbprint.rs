//! JWK thumbprints (RFC 7638): keys by the hash of what they are.

use std::fmt;

use sha2::{Digest, Sha256};

use super::error::Part;
use super::{decode, encode};
use crate::keys::PublicKey;

/// SHA-256 thumbprint of a JWK, written as 43 base64url characters. It names a key
/// of any kind; a `kid` selects by it, and `jkt` (RFC 9449 section 6.1) binds to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The thumbprint of an Ed25519 key (RFC 8037 appendix A.3).
    pub fn of(key: PublicKey) -> Self {
        let x = encode(key.to_bytes());
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self(Sha256::digest(jwk).into())
    }

    /// Reads a thumbprint in its one spelling; `None` if this is none.
    pub fn parse(text: &str) -> Option<Self> {
        decode(text.as_bytes(), Part::Header).ok()?.try_into().ok().map(Self)
    }

    /// The thumbprint with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the hash.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_thumbprint_has_one_spelling() {
        let text = Thumbprint::from_bytes([7; 32]).to_string();
        assert_eq!(text.len(), 43);
        assert_eq!(Thumbprint::parse(&text), Some(Thumbprint::from_bytes([7; 32])));
        // `c` holds four bits of the last byte and two zeros; `d`, `e` and `f` would
        // be the same byte.
        let (start, last) = text.split_at(42);
        assert_eq!(last, "c");
        for other in [
            format!("{start}d"),
            format!("{start}f"),
            format!("{text}="),
            format!(" {text}"),
            format!("{text}\n"),
            format!("{text}A"),
            start.to_owned(),
            String::new(),
            format!("+{}", &text[1..]),
            format!("/{}", &text[1..]),
        ] {
            assert_eq!(Thumbprint::parse(&other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn every_thumbprint_survives_being_written_and_read(bytes: [u8; 32]) {
            let thumbprint = Thumbprint::from_bytes(bytes);
            prop_assert_eq!(Thumbprint::parse(&thumbprint.to_string()), Some(thumbprint));
        }

        #[test]
        fn what_is_read_is_what_would_be_written(text in "[A-Za-z0-9_-]{42,44}") {
            if let Some(thumbprint) = Thumbprint::parse(&text) {
                prop_assert_eq!(thumbprint.to_string(), text);
            }
        }
    }
}
