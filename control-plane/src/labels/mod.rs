//! Labels: what people write on agents so that they can be found, and stopped,
//! together.

mod selector;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use selector::{Selector, SelectorError};

/// Most labels of one agent.
pub const MAX_LABELS: usize = 32;
const MAX_KEY: usize = 63;
const MAX_VALUE: usize = 128;

/// Name of a label: 1 to 63 of `a-z`, `0-9`, `_`, `.` and `-`, a letter or digit
/// first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct LabelKey(String);

/// Value of a label: 1 to 128 printable ASCII characters without a comma, and no
/// space at either end. So no two values look alike, and a selector can name each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct LabelValue(String);

/// The labels of one agent: at most [`MAX_LABELS`], each key once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Labels(BTreeMap<LabelKey, LabelValue>);

/// Why a text is no label, or labels are too many.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LabelError {
    /// A key that is too long, or has something that keys do not have.
    #[error(
        "{0:?} is not the key of a label: 1 to {MAX_KEY} of a-z, 0-9, `_`, `.` and `-`, beginning with a letter or digit"
    )]
    Key(String),
    /// A value that is empty, too long, or has something that values do not have.
    #[error(
        "{0:?} is not the value of a label: 1 to {MAX_VALUE} printable ASCII characters, without a comma, and without a space at either end"
    )]
    Value(String),
    /// Too many.
    #[error("an agent has at most {MAX_LABELS} labels, these are {0}")]
    TooMany(usize),
    /// Two values for one key.
    #[error("there are two labels {0}")]
    Twice(LabelKey),
    /// Not in the form in which labels are stored.
    #[error("{0:?} is not a label: it is written key=value")]
    Form(String),
}

impl LabelKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LabelKey {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good = |byte: u8| alphanumeric(byte) || b"_.-".contains(&byte);
        let begins = text.bytes().next().is_some_and(alphanumeric);
        match begins && text.len() <= MAX_KEY && text.bytes().all(good) {
            true => Ok(Self(text)),
            false => Err(LabelError::Key(shortened(text))),
        }
    }
}

impl fmt::Display for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LabelValue {
    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LabelValue {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        let good = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b',';
        let fits = (1..=MAX_VALUE).contains(&text.len());
        match fits && text.bytes().all(good) && text.trim() == text {
            true => Ok(Self(text)),
            false => Err(LabelError::Value(shortened(text))),
        }
    }
}

impl Labels {
    /// The value of a label, if there is one.
    pub fn get(&self, key: &LabelKey) -> Option<&LabelValue> {
        self.0.get(key)
    }

    /// All of them, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&LabelKey, &LabelValue)> {
        self.0.iter()
    }

    fn insert(&mut self, key: LabelKey, value: LabelValue) -> Result<(), LabelError> {
        if self.0.contains_key(&key) {
            return Err(LabelError::Twice(key));
        }
        self.0.insert(key, value);
        match self.0.len() {
            0..=MAX_LABELS => Ok(()),
            length => Err(LabelError::TooMany(length)),
        }
    }
}

/// As they are stored: `key=value`, with commas between.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (key, value)) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{key}={}", value.0)?;
        }
        Ok(())
    }
}

impl FromStr for Labels {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let mut labels = Self::default();
        for label in text.split(',').filter(|_| !text.is_empty()) {
            let Some((key, value)) = label.split_once('=') else {
                return Err(LabelError::Form(shortened(label.to_owned())));
            };
            labels.insert(key.to_owned().try_into()?, value.to_owned().try_into()?)?;
        }
        Ok(labels)
    }
}

/// From a JSON object, in which no key may be twice.
impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of labels, each a string")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut labels = Labels::default();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    let key = LabelKey::try_from(key).map_err(A::Error::custom)?;
                    let value = LabelValue::try_from(value).map_err(A::Error::custom)?;
                    labels.insert(key, value).map_err(A::Error::custom)?;
                }
                Ok(labels)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// As much of a text as an error needs to repeat.
fn shortened(text: String) -> String {
    const SHOWN: usize = 64;
    match text.chars().count() {
        0..=SHOWN => text,
        _ => text.chars().take(SHOWN).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<Labels, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn labels_are_written_and_read_as_they_are_stored() {
        let labels = read(r#"{"team":"a=b c","env":"prod"}"#).unwrap();
        assert_eq!(labels.to_string(), "env=prod,team=a=b c");
        assert_eq!(labels.to_string().parse(), Ok(labels.clone()));
        assert_eq!(serde_json::to_string(&labels).unwrap(), r#"{"env":"prod","team":"a=b c"}"#);
        assert_eq!("".parse(), Ok(Labels::default()));
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_no_label() {
        for (json, part) in [
            (r#"{"Env":"prod"}"#, "is not the key"),
            (r#"{"":"prod"}"#, "is not the key"),
            (r#"{"-env":"prod"}"#, "is not the key"),
            (r#"{"e nv":"prod"}"#, "is not the key"),
            (r#"{"\u0435nv":"prod"}"#, "is not the key"),
            (r#"{"env":""}"#, "is not the value"),
            (r#"{"env":"prod,team=x"}"#, "is not the value"),
            (r#"{"env":" prod"}"#, "is not the value"),
            (r#"{"env":"\u0440rod"}"#, "is not the value"),
            (r#"{"env":"prod\n"}"#, "is not the value"),
            (r#"{"env":"\u202eprod"}"#, "is not the value"),
            (r#"{"env":"a","env":"b"}"#, "two labels env"),
            (r#"{"env":1}"#, "expected a string"),
            (r#"["env"]"#, "an object of labels"),
        ] {
            let refused = read(json).unwrap_err();
            assert!(refused.contains(part), "{json}: {refused}");
        }
        let long = format!("{{\"{}\":\"x\"}}", "k".repeat(64));
        let refused = read(&long).unwrap_err();
        assert!(refused.contains("1 to 63"), "{refused}");
        assert!(LabelValue::try_from("v".repeat(128)).is_ok());
        assert!(LabelValue::try_from("v".repeat(129)).is_err());
    }

    #[test]
    fn an_agent_has_at_most_32_labels() {
        let many = |count| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        assert!(many(32).parse::<Labels>().is_ok());
        assert_eq!(many(33).parse::<Labels>(), Err(LabelError::TooMany(33)));
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_read_again_as_the_same(text: String) {
            if let Ok(labels) = text.parse::<Labels>() {
                prop_assert_eq!(labels.to_string().parse::<Labels>(), Ok(labels));
            }
        }
    }
}
