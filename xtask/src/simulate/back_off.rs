//! When a proxy connects again: as the filter does it (`filter/src/lead/retry.rs`).

use std::time::{Duration, Instant};

use super::chance;

const FIRST: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(3);
/// A stream that lasted so long was a good one: the next is opened quickly.
const LASTED: Duration = Duration::from_secs(2);
/// How often the filter looks whether it is time.
const TICK: Duration = Duration::from_millis(250);

/// The attempts of one proxy.
#[derive(Debug)]
pub(super) struct BackOff {
    wait: Duration,
    /// A tick of this proxy.
    ticks: Instant,
}

impl BackOff {
    /// Of a proxy whose ticks are at any times.
    pub(super) fn new() -> Self {
        Self { wait: FIRST, ticks: Instant::now() + chance::below(TICK) }
    }

    /// A stream that was open for so long has ended. When to open the next.
    pub(super) fn next(&mut self, lasted: Duration, now: Instant) -> Instant {
        if lasted >= LASTED {
            self.wait = FIRST;
        }
        // Up to a quarter more, so that proxies do not come back in step.
        let due = now + self.wait + chance::below(self.wait / 4);
        self.wait = (self.wait * 2).min(LAST);
        self.tick_from(due)
    }

    /// The first tick that is not before `due`.
    fn tick_from(&self, due: Instant) -> Instant {
        let tick = TICK.as_nanos();
        let since = due.saturating_duration_since(self.ticks).as_nanos();
        let nanos = u64::try_from(since.div_ceil(tick) * tick).unwrap_or(u64::MAX);
        self.ticks + Duration::from_nanos(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew_after_a_good_stream() {
        let mut back_off = BackOff::new();
        let mut now = back_off.ticks;
        let lasted = [0, 0, 0, 0, 0, 0, 3].map(Duration::from_secs);
        for (lasted, least) in lasted.into_iter().zip([250, 500, 1000, 2000, 3000, 3000, 250]) {
            let least = Duration::from_millis(least);
            let next = back_off.next(lasted, now);
            let wait = next - now;
            assert!((least..least + least / 4 + TICK).contains(&wait), "{wait:?} for {least:?}");
            assert_eq!((next - back_off.ticks).as_nanos() % TICK.as_nanos(), 0);
            now = next;
        }
    }

    #[test]
    fn the_tick_at_which_it_is_due_is_the_one() {
        let back_off = BackOff::new();
        let at = |millis| back_off.ticks + Duration::from_millis(millis);
        assert_eq!(back_off.tick_from(at(250)), at(250));
        assert_eq!(back_off.tick_from(at(251)), at(500));
    }
}
