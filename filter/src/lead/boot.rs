//! Which VM is the main thread's.
//!
//! It makes the best leader, since it serves no requests, and it is no worker.
//! A VM cannot ask which thread it is on, but Envoy configures VMs in a fixed
//! order: a canary that it throws away, the main thread's, then the workers'.
//! So each notes itself at configuration, and the second of a row is the main
//! thread's.
//!
//! That is a preference, not a promise. A VM that is taken for the main
//! thread's and then serves a request counts as a worker from then on; one that
//! is taken for a worker merely shows as one that is idle.

use crate::cache::Cache;
use crate::cache::records::Boot;
use crate::clock;
use crate::host::Host;
use crate::lead::lease::is_past;

/// A row that began longer ago is over: the listener was replaced, or a worker's
/// VM crashed and came back.
const ROW_NANOS: u64 = 2_000_000_000;
/// Attempts at writing while other VMs do.
const ATTEMPTS: usize = 8;

/// Notes a VM that is being configured. True if it seems to be the main thread's.
pub fn note(host: &impl Host, cache: &Cache, instance: u64) -> bool {
    let now = clock::monotonic_nanos(host);
    for _ in 0..ATTEMPTS {
        let Ok(there) = cache.boot(host) else { return false };
        let (row, cas) = there.unzip();
        let row = row.flatten().filter(|row| !is_past(row.began_nanos, now, ROW_NANOS));
        let next = match row {
            None => Boot { began_nanos: now, first: instance, second: None },
            Some(row @ Boot { second: None, .. }) => Boot { second: Some(instance), ..row },
            Some(_) => return false,
        };
        if cache.store_boot(host, &next, cas).is_ok() {
            return next.second == Some(instance);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Proxy;

    #[test]
    fn the_second_of_a_row_is_the_main_threads() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        let row: Vec<_> = (1..=5).map(|instance| note(&host, &cache, instance)).collect();
        assert_eq!(row, [false, true, false, false, false]);
        proxy.advance_nanos(ROW_NANOS + 1);
        let again: Vec<_> = (6..=9).map(|instance| note(&host, &cache, instance)).collect();
        assert_eq!(again, [false, true, false, false]);
    }

    #[test]
    fn a_worker_that_comes_back_alone_is_not_taken_for_it() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        (1..=4).for_each(|instance| {
            note(&host, &cache, instance);
        });
        proxy.advance_nanos(ROW_NANOS + 1);
        assert!(!note(&host, &cache, 5));
    }

    #[test]
    fn garbage_is_the_end_of_a_row() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        host.set_shared_data("kya/t/boot", b"another plugin was here").unwrap();
        assert!(!note(&host, &cache, 1));
        assert!(note(&host, &cache, 2));
    }
}
