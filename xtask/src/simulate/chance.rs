//! Times that nobody can foresee.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Any time shorter than `limit`; nothing of nothing.
pub(crate) fn below(limit: Duration) -> Duration {
    let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    // Each of these has another key.
    let random = RandomState::new().hash_one(nanos);
    Duration::from_nanos(random.checked_rem(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spread_over_all_that_is_allowed() {
        let limit = Duration::from_secs(10);
        let times: Vec<Duration> = (0..1000).map(|_| below(limit)).collect();
        assert!(times.iter().all(|time| *time < limit));
        let early = times.iter().filter(|time| **time < limit / 2).count();
        assert!((350..650).contains(&early), "{early} of 1000 are in the first half");
        assert_eq!(below(Duration::ZERO), Duration::ZERO);
    }
}
