//! Texts that people write: bounded, and without control characters, so that
//! they cannot break a log line or a terminal.

use serde::Deserialize;
use thiserror::Error;

use crate::store::is_drill_reason;

/// Why a text was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TextError {
    /// Nothing in it but spaces.
    #[error("must not be empty")]
    Empty,
    /// Longer than allowed.
    #[error("must have at most {max} characters, this has {length}")]
    TooLong {
        /// How many characters are allowed.
        max: usize,
        /// How many came.
        length: usize,
    },
    /// A line break, an escape or another control character.
    #[error("must not contain control characters (there is U+{0:04X})")]
    Control(u32),
    /// What drills give as their reason, and nobody else.
    #[error("must not be `drill drl_…`, which is what drills give as their reason")]
    Reserved,
}

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        bounded_text!($(#[$doc])* $name, $max, |_| false);
    };
    ($(#[$doc:meta])* $name:ident, $max:literal, $is_reserved:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = TextError;

            fn try_from(text: String) -> Result<Self, TextError> {
                check(&text, $max)?;
                let is_reserved: fn(&str) -> bool = $is_reserved;
                if is_reserved(&text) { Err(TextError::Reserved) } else { Ok(Self(text)) }
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}

bounded_text!(
    /// What people call an agent: 1 to 128 characters.
    Name, 128);
bounded_text!(
    /// Why something was done: 1 to 256 characters.
    Reason, 256, is_drill_reason);
bounded_text!(
    /// The name of an incident in another system: 1 to 128 characters.
    IncidentId, 128);

/// True of a name that can stand in a URL, a log and a shell as it is: characters that
/// need no escaping (RFC 3986 section 2.3), the first a letter or digit.
pub(crate) fn plain_name(text: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(unreserved)
}

fn check(text: &str, max: usize) -> Result<(), TextError> {
    let length = text.chars().count();
    if text.trim().is_empty() {
        Err(TextError::Empty)
    } else if length > max {
        Err(TextError::TooLong { max, length })
    } else if let Some(control) = text.chars().find(|character| character.is_control()) {
        Err(TextError::Control(u32::from(control)))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_characters_and_not_bytes() {
        assert!(Name::try_from("é".repeat(128)).is_ok());
        assert_eq!(
            Name::try_from("é".repeat(129)),
            Err(TextError::TooLong { max: 128, length: 129 })
        );
    }

    #[test]
    fn blank_and_control_characters_are_refused() {
        assert_eq!(Reason::try_from(" \u{3000}".to_owned()), Err(TextError::Empty));
        let forged = "fine\n2026-01-01 INFO restored".to_owned();
        assert_eq!(
            Reason::try_from(forged).map_err(|error| error.to_string()),
            Err("must not contain control characters (there is U+000A)".to_owned())
        );
        assert_eq!(Reason::try_from("\u{1b}[2J".to_owned()), Err(TextError::Control(0x1b)));
    }

    #[test]
    fn nobody_gives_the_reason_of_a_drill() {
        let id = kya_core::DrillId::from_bytes([7; 16]);
        let of_a_drill = Reason::try_from(format!("drill {id}"));
        assert_eq!(of_a_drill, Err(TextError::Reserved));
        assert!(Reason::try_from("drill of the first quarter".to_owned()).is_ok());
        assert!(IncidentId::try_from(format!("drill {id}")).is_ok());
    }
}
