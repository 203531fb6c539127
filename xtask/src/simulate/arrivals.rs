//! When the last of many got the same thing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Arrived;

/// Counts the arrivals of each thing until all have it.
#[derive(Debug)]
pub(super) struct Arrivals {
    all: usize,
    under_way: Mutex<HashMap<u64, (usize, Arrived)>>,
}

impl Arrivals {
    /// Each thing comes to so many.
    pub(super) fn of(all: usize) -> Self {
        Self { all, under_way: Mutex::default() }
    }

    /// One of them got it at this time. When all have, that is returned.
    pub(super) fn note(&self, id: u64, bytes: usize, unix_ms: f64) -> Option<Arrived> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let first = Arrived { id, bytes, first_unix_ms: unix_ms, last_unix_ms: unix_ms };
        let (count, arrived) = under_way.entry(id).or_insert((0, first));
        *count += 1;
        arrived.first_unix_ms = arrived.first_unix_ms.min(unix_ms);
        arrived.last_unix_ms = arrived.last_unix_ms.max(unix_ms);
        if *count < self.all {
            return None;
        }
        under_way.remove(&id).map(|(_, arrived)| arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_all_completes_it_whatever_order_the_times_have() {
        let arrivals = Arrivals::of(3);
        assert!(arrivals.note(7, 10, 5.0).is_none());
        assert!(arrivals.note(8, 10, 1.0).is_none());
        assert!(arrivals.note(7, 10, 9.0).is_none());
        let arrived = arrivals.note(7, 10, 4.0).unwrap();
        assert_eq!((arrived.id, arrived.first_unix_ms, arrived.last_unix_ms), (7, 4.0, 9.0));
        assert!(arrivals.note(8, 10, 2.0).is_none());
    }
}
