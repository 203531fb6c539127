//! How often something may happen, for each of many: a bounded table of leaky buckets.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many in each period, for each key, and so many in a row after a pause.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    /// How long one takes to leak away.
    each: Duration,
    /// How long a full bucket takes.
    full: Duration,
    /// Keys that are remembered. At the bound the one that has used least is forgotten,
    /// which gives it a fresh start.
    keys: usize,
    /// When the bucket of each key is empty again.
    empty_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// So many in a row, and as many again in each period.
    pub(super) fn new(most: u32, period: Duration, keys: usize) -> Self {
        Self { each: period / most.max(1), full: period, keys, empty_at: Mutex::default() }
    }

    /// The same with so many in a row. The pace in the long run stays.
    pub(super) fn in_a_row(self, most: u32) -> Self {
        Self { full: self.each.saturating_mul(most), ..self }
    }

    /// One more for this key.
    ///
    /// # Errors
    /// When it is one too many: how long until there may be another. It is not counted
    /// then.
    pub(super) fn add(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let mut empty_at = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        let before = empty_at.get(key).copied().unwrap_or(now).max(now);
        let filled = before.saturating_duration_since(now).saturating_add(self.each);
        if let Some(too_much) = filled.checked_sub(self.full).filter(|much| !much.is_zero()) {
            return Err(too_much);
        }
        if !empty_at.contains_key(key) && empty_at.len() >= self.keys {
            make_room(&mut empty_at, now);
        }
        empty_at.insert(key.clone(), now.checked_add(filled).unwrap_or(now));
        Ok(())
    }

    /// True while there may not be another for this key.
    pub(super) fn is_full(&self, key: &K, now: Instant) -> bool {
        let empty_at = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        empty_at.get(key).is_some_and(|at| {
            at.saturating_duration_since(now).saturating_add(self.each) > self.full
        })
    }
}

/// Forgets whoever is as if they had never been, and otherwise the one that is nearest
/// to that.
fn make_room<K: Hash + Eq + Clone>(empty_at: &mut HashMap<K, Instant>, now: Instant) {
    let before = empty_at.len();
    empty_at.retain(|_, at| *at > now);
    if empty_at.len() == before
        && let Some(least) = empty_at.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone())
    {
        empty_at.remove(&least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn so_many_in_a_row_and_then_one_as_each_leaks_away() {
        let (buckets, now) = (Buckets::new(10, 60 * SECOND, 8), Instant::now());
        for _ in 0..10 {
            assert!(!buckets.is_full(&"a", now));
            assert_eq!(buckets.add(&"a", now), Ok(()));
        }
        assert!(buckets.is_full(&"a", now));
        assert_eq!(buckets.add(&"a", now), Err(6 * SECOND));
        assert_eq!(buckets.add(&"a", now + 2 * SECOND), Err(4 * SECOND));
        assert_eq!(buckets.add(&"b", now), Ok(()), "another one is not concerned");
        assert!(!buckets.is_full(&"a", now + 6 * SECOND));
        assert_eq!(buckets.add(&"a", now + 6 * SECOND), Ok(()));
        assert_eq!(buckets.add(&"a", now + 6 * SECOND), Err(6 * SECOND));
        let later = now + 120 * SECOND;
        assert!((0..10).all(|_| buckets.add(&"a", later).is_ok()));
        assert!(buckets.add(&"a", later).is_err(), "a pause does not add up");
    }

    #[test]
    fn more_may_come_in_a_row_and_no_more_in_the_long_run() {
        let now = Instant::now();
        let buckets = Buckets::new(10, 60 * SECOND, 8).in_a_row(25);
        assert!((0..25).all(|_| buckets.add(&"a", now).is_ok()));
        assert_eq!(buckets.add(&"a", now), Err(6 * SECOND));
        let minute = (0..60).filter(|s| buckets.add(&"a", now + *s * SECOND).is_ok()).count();
        assert_eq!(minute, 9, "one in six seconds, the first after six");
    }

    #[test]
    fn the_table_is_bounded_and_forgets_whoever_has_used_least() {
        let (buckets, now) = (Buckets::new(2, 2 * SECOND, 3), Instant::now());
        for key in [1, 1, 2, 2, 3] {
            assert_eq!(buckets.add(&key, now), Ok(()));
        }
        assert_eq!(buckets.add(&4, now), Ok(()));
        assert_eq!(buckets.empty_at.lock().unwrap().len(), 3);
        assert!(buckets.is_full(&1, now) && buckets.is_full(&2, now), "3 was forgotten");
        for key in 100..1_000 {
            let _ = buckets.add(&key, now + 5 * SECOND);
            assert!(buckets.empty_at.lock().unwrap().len() <= 3);
        }
        assert!(!buckets.is_full(&1, now + 5 * SECOND));
    }
}
