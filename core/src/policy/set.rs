//! A list of patterns, ready to be asked.

use super::pattern::Pattern;

/// Patterns of which one is enough.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PatternSet {
    /// Without a star, sorted: most lists are names, and searched fast.
    names: Vec<Pattern>,
    /// With a star, sorted.
    wild: Vec<Pattern>,
    everything: bool,
}

impl PatternSet {
    /// Whether one of them stands for this name, or for what has none.
    pub(super) fn matches(&self, name: Option<&str>) -> bool {
        let Some(name) = name else { return self.everything };
        self.everything
            || self.names.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
            || self.wild.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether `*` is one of them.
    pub(super) fn is_everything(&self) -> bool {
        self.everything
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.wild.is_empty()
    }

    /// Whether one of them covers this one.
    pub(super) fn covers(&self, pattern: &Pattern) -> bool {
        self.iter().any(|mine| mine.covers(pattern))
    }

    /// Names first, then patterns, each sorted.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.names.iter().chain(&self.wild)
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.iter().map(Pattern::to_string).collect()
    }
}

impl FromIterator<Pattern> for PatternSet {
    fn from_iter<I: IntoIterator<Item = Pattern>>(patterns: I) -> Self {
        let (mut wild, mut names): (Vec<_>, Vec<_>) =
            patterns.into_iter().partition(|pattern| pattern.as_str().contains('*'));
        wild.sort_unstable();
        wild.dedup();
        names.sort_unstable();
        names.dedup();
        let everything = wild.iter().any(Pattern::is_everything);
        Self { names, wild, everything }
    }
}
