//! How a policy is named, and its versions.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::{IdError, IdKind, PolicyId, PolicyKind};

const MAX_NAME: usize = 64;

/// The name by which people know a policy: 1 to 64 lower-case letters, digits and
/// `._-`, of which the first is a letter or a digit. It is unique, and never looks
/// like an id: no name starts with `pol_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyName(String);

/// A text is no name of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "must be 1 to 64 lower-case letters, digits and `._-`, begin with a letter or a digit, and not with `pol_`, which begins an id"
)]
pub struct PolicyNameError;

impl PolicyName {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PolicyName {
    type Error = PolicyNameError;

    fn try_from(text: String) -> Result<Self, PolicyNameError> {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let plain = |byte: u8| word(byte) || b"._-".contains(&byte);
        let is_name = text.len() <= MAX_NAME
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(plain)
            && !text.starts_with(PolicyKind::PREFIX);
        if is_name { Ok(Self(text)) } else { Err(PolicyNameError) }
    }
}

impl FromStr for PolicyName {
    type Err = PolicyNameError;

    fn from_str(text: &str) -> Result<Self, PolicyNameError> {
        Self::try_from(text.to_owned())
    }
}

impl From<PolicyName> for String {
    fn from(name: PolicyName) -> Self {
        name.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A policy, by its id or by its name. What starts with `pol_` is an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyReference {
    /// By its id.
    Id(PolicyId),
    /// By its name.
    Name(PolicyName),
}

/// Why a text refers to no policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyReferenceError {
    /// It starts like an id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// It does not.
    #[error("not a policy: {0}")]
    Name(#[from] PolicyNameError),
}

impl FromStr for PolicyReference {
    type Err = PolicyReferenceError;

    fn from_str(text: &str) -> Result<Self, PolicyReferenceError> {
        if text.starts_with(PolicyKind::PREFIX) {
            return Ok(Self::Id(text.parse()?));
        }
        Ok(Self::Name(text.parse()?))
    }
}

impl fmt::Display for PolicyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Which version of a policy it is, from 1. A version never changes; a change makes
/// the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyVersion(NonZeroU32);

impl PolicyVersion {
    /// The first version of a policy.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The version of this number; there is no version 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The version after it; `None` after the last that there can be.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain_and_no_id() {
        for text in ["checkout", "a", "0", "eu.checkout-2_b", "pol", "pol-3", &"a".repeat(64)] {
            assert_eq!(text.parse::<PolicyName>().unwrap().as_str(), text);
        }
        for text in ["", ".a", "-a", "_a", "A", "a b", "a/b", "a\n", "é", "pol_03", &"a".repeat(65)]
        {
            assert_eq!(text.parse::<PolicyName>(), Err(PolicyNameError), "{text:?}");
        }
    }

    #[test]
    fn a_reference_is_an_id_or_a_name() {
        let id = PolicyId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse(), Ok(PolicyReference::Id(id)));
        let name: PolicyName = "checkout".parse().unwrap();
        assert_eq!("checkout".parse(), Ok(PolicyReference::Name(name)));
        for text in ["pol_03", "pol_", "Checkout", ""] {
            assert!(text.parse::<PolicyReference>().is_err(), "{text}");
        }
        let told = "pol_03".parse::<PolicyReference>().unwrap_err().to_string();
        assert!(told.starts_with("not a policy id: `pol_` must be followed by"), "{told}");
    }

    #[test]
    fn versions_count_from_one_and_end() {
        assert_eq!(PolicyVersion::new(0), None);
        assert_eq!(PolicyVersion::new(1), Some(PolicyVersion::FIRST));
        assert_eq!(PolicyVersion::FIRST.next(), PolicyVersion::new(2));
        assert_eq!(PolicyVersion::new(u32::MAX).unwrap().next(), None);
        assert!(serde_json::from_str::<PolicyVersion>("0").is_err());
        assert_eq!(serde_json::from_str::<PolicyVersion>("3").ok(), PolicyVersion::new(3));
        assert_eq!(serde_json::to_string(&PolicyVersion::FIRST).unwrap(), "1");
    }
}
