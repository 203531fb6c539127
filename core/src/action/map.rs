//! The map from methods and paths to actions: a trie of segments.
//!
//! A look-up goes down it once and never back. Where a literal is named, it takes
//! its segment for good; there a parameter takes only what nobody could read as
//! one of the literals. Routers differ in whether they go back, in case, and in
//! what they cut off an end, so whatever depends on that is unmapped.

use std::collections::BTreeSet;

use thiserror::Error;

use super::name::ActionName;
use super::overrides::{Decoded, query_overrides_method};
use super::route::{Route, Segment};
use crate::path::exact;

/// Most rules of a map.
pub const MAX_ACTION_RULES: usize = 1024;
/// Longest target of a request that is looked up, in bytes. A longer one is
/// unmapped.
pub const MAX_TARGET_BYTES: usize = 8192;

/// Which action a request stands for, by its method and its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionMap {
    /// The first is the root.
    nodes: Vec<Node>,
    /// As they were given.
    rules: Vec<Rule>,
}

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    action: ActionName,
    template: String,
}

/// Which rule of a map: its place among those that the map was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleIndex(u16);

/// Why rules do not make a map. Each names the two rules that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ActionMapError {
    /// There are more than 1024.
    #[error("has {0} rules: at most 1024 are possible")]
    TooMany(usize),
    /// They are about the same requests.
    #[error("`{0}` and `{1}` are about the same requests: leave one of them out")]
    Same(String, String),
    /// They differ in the case of a literal alone.
    #[error(
        "`{0}` and `{1}` differ in nothing but case where they part, and some services ignore that: leave one of them out"
    )]
    Case(String, String),
    /// One of them has a parameter where the other has `{name=**}`.
    #[error(
        "`{0}` and `{1}` have a parameter and `{{name=**}}` in the same place, so that one of them takes what the other is about: leave one of them out"
    )]
    Shadowed(String, String),
    /// Some requests are about both, and neither is more precise.
    #[error(
        "`{0}` and `{1}` are both about some requests, and neither is the more precise one: add a rule for what both are about, or leave one of them out"
    )]
    Ambiguous(String, String),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    /// Sorted by their folded form, which is there once.
    literals: Vec<Literal>,
    /// Bytes of the longest of them.
    longest: usize,
    /// `{name}:verb`.
    verbs: Vec<(String, usize)>,
    /// `{name}`.
    any: Option<usize>,
    /// `{name=**}`; then there are neither of the two.
    rest: Option<usize>,
    /// The rule for a path that ends here, by method.
    rules: Vec<(String, RuleIndex)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Literal {
    folded: String,
    written: String,
    node: usize,
}

/// Where a segment leads.
enum Step {
    To(usize),
    ToTheEnd(usize),
}

impl ActionMap {
    /// A map by these rules, in any order. The time it takes grows with the square
    /// of their number.
    pub fn new(rules: Vec<(Route, ActionName)>) -> Result<Self, ActionMapError> {
        if rules.len() > MAX_ACTION_RULES {
            return Err(ActionMapError::TooMany(rules.len()));
        }
        check(&rules)?;
        let mut map = Self { nodes: vec![Node::default()], rules: Vec::new() };
        for (index, (route, action)) in (0..).map(RuleIndex).zip(rules) {
            map.rules.push(Rule { action, template: route.template().to_owned() });
            map.insert(route, index);
        }
        Ok(map)
    }

    /// How many rules it has.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether it has no rule, so that every request is unmapped.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The action of a rule.
    pub fn action_of(&self, rule: RuleIndex) -> Option<&ActionName> {
        self.rules.get(usize::from(rule.0)).map(|rule| &rule.action)
    }

    /// The path template of a rule.
    pub fn template_of(&self, rule: RuleIndex) -> Option<&str> {
        self.rules.get(usize::from(rule.0)).map(|rule| rule.template.as_str())
    }

    /// What a request with this method and target stands for: the action of its
    /// [`rule`](Self::rule).
    pub fn action(&self, method: &[u8], target: &[u8]) -> Option<&ActionName> {
        self.action_of(self.rule(method, target)?)
    }

    /// The rule about a request with this method and target (`:method` and `:path`,
    /// as the proxy passes them on); `None` if no rule is about it, or if it
    /// has more than one reading. Allocates nothing.
    ///
    /// Headers can change what a request does, too: one that has any of
    /// [`overrides_method`](super::overrides_method) or
    /// [`overrides_path`](super::overrides_path) is unmapped, and this is not to be
    /// asked.
    pub fn rule(&self, method: &[u8], target: &[u8]) -> Option<RuleIndex> {
        if target.len() > MAX_TARGET_BYTES {
            return None;
        }
        let path = exact(target).ok()?;
        let query = target.get(path.len()..).unwrap_or_default();
        // A request never has a fragment, and what is not visible is encoded.
        let is_plain = query.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#');
        if !is_plain || query_overrides_method(query) {
            return None;
        }
        let mut node = self.nodes.first()?;
        for segment in path.strip_prefix('/')?.split('/') {
            match node.step(segment)? {
                Step::To(next) => node = self.nodes.get(next)?,
                // A slash at the end is dropped by some: only a rule that names it
                // is about it.
                Step::ToTheEnd(_) if path.ends_with('/') => return None,
                Step::ToTheEnd(next) => {
                    node = self.nodes.get(next)?;
                    break;
                }
            }
        }
        let named = node.rules.iter().find(|(name, _)| name.as_bytes() == method);
        named.map(|(_, rule)| *rule)
    }

