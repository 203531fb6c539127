//! What the opaque tokens are called that proxies report by the beginning of a hash.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kya_core::{Fingerprint, TokenId};

use super::report::Report;
use crate::store::Store;
use crate::time::UnixMicros;
use kya_core::audit::event::Batch;

/// Tokens that are remembered, at most.
const REMEMBERED: usize = 65_536;
/// Tokens of one batch that are looked up, at most; the others are shown by their hash.
const LOOKED_UP: usize = 256;

/// How long it is remembered of a token that it is not known, in microseconds.
const UNKNOWN_FOR: u64 = 60_000_000;

/// Names of tokens that were looked up, and tokens that have none. Those that were
/// remembered first are forgotten first.
#[derive(Debug, Default)]
pub(super) struct TokenNames(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    names: Remembered<TokenId>,
    /// Since when they are not known: whoever makes tokens up does not ask the store again
    /// and again.
    unknown: Remembered<UnixMicros>,
}

/// Something about tokens, as far as there is room.
#[derive(Debug)]
struct Remembered<T> {
    about: HashMap<Fingerprint, T>,
    order: VecDeque<Fingerprint>,
}

impl TokenNames {
    /// Those of the tokens in this batch that are known. Where the store cannot be asked,
    /// those that are remembered.
    pub(super) async fn of(
        &self,
        batch: &Batch,
        store: &dyn Store,
        now: UnixMicros,
    ) -> HashMap<Fingerprint, TokenId> {
        let (mut found, missing) = self.known().sort(Report::tokens(batch), now);
        if !missing.is_empty()
            && let Ok(names) = store.token_names(missing.iter().copied().collect()).await
        {
            found.extend(names.iter().copied());
            let mut known = self.known();
            for fingerprint in &missing {
                match found.get(fingerprint) {
                    Some(id) => known.names.note(*fingerprint, *id),
                    None => known.unknown.note(*fingerprint, now),
                }
            }
        }
        found
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Those that are known, and those that are to be looked up.
    fn sort(
        &self,
        tokens: impl Iterator<Item = Fingerprint>,
        now: UnixMicros,
    ) -> (HashMap<Fingerprint, TokenId>, HashSet<Fingerprint>) {
        let (mut found, mut missing) = (HashMap::new(), HashSet::new());
        for fingerprint in tokens {
            let since = self.unknown.about.get(&fingerprint);
            let is_unknown = since.is_some_and(|it| now.0.saturating_sub(it.0) < UNKNOWN_FOR);
            if let Some(id) = self.names.about.get(&fingerprint) {
                found.insert(fingerprint, *id);
            } else if !is_unknown && missing.len() < LOOKED_UP {
                missing.insert(fingerprint);
            }
        }
        (found, missing)
    }
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { about: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Remembered<T> {
    fn note(&mut self, fingerprint: Fingerprint, about: T) {
        if self.about.insert(fingerprint, about).is_none() {
            self.order.push_back(fingerprint);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.about.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> (Fingerprint, TokenId) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        (Fingerprint(bytes), TokenId::from_bytes(bytes))
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let mut names = Remembered::default();
        for n in 0..REMEMBERED + 5 {
            let (fingerprint, id) = name(n);
            names.note(fingerprint, id);
            names.note(fingerprint, id);
        }
        assert_eq!((names.about.len(), names.order.len()), (REMEMBERED, REMEMBERED));
        assert_eq!(names.about.get(&name(4).0), None);
        assert!(names.about.contains_key(&name(5).0));
    }

    #[test]
    fn what_is_not_known_is_asked_for_once_a_minute_and_so_much_of_a_batch() {
        let mut known = Known::default();
        let asked = |known: &Known, tokens: std::ops::Range<usize>, second: u64| {
            known.sort(tokens.map(|n| name(n).0), UnixMicros(second * 1_000_000)).1.len()
        };
        assert_eq!(asked(&known, 0..1000, 5), LOOKED_UP);
        for n in 0..100 {
            known.unknown.note(name(n).0, UnixMicros(5_000_000));
        }
        assert_eq!((asked(&known, 0..100, 64), asked(&known, 0..100, 65)), (0, 100));
        known.names.note(name(3).0, name(3).1);
        assert_eq!(asked(&known, 3..4, 65), 0);
    }
}
