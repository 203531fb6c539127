//! The actions that a token is good for (RFC 6749 section 3.3).

use std::fmt;

use super::error::CapabilityError;
use crate::action::ActionName;
use crate::change::MAX_ACTION_BYTES;

/// Names of actions with a space between each two, as they stand in a token: at
/// least one, each of 1 to 256 visible ASCII characters but `"` and `\`. An action
/// with another name can be in no token.
#[derive(Clone, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// Stands for all that the agent may do. No action has this name.
    pub const EVERYTHING: &'static str = "*";

    /// Reads a scope as it is written.
    ///
    /// # Errors
    /// [`CapabilityError::BadClaim`] of `scope`.
    pub fn parse(text: impl Into<String>) -> Result<Self, CapabilityError> {
        let text = text.into();
        if text.split(' ').all(is_action) {
            Ok(Self(text))
        } else {
            Err(CapabilityError::BadClaim("scope"))
        }
    }

    /// The scope of these actions.
    ///
    /// # Errors
    /// [`CapabilityError::BadClaim`] of `scope` when there is none, or one that no
    /// token can name.
    pub fn of<'a>(actions: impl IntoIterator<Item = &'a str>) -> Result<Self, CapabilityError> {
        let actions: Vec<_> = actions.into_iter().collect();
        if actions.iter().all(|action| is_action(action)) {
            Self::parse(actions.join(" "))
        } else {
            Err(CapabilityError::BadClaim("scope"))
        }
    }

    /// The actions, in the order in which they stand.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ')
    }

    /// Whether this action is one of them, letter by letter; `None` is one that is not
    /// known. [`EVERYTHING`](Self::EVERYTHING) is all of them, and those that are not
    /// known: what limits the token then is the policy of its agent.
    pub fn allows(&self, action: Option<&ActionName>) -> bool {
        let name = action.map(ActionName::as_str);
        self.actions().any(|it| it == Self::EVERYTHING || Some(it) == name)
    }

    /// The scope as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_action(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    (1..=MAX_ACTION_BYTES).contains(&name.len()) && name.bytes().all(allowed)
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_one_or_more_names_with_single_spaces() {
        let longest = "a".repeat(MAX_ACTION_BYTES);
        for text in ["a", "payments.create payments:read", "a a", "!#[]~", longest.as_str()] {
            assert_eq!(Scope::parse(text).unwrap().as_str(), text);
        }
        let longer = format!("{longest}a");
        for text in [
            "",
            " ",
            " a",
            "a ",
            "a  b",
            "a\tb",
            "a\nb",
            "a\"b",
            "a\\b",
            "é",
            "a\u{7f}",
            "a\0",
            longer.as_str(),
        ] {
            assert_eq!(Scope::parse(text), Err(CapabilityError::BadClaim("scope")), "{text:?}");
        }
    }

    #[test]
    fn an_action_is_allowed_by_its_whole_name() {
        let scope = Scope::of(["payments.create", "payments.read"]).unwrap();
        let allows = |name: &str| scope.allows(Some(&name.parse().unwrap()));
        assert!(allows("payments.create") && allows("payments.read"));
        for other in ["payments", "payments.", "create"] {
            assert!(!allows(other), "{other}");
        }
        assert!(!scope.allows(None), "what is not known may be anything");
    }

    #[test]
    fn everything_is_every_action_known_or_not() {
        let scope = Scope::of([Scope::EVERYTHING]).unwrap();
        assert!(scope.allows(None) && scope.allows(Some(&"payments.read".parse().unwrap())));
        let more = Scope::of(["pay*"]).unwrap();
        assert!(!more.allows(None) && !more.allows(Some(&"payments".parse().unwrap())));
    }

    #[test]
    fn no_name_smuggles_in_a_second_one() {
        assert!(Scope::of(["read write"]).is_err());
        assert!(Scope::of(["read", ""]).is_err());
        assert!(Scope::of([]).is_err());
    }
}
