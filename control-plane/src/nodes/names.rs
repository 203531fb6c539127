//! What a node registration is called, and which proxies it is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::text::plain_name;

const MAX_NAME: usize = 128;
/// As long as a `node.id` may be.
const MAX_PATTERN: usize = 256;

/// Name of a node registration: 1 to 128 of the characters that need no
/// escaping in a URL (RFC 3986 section 2.3), the first a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct NodeName(String);

/// Which `node.id` a proxy may connect as: the text itself, in which each `*`
/// stands for any number of characters, none included. 1 to 256 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct NodePattern(String);

/// Why a text is not the name of a node registration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NodeNameError {
    /// Nothing, or too much.
    #[error("the name of a node registration has 1 to {MAX_NAME} characters, this has {0}")]
    Length(usize),
    /// Something that a name does not have.
    #[error(
        "the name of a node registration has only letters, digits and `.`, `_`, `-`, `~`, and begins with a letter or digit"
    )]
    Character,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NodePatternError {
    /// Nothing, or longer than any `node.id`.
    #[error("a pattern has 1 to {MAX_PATTERN} bytes, this has {0}")]
    Length(usize),
    /// No `node.id` has one.
    #[error("a pattern must not contain control characters")]
    Control,
}

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pattern that admits the proxy of this name and no other.
    pub fn to_pattern(&self) -> NodePattern {
        NodePattern(self.0.clone())
    }
}

impl TryFrom<String> for NodeName {
    type Error = NodeNameError;

    fn try_from(text: String) -> Result<Self, NodeNameError> {
        let length = text.chars().count();
        if !(1..=MAX_NAME).contains(&length) {
            return Err(NodeNameError::Length(length));
        }
        match plain_name(&text) {
            true => Ok(Self(text)),
            false => Err(NodeNameError::Character),
        }
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl NodePattern {
    /// True when a proxy of this `node.id` is meant.
    pub fn matches(&self, node_id: &str) -> bool {
        let Some((head, tail)) = self.0.split_once('*') else { return self.0 == node_id };
        let (middle, end) = tail.rsplit_once('*').unwrap_or(("", tail));
        let rest = node_id.strip_prefix(head).and_then(|rest| rest.strip_suffix(end));
        // The leftmost place of each part leaves the most to those after it.
        let after = |rest: &mut &str, part| {
            let found = rest.split_once(part).map(|(_, after)| *rest = after);
            found.is_some()
        };
        rest.is_some_and(|mut rest| middle.split('*').all(|part| after(&mut rest, part)))
    }

    /// True when it is one `node.id`, and no other matches.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodePattern {
    type Error = NodePatternError;

    fn try_from(text: String) -> Result<Self, NodePatternError> {
        match text.len() {
            1..=MAX_PATTERN if text.chars().any(char::is_control) => Err(NodePatternError::Control),
            1..=MAX_PATTERN => Ok(Self(text)),
            length => Err(NodePatternError::Length(length)),
        }
    }
}

impl fmt::Display for NodePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> NodePattern {
        NodePattern::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_pattern_without_a_star_is_the_node_id_itself() {
        assert!(pattern("web-1").matches("web-1"));
        for other in ["", "web-", "web-11", "xweb-1", "WEB-1", "web-1 ", "web-*"] {
            assert!(!pattern("web-1").matches(other), "{other:?}");
        }
        assert!(!pattern("web.1").matches("web-1"), "a dot is a dot");
    }

    #[test]
    fn a_star_stands_for_any_number_of_characters() {
        let istio = "sidecar~*~*.payments~payments.svc.cluster.local";
        for (text, node_id, matches) in [
            (istio, "sidecar~10.0.0.7~api-7d9.payments~payments.svc.cluster.local", true),
            (istio, "sidecar~10.0.0.7~api-7d9.paymentsx~payments.svc.cluster.local", false),
            (istio, "router~10.0.0.7~api-7d9.payments~payments.svc.cluster.local", false),
            ("web-*", "web-", true),
            ("web-*", "web", false),
            ("*", "", true),
            ("*-1", "web-1", true),
            ("*-1", "web-12", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a**a", "aa", true),
            ("a*bc*c", "abcbc", true),
            ("a*bc*c", "abc", false),
            ("*é*", "café!", true),
        ] {
            assert_eq!(pattern(text).matches(node_id), matches, "{text} {node_id}");
        }
    }

    /// The definition, in exponential time.
    fn admits(pattern: &[u8], node_id: &[u8]) -> bool {
        match (pattern, node_id) {
            ([], rest) => rest.is_empty(),
            ([b'*', after @ ..], rest) => (0..=rest.len()).any(|at| admits(after, &rest[at..])),
            ([byte, after @ ..], [first, rest @ ..]) => byte == first && admits(after, rest),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_defined(text in "[ab*]{1,8}", node_id in "[ab]{0,10}") {
            let defined = admits(text.as_bytes(), node_id.as_bytes());
            prop_assert_eq!(pattern(&text).matches(&node_id), defined);
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_time() {
        let stars = pattern(&"a*".repeat(128));
        let began = std::time::Instant::now();
        assert!(!stars.matches(&format!("{}b", "a".repeat(127))));
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn a_name_can_stand_in_a_url_and_in_a_log() {
        for good in ["web-1", "a", "sidecar~10.0.0.7~x.y", &"n".repeat(128)] {
            assert_eq!(good.parse::<NodeName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "-x", "a/b", "a b", "a*", "é", "a\n", &"n".repeat(129)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
        assert_eq!(NodePattern::try_from("\u{1b}".to_owned()), Err(NodePatternError::Control));
        assert_eq!(NodePattern::try_from("é".repeat(129)), Err(NodePatternError::Length(258)));
        assert_eq!(NodePattern::try_from(String::new()), Err(NodePatternError::Length(0)));
    }
}
