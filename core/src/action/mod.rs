//! What a request would do: the name of its action.
//!
//! A policy speaks of actions, not of paths. An [`ActionMap`] says which action a
//! method and a path stand for; a request that it says nothing about is unmapped.
//! `docs/actions.md` explains the rules, and every trick, to operators.
//!
//! A service reads a request in ways of its own: it ignores the case of a path,
//! cuts a slash off its end, takes the method from a header. So what a rule does
//! not name to the letter, but some service may take for something that a rule
//! names, is unmapped: a request is never taken for less than it is.

mod map;
mod name;
mod overrides;
mod route;

pub use map::{ActionMap, ActionMapError, MAX_ACTION_RULES, MAX_TARGET_BYTES, RuleIndex};
pub(crate) use name::is_action_byte;
pub use name::{ActionName, ActionNameError};
pub use overrides::{overrides_method, overrides_path};
pub use route::{MAX_ROUTE_BYTES, MAX_SEGMENTS, Route, RouteError};
