//! The hash chain: each record's hash covers the hash of the one before it.
//!
//! `hash_n = SHA-256(hash_(n-1) || canonical_n)`, and `hash_0` is 32 zero bytes. Whoever
//! changes one record must change every hash after it, and the last of them is in a signed
//! [`Checkpoint`](super::Checkpoint).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::hex;

/// The hash of a record in the chain; written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// What stands before the first record.
    pub const START: Self = Self([0; 32]);

    /// The hash of the record that comes next, by its canonical bytes.
    #[must_use]
    pub fn next(self, canonical: &[u8]) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(canonical).finalize().into())
    }
}

/// A text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash is written as 64 digits of `0123456789abcdef`")]
pub struct BadHash;

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ChainHash {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<Self, BadHash> {
        hex::decode(text).map(Self).ok_or(BadHash)
    }
}

impl Serialize for ChainHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for ChainHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hash_is_of_32_zero_bytes_and_the_record() {
        let mut bytes = vec![0; 32];
        bytes.extend_from_slice(b"{}");
        let expected: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(ChainHash::START.next(b"{}"), ChainHash(expected));
    }

    #[test]
    fn a_hash_is_read_as_it_is_written_and_in_no_other_way() {
        let hash = ChainHash::START.next(b"{}");
        let text = hash.to_string();
        assert_eq!(text.parse(), Ok(hash));
        assert_eq!(text.to_uppercase().parse::<ChainHash>(), Err(BadHash));
        assert_eq!(text[..63].parse::<ChainHash>(), Err(BadHash));
        assert_eq!(format!("{text}0").parse::<ChainHash>(), Err(BadHash));
        assert_eq!(format!("+{}", &text[1..]).parse::<ChainHash>(), Err(BadHash));
    }
}
