//! What principals are called. It is ASCII alone, so that no two names look alike
//! and differ.

use std::fmt;
use std::str::FromStr;

use kya_core::{IdError, PrincipalId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// As long as an e-mail address can be (RFC 5321 section 4.5.3.1).
const MAX_NAME: usize = 254;
const ID_PREFIX: &str = "prn_";

/// Name of a principal, a person or a team: an address like `alice@example.com` or
/// a plain name. 1 to 254 of `a-z`, `0-9`, `.`, `_`, `-`, `+` and at most one `@`
/// between two others; a letter or digit first. There is no upper case, so that a
/// name has one spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct PrincipalName(String);

/// A principal, by its id or by its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PrincipalKey {
    /// `prn_…`.
    Id(PrincipalId),
    /// Its name, which never begins like an id.
    Name(PrincipalName),
}

/// Why a text does not name a principal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PrincipalNameError {
    /// Nothing, or too much.
    #[error("the name of a principal has 1 to {MAX_NAME} characters, this has {0}")]
    Length(usize),
    /// A character that is not allowed, above all one that looks like another.
    #[error(
        "the name of a principal has only a-z, 0-9, `.`, `_`, `-`, `+` and `@`, and this has {0:?} (U+{code:04X})",
        code = u32::from(*.0)
    )]
    Character(char),
    /// The characters of a principal's name, in a wrong order.
    #[error(
        "the name of a principal begins with a letter or digit, has at most one `@`, not at its end, and does not begin with `prn_`"
    )]
    Form,
    /// It begins like an id and is none.
    #[error(transparent)]
    Id(#[from] IdError),
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

impl TryFrom<String> for PrincipalName {
    type Error = PrincipalNameError;

    fn try_from(text: String) -> Result<Self, PrincipalNameError> {
        let good = |byte: u8| plain(byte) || b"._-+@".contains(&byte);
        let wrong = |found: &char| !u8::try_from(*found).is_ok_and(good);
        if let Some(found) = text.chars().find(wrong) {
            return Err(PrincipalNameError::Character(found));
        }
        if !(1..=MAX_NAME).contains(&text.len()) {
            return Err(PrincipalNameError::Length(text.len()));
        }
        let begins = text.bytes().next().is_some_and(plain);
        let at = text.bytes().filter(|byte| *byte == b'@').count();
        match begins && at <= 1 && !text.ends_with('@') && !text.starts_with(ID_PREFIX) {
            true => Ok(Self(text)),
            false => Err(PrincipalNameError::Form),
        }
    }
}

impl FromStr for PrincipalKey {
    type Err = PrincipalNameError;

    fn from_str(text: &str) -> Result<Self, PrincipalNameError> {
        match text.starts_with(ID_PREFIX) {
            true => Ok(Self::Id(text.parse()?)),
            false => Ok(Self::Name(text.to_owned().try_into()?)),
        }
    }
}

impl TryFrom<String> for PrincipalKey {
    type Error = PrincipalNameError;

    fn try_from(text: String) -> Result<Self, PrincipalNameError> {
        text.parse()
    }
}

impl fmt::Display for PrincipalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => fmt::Display::fmt(id, f),
            Self::Name(name) => fmt::Display::fmt(name, f),
        }
    }
}

impl PrincipalName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PrincipalName {
    type Err = PrincipalNameError;

    fn from_str(text: &str) -> Result<Self, PrincipalNameError> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for PrincipalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_principal_is_an_address_or_a_plain_name() {
        let longest = format!("{}@example.com", "a".repeat(242));
        for good in ["alice@example.com", "bob+kya@x", "team-payments", "0", "a.b_c", &longest] {
            assert_eq!(good.parse::<PrincipalName>().map(|name| name.to_string()), Ok(good.into()));
        }
        for (bad, part) in [
            ("", "1 to 254 characters, this has 0"),
            (&*format!("a{longest}"), "this has 255"),
            ("Alice@example.com", "this has 'A' (U+0041)"),
            ("\u{430}lice@example.com", "(U+0430)"),
            ("alice@example\u{200b}.com", "(U+200B)"),
            ("alice example", "this has ' '"),
            ("a/b", "this has '/'"),
            ("a\nb", "(U+000A)"),
            ("@example.com", "begins with a letter or digit"),
            ("alice@", "not at its end"),
            ("a@b@c", "at most one `@`"),
            (".", "begins with a letter or digit"),
            ("..", "begins with a letter or digit"),
            ("prn_alice", "does not begin with `prn_`"),
        ] {
            let refused = bad.parse::<PrincipalName>().unwrap_err().to_string();
            assert!(refused.contains(part), "{bad:?}: {refused}");
        }
    }

    #[test]
    fn a_key_is_an_id_if_it_begins_like_one() {
        let id = PrincipalId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse(), Ok(PrincipalKey::Id(id)));
        assert!(matches!("alice".parse(), Ok(PrincipalKey::Name(_))));
        let refused = "prn_alice".parse::<PrincipalKey>().unwrap_err().to_string();
        assert!(refused.contains("a principal id"), "{refused}");
    }

    proptest! {
        #[test]
        fn a_name_has_one_spelling_and_is_ascii(text: String) {
            if let Ok(name) = text.parse::<PrincipalName>() {
                prop_assert!(name.as_str().is_ascii());
                prop_assert_eq!(name.as_str().to_lowercase(), text);
            }
        }
    }
}