    fn insert(&mut self, route: Route, rule: RuleIndex) {
        let mut at = 0;
        for segment in route.segments {
            let next = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            at = node.child(segment, next);
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.rules.push((route.method, rule));
        }
    }
}

impl Node {
    /// The node for this segment; `next` if there was none.
    fn child(&mut self, segment: Segment, next: usize) -> usize {
        match segment {
            Segment::Any => *self.any.get_or_insert(next),
            Segment::Rest => *self.rest.get_or_insert(next),
            Segment::Verb(verb) => match self.verbs.iter().find(|(known, _)| *known == verb) {
                Some((_, node)) => *node,
                None => {
                    self.verbs.push((verb, next));
                    next
                }
            },
            Segment::Literal(written) => {
                let folded = written.to_ascii_lowercase();
                match self.literals.binary_search_by(|known| known.folded.cmp(&folded)) {
                    Ok(index) => self.literals.get(index).map_or(next, |known| known.node),
                    Err(index) => {
                        self.longest = self.longest.max(folded.len());
                        self.literals.insert(index, Literal { folded, written, node: next });
                        next
                    }
                }
            }
        }
    }

    fn step(&self, segment: &str) -> Option<Step> {
        if let Some(literal) = self.literal(folded(segment)) {
            return (literal.written == segment).then_some(Step::To(literal.node));
        }
        if segment.is_empty() || self.could_be_a_literal(segment) {
            return None;
        }
        if let Some(rest) = self.rest {
            return Some(Step::ToTheEnd(rest));
        }
        // What follows a colon is a verb, to whoever has verbs.
        if Decoded(segment.as_bytes()).any(|byte| byte == b':') {
            let (id, verb) = segment.split_once(':').filter(|(id, _)| !id.is_empty())?;
            if Decoded(id.as_bytes()).any(|byte| byte == b':') {
                return None;
            }
            let (_, node) = self.verbs.iter().find(|(known, _)| known == verb)?;
            return Some(Step::To(*node));
        }
        self.any.map(Step::To)
    }

    fn literal(&self, folded: impl Iterator<Item = u8> + Clone) -> Option<&Literal> {
        let found =
            self.literals.binary_search_by(|literal| literal.folded.bytes().cmp(folded.clone()));
        found.ok().and_then(|index| self.literals.get(index))
    }

    /// Whether somebody could read a segment as one of the literals here: it begins
    /// with one and goes on with a mark (`search.json`, `search%20`), it does so after
    /// marks (`%20search`), or it has letters that are not ASCII, which some fold to
    /// such as are.
    fn could_be_a_literal(&self, segment: &str) -> bool {
        if self.literals.is_empty() {
            return false;
        }
        let is_mark = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'-' && byte != b'_';
        let bare = |trimmed: bool| folded(segment).skip_while(move |it| trimmed && is_mark(*it));
        let begins = |trimmed: bool| {
            bare(trimmed)
                .enumerate()
                .skip(1)
                .take(self.longest)
                .filter(|(_, byte)| is_mark(*byte))
                .any(|(length, _)| self.literal(bare(trimmed).take(length)).is_some())
        };
        begins(false)
            || begins(true)
            || self.literal(bare(true)).is_some()
            || folded(segment).any(|byte| !byte.is_ascii())
    }
}

/// A segment decoded, in lower case.
fn folded(segment: &str) -> impl Iterator<Item = u8> + Clone + '_ {
    Decoded(segment.as_bytes()).map(|byte| byte.to_ascii_lowercase())
}

/// Finds rules that do not go together.
fn check(rules: &[(Route, ActionName)]) -> Result<(), ActionMapError> {
    let known: BTreeSet<(&str, Vec<&Segment>)> = rules
        .iter()
        .map(|(route, _)| (route.method.as_str(), route.segments.iter().collect()))
        .collect();
    for (index, (second, _)) in rules.iter().enumerate() {
        for (first, _) in rules.iter().take(index) {
            let both = |error: fn(String, String) -> ActionMapError| {
                Err(error(first.to_string(), second.to_string()))
            };
            let is_same_method = first.method == second.method;
            let parted =
                first.segments.iter().zip(&second.segments).find(|(mine, theirs)| mine != theirs);
            match parted {
                Some((Segment::Literal(mine), Segment::Literal(theirs)))
                    if mine.eq_ignore_ascii_case(theirs) =>
                {
                    return both(ActionMapError::Case);
                }
                Some(
                    (Segment::Rest, Segment::Any | Segment::Verb(_))
                    | (Segment::Any | Segment::Verb(_), Segment::Rest),
                ) => return both(ActionMapError::Shadowed),
                None if is_same_method && first.segments.len() == second.segments.len() => {
                    return both(ActionMapError::Same);
                }
                _ => {}
            }
            if is_same_method
                && first.overlaps(second)
                && !first.is_narrower(second)
                && !second.is_narrower(first)
                && !known.contains(&(first.method.as_str(), first.common(second)))
            {
                return both(ActionMapError::Ambiguous);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "map_tests/mod.rs"]
mod tests;
