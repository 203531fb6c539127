//! What a VM is in its proxy: the main thread's, or a worker's.
//!
//! The main thread's makes the best leader, since it serves no requests, and it
//! is no worker. A VM cannot ask which thread it is on. But when Envoy starts,
//! before its workers run, it configures VMs in a fixed order: a canary that it
//! throws away, the main thread's, then the workers'. So each notes itself at its
//! first configuration, and the second of the first row is the main thread's.
//! Another configuration of the same VM changes nothing about that.
//!
//! VMs that come later, when a listener brings a new filter or a worker's VM has
//! crashed, are configured by all threads at once. Of those nobody can tell, and
//! each is listed as a worker: one too many is a VM that decides nothing and
//! still must acknowledge, one too few would be a worker that need not.
//!
//! Whoever serves a request is a worker, whatever was thought of it before.

use crate::cache::Cache;
use crate::cache::records::Boot;
use crate::clock;
use crate::host::Host;
use crate::lead::lease::is_past;

/// A row that began longer ago is over.
const ROW_NANOS: u64 = 2_000_000_000;
/// Attempts at writing while other VMs do.
const ATTEMPTS: usize = 8;

/// What a VM seems to be. Ordered: what is greater is known better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It may be either, so it counts as a worker; it has served nobody yet.
    Unknown,
    /// By its place in the first row.
    Main,
    /// By its place in the first row, or because it has served a request.
    Worker,
}

impl Role {
    /// Whether it may be asked to serve, and so has a word in what is complete.
    pub fn works(self) -> bool {
        self != Self::Main
    }

    /// Whether it should lead rather than a VM of which this is false.
    pub fn leads_best(self) -> bool {
        self != Self::Worker
    }
}

/// Notes a VM at its first configuration, and says what it seems to be.
pub fn note(host: &impl Host, cache: &Cache, instance: u64) -> Role {
    let now = clock::monotonic_nanos(host);
    for _ in 0..ATTEMPTS {
        let Ok(there) = cache.boot(host) else { return Role::Unknown };
        let Some((row, cas)) = there else {
            let first = Boot { began_nanos: now, first: instance, second: None };
            if cache.store_boot(host, &first, None).is_ok() {
                return Role::Unknown;
            }
            continue;
        };
        match row.filter(|row| !is_past(row.began_nanos, now, ROW_NANOS)) {
            None => return Role::Unknown,
            Some(Boot { second: Some(_), .. }) => return Role::Worker,
            Some(row) => {
                let next = Boot { second: Some(instance), ..row };
                if cache.store_boot(host, &next, Some(cas)).is_ok() {
                    return Role::Main;
                }
            }
        }
    }
    Role::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Proxy;

    #[test]
    fn the_second_of_the_first_row_is_the_main_threads_and_then_come_the_workers() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        let row: Vec<_> = (1..=4).map(|instance| note(&host, &cache, instance)).collect();
        assert_eq!(row, [Role::Unknown, Role::Main, Role::Worker, Role::Worker]);
    }

    #[test]
    fn of_those_that_come_later_nobody_can_tell() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        (1..=4).for_each(|instance| {
            note(&host, &cache, instance);
        });
        proxy.advance_nanos(ROW_NANOS + 1);
        let later: Vec<_> = (5..=9).map(|instance| note(&host, &cache, instance)).collect();
        assert_eq!(later, [Role::Unknown; 5]);
    }

    #[test]
    fn garbage_tells_nothing() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        host.set_shared_data("kya/t/boot", b"another plugin was here").unwrap();
        assert_eq!([1, 2, 3].map(|it| note(&host, &cache, it)), [Role::Unknown; 3]);
    }

    #[test]
    fn only_who_may_serve_is_listed_and_only_who_serves_leads_last() {
        let works = [Role::Unknown, Role::Main, Role::Worker].map(Role::works);
        assert_eq!(works, [true, false, true]);
        let leads = [Role::Unknown, Role::Main, Role::Worker].map(Role::leads_best);
        assert_eq!(leads, [true, true, false]);
    }
}
