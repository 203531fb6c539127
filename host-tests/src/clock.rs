//! Time that passes only when the test says so.

use std::time::Duration;

/// The two clocks of a simulated process, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    wall: u64,
    monotonic: u64,
}

impl Clock {
    pub(crate) fn starting_at(unix_nanos: u64) -> Self {
        // A machine has been up for a while, so that "no time yet" and "zero"
        // differ.
        Self { wall: unix_nanos, monotonic: 1_000_000_000 }
    }

    /// Nanoseconds since 1970.
    pub(crate) fn wall(self) -> u64 {
        self.wall
    }

    /// Nanoseconds since some moment before the start. Timers go by this one.
    pub(crate) fn monotonic(self) -> u64 {
        self.monotonic
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        let nanos = nanos(duration);
        self.wall += nanos;
        self.monotonic += nanos;
    }

    /// Moves both clocks to a later monotonic instant.
    pub(crate) fn advance_to(&mut self, monotonic: u64) {
        let nanos = monotonic.saturating_sub(self.monotonic);
        self.wall += nanos;
        self.monotonic += nanos;
    }

    /// Sets the wall clock alone, as an operator or a time server does.
    pub(crate) fn set_wall(&mut self, unix_nanos: u64) {
        self.wall = unix_nanos;
    }
}

/// A duration in whole nanoseconds. 584 years fit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("a duration of less than 584 years")
}
