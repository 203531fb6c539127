//! Typed identifiers: a prefix that says what is named, then a ULID.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use ulid::Ulid;

/// What an [`Id`] names. Sealed by convention: the kinds are in this file.
pub trait IdKind: 'static {
    /// Prefix of the written form, with its underscore.
    const PREFIX: &'static str;
    /// The noun for error messages, with its article.
    const NOUN: &'static str;
}

macro_rules! id_kind {
    ($(#[$doc:meta])* $kind:ident, $alias:ident, $prefix:literal, $noun:literal) => {
        #[doc = concat!("Marks ids that start with `", $prefix, "`.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind {}
        impl IdKind for $kind {
            const PREFIX: &'static str = $prefix;
            const NOUN: &'static str = $noun;
        }
        $(#[$doc])*
        pub type $alias = Id<$kind>;
    };
}

id_kind!(
    /// An agent of the registry: `agt_` and a ULID.
    AgentKind, AgentId, "agt_", "an agent id");
id_kind!(
    /// A token's public name, safe to log: `tok_` and a ULID. It is not the token.
    TokenKind, TokenId, "tok_", "a token id");
id_kind!(
    /// A capability token's name, its `jti`, safe to log: `cap_` and a ULID.
    CapabilityKind, CapabilityId, "cap_", "a capability token id");
id_kind!(
    /// A principal, on whose behalf agents act: `prn_` and a ULID.
    PrincipalKind, PrincipalId, "prn_", "a principal id");
id_kind!(
    /// A policy: `pol_` and a ULID.
    PolicyKind, PolicyId, "pol_", "a policy id");
id_kind!(
    /// A restoration that waits, or waited, for a second operator: `apr_` and a ULID.
    ApprovalKind, ApprovalId, "apr_", "an approval id");

id_kind!(
    /// Something that somebody stopped, and what became of it: `kil_` and a ULID.
    KillKind, KillId, "kil_", "a kill id");
id_kind!(
    /// A drill, in which a canary is stopped to see who hears of it: `drl_` and a ULID.
    DrillKind, DrillId, "drl_", "a drill id");

/// A prefixed [ULID](https://github.com/ulid/spec): 48 bits of milliseconds
/// since 1970 and 80 random bits, written as 26 upper-case Crockford base32
/// characters. Exactly one spelling of each id is accepted.
pub struct Id<K: IdKind> {
    ulid: Ulid,
    kind: PhantomData<K>,
}

/// Length of every prefix.
const PREFIX: usize = 4;
/// Length of an id as it is written.
const WRITTEN: usize = PREFIX + ulid::ULID_LEN;

/// An id as it is written.
#[derive(Clone, Copy)]
pub struct Written([u8; WRITTEN]);

impl std::ops::Deref for Written {
    type Target = str;

    fn deref(&self) -> &str {
        // It is ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Why a text is not the id that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// It starts with another prefix, or with none.
    #[error("not {noun}: it must start with `{prefix}`")]
    WrongPrefix {
        /// What was asked for.
        noun: &'static str,
        /// How it would start.
        prefix: &'static str,
    },
    /// What follows the prefix is not a ULID in its canonical spelling.
    #[error("not {noun}: `{prefix}` must be followed by a ULID of 26 upper-case base32 characters")]
    NotUlid {
        /// What was asked for.
        noun: &'static str,
        /// How it would start.
        prefix: &'static str,
    },
    /// A binary id has another length than 16 bytes.
    #[error("not {noun}: {length} bytes instead of 16")]
    WrongLength {
        /// What was asked for.
        noun: &'static str,
        /// How many bytes came.
        length: usize,
    },
}

impl<K: IdKind> Id<K> {
    /// Makes an id from the time of making (milliseconds since 1970; 48 bits
    /// are kept) and 10 random bytes.
    pub fn from_parts(unix_millis: u64, random: [u8; 10]) -> Self {
        let mut wide = [0u8; 16];
        wide[6..].copy_from_slice(&random);
        Self::from_ulid(Ulid::from_parts(unix_millis, u128::from_be_bytes(wide)))
    }

    /// The 16 bytes of the ULID, as they travel in the protocol.
    pub fn to_bytes(self) -> [u8; 16] {
        self.ulid.to_bytes()
    }

    /// The id with these 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::from_ulid(Ulid::from_bytes(bytes))
    }

    /// The id with these bytes, which must be 16.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
        match <[u8; 16]>::try_from(bytes) {
            Ok(bytes) => Ok(Self::from_bytes(bytes)),
            Err(_) => Err(IdError::WrongLength { noun: K::NOUN, length: bytes.len() }),
        }
    }

    /// The id as it is written, without an allocation.
    pub fn written(self) -> Written {
        let mut bytes = [0; WRITTEN];
        let (prefix, tail) = bytes.split_at_mut(PREFIX);
        prefix.copy_from_slice(K::PREFIX.as_bytes());
        if let Ok(tail) = tail.try_into() {
            self.ulid.array_to_str(tail);
        }
        Written(bytes)
    }

    fn from_ulid(ulid: Ulid) -> Self {
        Self { ulid, kind: PhantomData }
    }
}

impl<K: IdKind> FromStr for Id<K> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let tail = text
            .strip_prefix(K::PREFIX)
            .ok_or(IdError::WrongPrefix { noun: K::NOUN, prefix: K::PREFIX })?;
        let not_ulid = IdError::NotUlid { noun: K::NOUN, prefix: K::PREFIX };
        // `Ulid::from_string` also takes lower case and look-alikes; one id
        // must not have two names, so the canonical spelling is compared.
        let ulid = Ulid::from_string(tail).map_err(|_| not_ulid.clone())?;
        let id = Self::from_ulid(ulid);
        if id.to_string() == text { Ok(id) } else { Err(not_ulid) }
    }
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written())
    }
}

impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: IdKind> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K: IdKind> Copy for Id<K> {}
impl<K: IdKind> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.ulid == other.ulid
    }
}
impl<K: IdKind> Eq for Id<K> {}
impl<K: IdKind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: IdKind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.ulid.cmp(&other.ulid)
    }
}
impl<K: IdKind> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.ulid.hash(state);
    }
}

impl<K: IdKind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: IdKind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_its_prefix_and_a_ulid() {
        let id = AgentId::from_parts(1_768_467_600_000, [0xab; 10]);
        let text = id.to_string();
        assert!(text.starts_with("agt_01"), "{text}");
        assert_eq!(text.len(), 30);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
    }

    #[test]
    fn an_id_of_another_kind_is_refused_with_the_prefix_it_needs() {
        let token = TokenId::from_parts(1, [1; 10]).to_string();
        let error = token.parse::<AgentId>().unwrap_err();
        assert_eq!(error.to_string(), "not an agent id: it must start with `agt_`");
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = AgentId::from_parts(1_768_467_600_000, [0xab; 10]).to_string();
        let lower = format!("agt_{}", id["agt_".len()..].to_lowercase());
        for text in [
            lower.as_str(),
            "agt_",
            "agt_01JXMK9P2Q3R4S5T6U7V",
            "AGT_01JXMK9P2Q3R4S5T6V7W8X9Y0Z",
            "agt_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0ZZ",
            "agt_01JXMK9P2Q3R4S5T6V7W8X9Y0é",
            " agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z",
        ] {
            assert!(text.parse::<AgentId>().is_err(), "{text} was taken for an id");
        }
    }

    #[test]
    fn bytes_of_another_length_are_refused() {
        assert!(AgentId::from_slice(&[0; 15]).is_err());
        assert!(AgentId::from_slice(&[0; 17]).is_err());
        assert!(AgentId::from_slice(&[0; 16]).is_ok());
    }

    proptest! {
        #[test]
        fn every_id_survives_being_written_and_read(bytes: [u8; 16]) {
            let id = AgentId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(AgentId::from_slice(&id.to_bytes()), Ok(id));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<AgentId>();
        }
    }
}
