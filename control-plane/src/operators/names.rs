//! What an operator is called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::text::plain_name;

const MAX_NAME: usize = 128;
/// Of the operator whose key is in the data directory.
const BUILT_IN: &str = "admin";

/// What begins the name of an operator who is known by OpenID Connect.
const FEDERATED: &str = "oidc:";
const MAX_FEDERATED: usize = 255;

/// Name of an operator: 1 to 128 of the characters that need no escaping in a URL
/// (RFC 3986 section 2.3), the first a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct OperatorName(String);

/// Why a text is not the name of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OperatorNameError {
    /// Nothing, or too much.
    #[error("the name of an operator has 1 to {MAX_NAME} characters, this has {0}")]
    Length(usize),
    /// Something that a name does not have.
    #[error(
        "the name of an operator has only letters, digits and `.`, `_`, `-`, `~`, and begins with a letter or digit"
    )]
    Character,
}

impl OperatorName {
    /// The name of the built-in operator.
    pub(crate) fn built_in() -> Self {
        Self(BUILT_IN.to_owned())
    }

    /// The name of whoever an issuer of OpenID Connect calls this: `oidc:`, then the text
    /// with every character but letters, digits and `._-~@` escaped (RFC 3986 section
    /// 2.1), so that no two have one name and none has that of a named operator. `None`
    /// if it is empty or that has more than 255 characters.
    pub(crate) fn federated(text: &str) -> Option<Self> {
        let mut name = FEDERATED.to_owned();
        for byte in text.bytes() {
            match byte.is_ascii_alphanumeric() || b"._-~@".contains(&byte) {
                true => name.push(char::from(byte)),
                false => name.push_str(&format!("%{byte:02X}")),
            }
        }
        (!text.is_empty() && name.len() <= MAX_FEDERATED).then_some(Self(name))
    }

    /// True of a name that is that of the built-in operator, or looks like it.
    pub fn is_reserved(&self) -> bool {
        self.0.eq_ignore_ascii_case(BUILT_IN)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for OperatorName {
    type Error = OperatorNameError;

    fn try_from(text: String) -> Result<Self, OperatorNameError> {
        let length = text.chars().count();
        match (1..=MAX_NAME).contains(&length) {
            false => Err(OperatorNameError::Length(length)),
            true if plain_name(&text) => Ok(Self(text)),
            true => Err(OperatorNameError::Character),
        }
    }
}

impl FromStr for OperatorName {
    type Err = OperatorNameError;

    fn from_str(text: &str) -> Result<Self, OperatorNameError> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_can_stand_in_a_url_and_in_a_log() {
        for good in ["oncall", "a", "soar.prod~1", "0_x", &"n".repeat(128)] {
            assert_eq!(good.parse::<OperatorName>().unwrap().as_str(), good);
        }
        // The `a` of the last but two is Cyrillic.
        for bad in ["", ".", "..", "-x", "a/b", "a b", "a\n", "a@b", "\u{430}nna", "é", " a"] {
            assert!(bad.parse::<OperatorName>().is_err(), "{bad:?}");
        }
        let long = "n".repeat(129).parse::<OperatorName>();
        assert_eq!(long, Err(OperatorNameError::Length(129)));
    }

    #[test]
    fn what_looks_like_the_built_in_operator_is_reserved() {
        for name in ["admin", "Admin", "ADMIN"] {
            assert!(name.parse::<OperatorName>().unwrap().is_reserved(), "{name}");
        }
        assert!(!"admin2".parse::<OperatorName>().unwrap().is_reserved());
        assert_eq!(OperatorName::built_in().as_str(), "admin");
    }

    #[test]
    fn whoever_an_issuer_names_has_a_name_that_no_named_operator_can_have() {
        let name = |text: &str| OperatorName::federated(text).map(|name| name.to_string());
        assert_eq!(name("anna@example.com").unwrap(), "oidc:anna@example.com");
        assert_eq!(name("auth0|5f\n\u{430}%").unwrap(), "oidc:auth0%7C5f%0A%D0%B0%25");
        assert_eq!(name("admin").unwrap(), "oidc:admin");
        assert!("oidc:admin".parse::<OperatorName>().is_err());
        assert_eq!(name(""), None);
        assert_eq!(name(&"n".repeat(250)).unwrap().len(), 255);
        assert_eq!(name(&"n".repeat(251)), None);
    }

    proptest! {
        #[test]
        fn whatever_is_a_name_has_no_character_that_a_url_or_a_terminal_minds(text: String) {
            if let Ok(name) = text.parse::<OperatorName>() {
                prop_assert!(name.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!name.as_str().contains(['/', '?', '#', '%', '"', '\\']));
            }
        }
    }
}
