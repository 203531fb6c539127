//! The proxy's clocks.

use kya_core::Monotonic;

use crate::host::Host;

/// Nanoseconds of a millisecond.
pub const NANOS_PER_MILLI: u64 = 1_000_000;

/// Nanoseconds of a clock that is never set, comparable between the VMs of one
/// proxy. A proxy that shows none lends its wall clock.
pub fn monotonic_nanos(host: &impl Host) -> u64 {
    host.monotonic_nanos().unwrap_or_else(|| host.now_nanos())
}

/// The same in milliseconds.
pub fn monotonic(host: &impl Host) -> Monotonic {
    Monotonic(monotonic_nanos(host) / NANOS_PER_MILLI)
}
