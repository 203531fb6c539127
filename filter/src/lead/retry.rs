//! When to try again: soon at first, then ever later, never in step with others.

use kya_core::Monotonic;

use crate::clock::{self, NANOS_PER_MILLI};
use crate::host::Host;
use crate::lead::lease::is_past;

const FIRST_NANOS: u64 = 250_000_000;
const LAST_NANOS: u64 = 3_000_000_000;

/// The attempts at something that keeps failing.
#[derive(Debug)]
pub struct Retry {
    wait_nanos: u64,
    due_nanos: u64,
    failures: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { wait_nanos: FIRST_NANOS, due_nanos: 0, failures: 0 }
    }
}

impl Retry {
    /// Whether it is time. An instant that is further off than any wait means
    /// that the clock was set back.
    pub fn is_due(&self, now: Monotonic) -> bool {
        let now = now.0.saturating_mul(NANOS_PER_MILLI);
        now >= self.due_nanos || is_past(self.due_nanos, now, LAST_NANOS.saturating_mul(2))
    }

    /// It failed again. Says how often in a row.
    pub fn failed(&mut self, host: &impl Host) -> u32 {
        self.failures = self.failures.saturating_add(1);
        // Up to a quarter more, so that proxies do not come back in step.
        let mut random = [0; 8];
        let _ = host.random(&mut random);
        let jitter = u64::from_le_bytes(random).checked_rem(self.wait_nanos / 4).unwrap_or(0);
        self.due_nanos =
            clock::monotonic_nanos(host).saturating_add(self.wait_nanos).saturating_add(jitter);
        self.wait_nanos = self.wait_nanos.saturating_mul(2).min(LAST_NANOS);
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Proxy;

    #[test]
    fn waits_grow_to_a_bound() {
        let proxy = Proxy::new();
        let (host, mut retry) = (proxy.host(), Retry::default());
        let waits: Vec<_> = (1..=6)
            .map(|attempt| {
                assert_eq!(retry.failed(&host), attempt);
                retry.due_nanos - clock::monotonic_nanos(&host)
            })
            .collect();
        for (wait, at_least) in waits.iter().zip([250, 500, 1_000, 2_000, 3_000, 3_000]) {
            let at_least = at_least * 1_000_000;
            assert!((at_least..at_least + at_least / 4 + 1).contains(wait), "{waits:?}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_put_it_off() {
        let proxy = Proxy::new();
        let (host, mut retry) = (proxy.host(), Retry::default());
        retry.failed(&host);
        assert!(!retry.is_due(clock::monotonic(&host)));
        // Where there is no monotonic clock, the wall clock is in its place.
        proxy.refuse("monotonic_nanos");
        retry.failed(&host);
        assert!(!retry.is_due(clock::monotonic(&host)));
        proxy.set_back_nanos(7_000_000_000);
        assert!(retry.is_due(clock::monotonic(&host)));
    }
}
