//! Patterns: names in which `*` stands for any run of characters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::action::is_action_byte;
use crate::change::MAX_ACTION_BYTES;

/// A name, or a name with `*` in it: each stands for any run of characters, also
/// for none. 1 to 256 bytes, of which all but `*` are those of an action's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Nothing is there.
    #[error("is empty: write a name, or a pattern such as `read_*`")]
    Empty,
    /// It is longer than 256 bytes.
    #[error("has {0} bytes: a pattern has at most 256")]
    TooLong(usize),
    /// It has a character that no name has.
    #[error(
        "has {character:?} at byte {at}: a pattern is of lower-case letters, digits, `_.:/-` and `*`"
    )]
    WrongCharacter {
        /// The first such character.
        character: char,
        /// Where it begins, in bytes from 0.
        at: usize,
    },
    /// `**`.
    #[error("has `**`: one `*` already stands for any run of characters")]
    DoubleStar,
}

impl Pattern {
    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `*` alone, which stands for everything, also for what has no
    /// name.
    pub fn is_everything(&self) -> bool {
        self.0 == "*"
    }

    /// Whether it stands for this name. The time this takes grows with the length
    /// of both, not with their product.
    pub fn matches(&self, name: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(name) = name.strip_prefix(start) else { return false };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut name) = name.strip_suffix(end) else { return false };
        // The first place for each piece leaves the most for those after it.
        for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
            match name.split_once(piece) {
                Some((_, after)) => name = after,
                None => return false,
            }
        }
        true
    }

    /// Whether everything that the other one stands for, this one stands for. It
    /// never says so wrongly.
    ///
    /// No name has a `*`, so a star of the other one is met by stars alone, and
    /// whatever it stands for is met by the same ones.
    pub fn covers(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }

    /// Whether there may be a name that both stand for. It never denies that
    /// wrongly.
    pub fn meets(&self, other: &Self) -> bool {
        let halves = (self.0.split_once('*'), other.0.split_once('*'));
        let (Some((my_start, _)), Some((their_start, _))) = halves else {
            return self.covers(other) || other.covers(self);
        };
        let end = |text: &Self| text.0.rsplit_once('*').map_or(0, |(_, end)| end.len());
        let same = |mine: &[u8], theirs: &[u8]| mine.iter().zip(theirs).all(|(a, b)| a == b);
        let starts = same(my_start.as_bytes(), their_start.as_bytes());
        let mine = self.0.bytes().rev().take(end(self));
        starts && mine.zip(other.0.bytes().rev().take(end(other))).all(|(a, b)| a == b)
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > MAX_ACTION_BYTES {
            return Err(PatternError::TooLong(text.len()));
        }
        let plain =
            |character: char| character == '*' || u8::try_from(character).is_ok_and(is_action_byte);
        if let Some((at, character)) = text.char_indices().find(|(_, it)| !plain(*it)) {
            return Err(PatternError::WrongCharacter { character, at });
        }
        if text.contains("**") {
            return Err(PatternError::DoubleStar);
        }
        Ok(Self(text))
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::try_from(text.to_owned())
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (text, yes, no) in [
            ("read", &["read"][..], &["", "rea", "reads", "aread", "read_x"][..]),
            ("*", &["", "a", "read_x"], &[]),
            ("read_*", &["read_", "read_x", "read_read_"], &["read", "xread_x"]),
            ("*_read", &["_read", "x_read"], &["read", "x_reads"]),
            ("a*a", &["aa", "aba", "aaa"], &["a", "ab", "baa"]),
            ("a*b*c", &["abc", "axbxc", "abbcc", "abcbc"], &["ac", "acb", "abcx", "acbx"]),
            ("*b*", &["b", "abc", "bb"], &["", "ac"]),
            ("*ab*ab*", &["abab", "xabxabx"], &["ab", "aba", "aab"]),
            ("*ab*ab", &["abab", "abxab"], &["ab", "ababx", "xab"]),
        ] {
            for name in yes {
                assert!(pattern(text).matches(name), "{text} for {name:?}");
            }
            for name in no {
                assert!(!pattern(text).matches(name), "{text} for {name:?}");
            }
        }
    }

    #[test]
    fn what_is_not_a_pattern_is_refused_with_the_place_and_the_rule() {
        use PatternError::*;
        for (text, error) in [
            ("", Empty),
            ("**", DoubleStar),
            ("a**b", DoubleStar),
            ("Read_*", WrongCharacter { character: 'R', at: 0 }),
            ("read ", WrongCharacter { character: ' ', at: 4 }),
            ("read_?", WrongCharacter { character: '?', at: 5 }),
            ("[a]", WrongCharacter { character: '[', at: 0 }),
            ("!a", WrongCharacter { character: '!', at: 0 }),
            ("é", WrongCharacter { character: 'é', at: 0 }),
        ] {
            assert_eq!(text.parse::<Pattern>(), Err(error), "{text}");
        }
        assert_eq!("a".repeat(257).parse::<Pattern>(), Err(TooLong(257)));
        assert!("*a".repeat(128).parse::<Pattern>().is_ok());
    }

    /// With backtracking, each star here multiplies the steps by the length of the
    /// name: by far more than a lifetime's.
    #[test]
    fn no_pattern_takes_long() {
        let name = "a".repeat(256);
        let begun = Instant::now();
        let hostile = [
            format!("{}b", "*a".repeat(127)),
            format!("{}*b*", "*a".repeat(126)),
            format!("*{}b*", "a".repeat(200)),
        ];
        for text in hostile {
            for _ in 0..100 {
                assert!(!pattern(&text).matches(&name));
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_pattern_covers_what_it_stands_for_and_no_more() {
        for (wide, narrow) in [
            ("*", "*"),
            ("*", "read_*"),
            ("read_*", "read_x"),
            ("read_*", "read_*_x"),
            ("*a*", "a*a"),
            ("read", "read"),
        ] {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide}, {narrow}");
        }
        for (narrow, wide) in
            [("read_*", "*"), ("read_x", "read_*"), ("a*a", "a*"), ("a*", "*a"), ("a*b*c", "a*c")]
        {
            assert!(!pattern(narrow).covers(&pattern(wide)), "{narrow}, {wide}");
        }
    }

    #[test]
    fn patterns_meet_where_a_name_is_one_of_both() {
        for (one, two) in [("a*", "*b"), ("*", "a"), ("a*c", "ab*"), ("*x*", "*y*"), ("a*", "a")] {
            assert!(pattern(one).meets(&pattern(two)) && pattern(two).meets(&pattern(one)));
        }
        for (one, two) in [("a*", "b*"), ("*a", "*b"), ("a", "b"), ("ab*", "ac*"), ("a*", "ba")] {
            assert!(!pattern(one).meets(&pattern(two)) && !pattern(two).meets(&pattern(one)));
        }
    }

    /// By the definition: a star stands for nothing, or for one more character.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => naive(rest, name),
            (Some((b'*', rest)), Some((_, tail))) => naive(rest, name) || naive(pattern, tail),
            (Some((mine, rest)), Some((theirs, tail))) => mine == theirs && naive(rest, tail),
            _ => false,
        }
    }

    fn small() -> impl Strategy<Value = Pattern> {
        "[ab*]{1,7}".prop_filter_map("not a pattern", |text| text.parse().ok())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn a_pattern_matches_what_the_definition_says(pattern in small(), name in "[ab]{0,9}") {
            let expected = naive(pattern.0.as_bytes(), name.as_bytes());
            prop_assert_eq!(pattern.matches(&name), expected, "{} for {}", pattern, name);
        }

        #[test]
        fn what_a_pattern_covers_it_matches(wide in small(), narrow in small(), name in "[ab]{0,9}") {
            if wide.covers(&narrow) && narrow.matches(&name) {
                prop_assert!(wide.matches(&name), "{} in {} and {}", narrow, wide, name);
            }
        }

        #[test]
        fn patterns_that_share_a_name_meet(one in small(), two in small(), name in "[ab]{0,9}") {
            if one.matches(&name) && two.matches(&name) {
                prop_assert!(one.meets(&two) && two.meets(&one));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text: String, name: String) {
            if let Ok(pattern) = text.parse::<Pattern>() {
                let _ = pattern.matches(&name);
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
