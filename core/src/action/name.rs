//! Names of actions.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::change::MAX_ACTION_BYTES;

/// The name of something that an agent can do, such as `issue_refund`: 1 to 256
/// lower-case letters, digits and `_.:/-`. It knows nothing of HTTP.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ActionName(String);

/// Why a text is not the name of an action.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ActionNameError {
    /// Nothing is there.
    #[error("is empty: an action has a name of 1 to 256 bytes, such as `issue_refund`")]
    Empty,
    /// It is longer than 256 bytes.
    #[error("has {0} bytes: the name of an action has at most 256")]
    TooLong(usize),
    /// It has a character that such a name cannot have.
    #[error(
        "has {character:?} at byte {at}: the name of an action is of lower-case letters, digits and `_.:/-`"
    )]
    WrongCharacter {
        /// The first such character.
        character: char,
        /// Where it begins, in bytes from 0.
        at: usize,
    },
}

impl ActionName {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether names of actions may have this byte.
pub(crate) fn is_action_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.:/-".contains(&byte)
}

impl TryFrom<String> for ActionName {
    type Error = ActionNameError;

    fn try_from(text: String) -> Result<Self, ActionNameError> {
        if text.is_empty() {
            return Err(ActionNameError::Empty);
        }
        if text.len() > MAX_ACTION_BYTES {
            return Err(ActionNameError::TooLong(text.len()));
        }
        let plain = |character: char| u8::try_from(character).is_ok_and(is_action_byte);
        match text.char_indices().find(|(_, character)| !plain(*character)) {
            Some((at, character)) => Err(ActionNameError::WrongCharacter { character, at }),
            None => Ok(Self(text)),
        }
    }
}

impl FromStr for ActionName {
    type Err = ActionNameError;

    fn from_str(text: &str) -> Result<Self, ActionNameError> {
        Self::try_from(text.to_owned())
    }
}

impl From<ActionName> for String {
    fn from(name: ActionName) -> Self {
        name.0
    }
}

impl Borrow<str> for ActionName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_of_lower_case_letters_digits_and_five_marks() {
        for text in ["a", "issue_refund", "tools/call:search", "a.b-c", "9", &"a".repeat(256)] {
            assert_eq!(text.parse::<ActionName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_not_a_name_is_refused_with_the_place_and_the_rule() {
        use ActionNameError::*;
        for (text, error) in [
            ("", Empty),
            ("*", WrongCharacter { character: '*', at: 0 }),
            ("read_*", WrongCharacter { character: '*', at: 5 }),
            ("Issue", WrongCharacter { character: 'I', at: 0 }),
            ("a b", WrongCharacter { character: ' ', at: 1 }),
            ("a\n", WrongCharacter { character: '\n', at: 1 }),
            ("réfund", WrongCharacter { character: 'é', at: 1 }),
            ("a\u{ff3f}", WrongCharacter { character: '\u{ff3f}', at: 1 }),
            ("a%20", WrongCharacter { character: '%', at: 1 }),
        ] {
            assert_eq!(text.parse::<ActionName>(), Err(error), "{text}");
        }
        assert_eq!("a".repeat(257).parse::<ActionName>(), Err(TooLong(257)));
        let told = "a\n".parse::<ActionName>().unwrap_err().to_string();
        assert!(told.starts_with("has '\\n' at byte 1: "), "{told}");
    }

    #[test]
    fn a_name_in_a_document_is_checked() {
        assert!(serde_json::from_str::<ActionName>("\"read\"").is_ok());
        assert!(serde_json::from_str::<ActionName>("\"Read\"").is_err());
        assert!(serde_json::from_str::<ActionName>("1").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_a_name_survives(text: String) {
            if let Ok(name) = text.parse::<ActionName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
