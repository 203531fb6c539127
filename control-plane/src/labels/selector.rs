//! Selectors: which agents are meant, by their labels.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;

use super::{LabelError, LabelKey, LabelValue, Labels, shortened};

const MAX_REQUIREMENTS: usize = 16;

/// Which agents are meant: those that meet every requirement. It is written
/// `env=prod,team!=x,canary,!legacy`: a label has this value, has it not, is there
/// at all, or is not. An agent without the label `team` meets `team!=x`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Equal(LabelKey, LabelValue),
    NotEqual(LabelKey, LabelValue),
    Present(LabelKey),
    Absent(LabelKey),
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// Nothing at all, which would mean everybody.
    #[error("a selector must not be empty: it is written env=prod,team!=x,canary,!legacy")]
    Empty,
    /// More than anybody writes.
    #[error("a selector has at most {MAX_REQUIREMENTS} parts, this has {0}")]
    TooMany(usize),
    /// A part that is none.
    #[error("{part:?} is no part of a selector: {source}")]
    Part {
        /// The part.
        part: String,
        /// What is wrong with it.
        source: LabelError,
    },
}

impl Selector {
    /// Whether an agent with these labels is meant.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Equal(key, value) => labels.get(key) == Some(value),
            Requirement::NotEqual(key, value) => labels.get(key) != Some(value),
            Requirement::Present(key) => labels.get(key).is_some(),
            Requirement::Absent(key) => labels.get(key).is_none(),
        })
    }

    /// These labels with others beside them, so that an agent with them is meant: where a
    /// label only must not have a value, or must be there, it gets the value `otherwise`.
    /// `None` if no agent with these labels can be meant.
    pub(crate) fn met_by(&self, mut labels: Labels, otherwise: &LabelValue) -> Option<Labels> {
        for requirement in &self.0 {
            let (key, value) = match requirement {
                Requirement::Equal(key, value) => (key, value),
                Requirement::NotEqual(key, _) | Requirement::Present(key) => (key, otherwise),
                Requirement::Absent(_) => continue,
            };
            if labels.get(key).is_none() {
                labels.insert(key.clone(), value.clone()).ok()?;
            }
        }
        self.matches(&labels).then_some(labels)
    }

    /// A label that every agent that is meant has, if it says one: there is an index
    /// of those.
    pub(crate) fn label(&self) -> Option<(&LabelKey, &LabelValue)> {
        self.0.iter().find_map(|requirement| match requirement {
            Requirement::Equal(key, value) => Some((key, value)),
            _ => None,
        })
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text.is_empty() {
            return Err(SelectorError::Empty);
        }
        let count = text.split(',').count();
        if count > MAX_REQUIREMENTS {
            return Err(SelectorError::TooMany(count));
        }
        let read = |part: &str| {
            requirement(part)
                .map_err(|source| SelectorError::Part { part: shortened(part.to_owned()), source })
        };
        text.split(',').map(read).collect::<Result<_, _>>().map(Self)
    }
}

fn requirement(part: &str) -> Result<Requirement, LabelError> {
    let key = |text: &str| LabelKey::try_from(text.to_owned());
    let value = |text: &str| LabelValue::try_from(text.to_owned());
    if let Some(absent) = part.strip_prefix('!') {
        return Ok(Requirement::Absent(key(absent)?));
    }
    // A key has neither `!` nor `=`: the first `=` ends it.
    match part.split_once('=') {
        None => Ok(Requirement::Present(key(part)?)),
        Some((left, right)) => match left.strip_suffix('!') {
            Some(left) => Ok(Requirement::NotEqual(key(left)?, value(right)?)),
            None => Ok(Requirement::Equal(key(left)?, value(right)?)),
        },
    }
}

impl TryFrom<String> for Selector {
    type Error = SelectorError;

    fn try_from(text: String) -> Result<Self, SelectorError> {
        text.parse()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, requirement) in self.0.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { "," })?;
            match requirement {
                Requirement::Equal(key, value) => write!(f, "{key}={}", value.as_str())?,
                Requirement::NotEqual(key, value) => write!(f, "{key}!={}", value.as_str())?,
                Requirement::Present(key) => write!(f, "{key}")?,
                Requirement::Absent(key) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selector(text: &str) -> Selector {
        text.parse().unwrap()
    }

    #[test]
    fn every_part_must_hold() {
        let labels: Labels = "env=prod,team=pay,canary=yes".parse().unwrap();
        for (text, meant) in [
            ("env=prod", true),
            ("env=prod,team!=x", true),
            ("env=prod,team!=pay", false),
            ("env!=prod", false),
            ("region!=eu", true),
            ("canary", true),
            ("!canary", false),
            ("legacy", false),
            ("!legacy", true),
            ("env=prod,canary,!legacy,team=pay", true),
            ("env=prod,env=staging", false),
            ("env=pro", false),
        ] {
            assert_eq!(selector(text).matches(&labels), meant, "{text}");
            assert_eq!(selector(text).to_string(), text);
        }
        assert!(!selector("env=prod").matches(&Labels::default()));
    }

    #[test]
    fn what_could_mean_more_than_was_meant_is_refused() {
        for (text, part) in [
            ("", "must not be empty"),
            (",", "\"\" is no part"),
            ("env=prod,", "\"\" is no part"),
            ("env=", "not the value"),
            ("env!=", "not the value"),
            ("=prod", "not the key"),
            ("!", "not the key"),
            ("!env=prod", "not the key"),
            ("!!env", "not the key"),
            ("env=prod, team=x", "\" team=x\" is no part"),
            ("Env=prod", "not the key"),
            ("env=\u{440}rod", "not the value"),
            ("*", "not the key"),
            ("env in (a)", "not the key"),
        ] {
            let refused = text.parse::<Selector>().unwrap_err().to_string();
            assert!(refused.contains(part), "{text}: {refused}");
        }
        let many = vec!["a"; 17].join(",");
        assert_eq!(many.parse::<Selector>(), Err(SelectorError::TooMany(17)));
    }

    #[test]
    fn labels_are_made_that_a_selector_means() {
        let otherwise = LabelValue::try_from("drill".to_owned()).unwrap();
        let made = |text: &str| {
            let labels = "canary=true".parse().unwrap();
            selector(text).met_by(labels, &otherwise).map(|labels| labels.to_string())
        };
        assert_eq!(made("env!=prod").as_deref(), Some("canary=true,env=drill"));
        let made_for = "canary=true,env=staging,team=drill";
        assert_eq!(made("env=staging,env!=prod,team,!legacy").as_deref(), Some(made_for));
        for impossible in ["!canary", "canary=no", "env!=drill", "env,!env", "env=a,env=b"] {
            assert_eq!(made(impossible), None, "{impossible}");
        }
    }

    #[test]
    fn a_label_that_all_of_them_have_is_found() {
        let label = |text| {
            let selector = selector(text);
            selector.label().map(|(key, value)| format!("{key}={}", value.as_str()))
        };
        assert_eq!(label("!a,b!=c,env=prod").as_deref(), Some("env=prod"));
        assert_eq!(label("!a,b!=c,d"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_read_means_what_it_is_written_as(text in "[a-c=!, ]{0,12}") {
            if let Ok(read) = text.parse::<Selector>() {
                prop_assert_eq!(read.to_string(), text);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<Selector>();
        }
    }
}
