//! Lets something happen only so often, for log lines that a stranger can cause.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one thing pass in each interval.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval: Duration,
    last: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, last: Mutex::new(None) }
    }

    /// True the first time, and then once the interval since the last true is
    /// over.
    pub(crate) fn passes(&self) -> bool {
        self.passes_at(Instant::now())
    }

    fn passes_at(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let passes = last.is_none_or(|last| now.saturating_duration_since(last) >= self.interval);
        if passes {
            *last = Some(now);
        }
        passes
    }
}

/// How many of something come within a second.
#[derive(Debug)]
pub(crate) struct Pace {
    most: u32,
    second: Instant,
    came: u32,
}

impl Pace {
    pub(crate) fn new(most: u32) -> Self {
        Self { most, second: Instant::now(), came: 0 }
    }

    /// One more came. False if it is one too many since its second began.
    pub(crate) fn keeps(&mut self) -> bool {
        self.keeps_at(Instant::now())
    }

    fn keeps_at(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.came) = (now, 0);
        }
        self.came = self.came.saturating_add(1);
        self.came <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_in_each_interval() {
        let throttle = Throttle::new(Duration::from_secs(2));
        let begin = Instant::now();
        let passed = [0, 1, 2, 3, 5].map(|s| throttle.passes_at(begin + Duration::from_secs(s)));
        assert_eq!(passed, [true, false, true, false, true]);
    }

    #[test]
    fn so_many_come_within_a_second_and_then_again() {
        let mut pace = Pace::new(2);
        let begin = pace.second;
        let kept = [0, 900, 999, 1_000, 1_500, 1_999, 2_000]
            .map(|ms| pace.keeps_at(begin + Duration::from_millis(ms)));
        assert_eq!(kept, [true, true, false, true, true, false, true]);
    }
}
