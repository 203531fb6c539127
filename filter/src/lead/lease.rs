//! Election: which VM of this proxy holds the stream.
//!
//! The lease keeps the number of streams at one. It is not what keeps two
//! leaders from doing harm, which they do for a moment whenever a clock jumps or
//! a thread stands still: both store what the control plane signed, readers
//! verify it, and the head of the cache moves only forward.

use crate::cache::Cache;
use crate::cache::records::Lease;
use crate::clock;
use crate::host::{Host, QueueId};

/// A lease that was not renewed for so long is free.
const EXPIRY_NANOS: u64 = 2_000_000_000;

/// What a VM is known by in its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Random, new for every VM.
    pub instance: u64,
    /// The queue that wakes it.
    pub queue: QueueId,
}

/// What standing for the lead has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// Another leads, or nobody does yet.
    Follows,
    /// This VM leads, and another has been the last to: what this one remembers of
    /// the cache may not be so any more.
    Begins,
    /// This VM leads as before.
    Leads,
}

/// Renews the lease, takes it if it is free, and says whether this VM leads now.
///
/// A preferred VM takes it from one that is not. The others let it go first:
/// they take a lease only if they have been `patient`.
pub fn stand(
    host: &impl Host,
    cache: &Cache,
    me: Identity,
    preferred: bool,
    patient: bool,
) -> Stands {
    let now = clock::monotonic_nanos(host);
    let mine = Lease { instance: me.instance, queue: me.queue, renewed_nanos: now, preferred };
    match cache.lease(host) {
        Err(_) => Stands::Follows,
        Ok(None) if preferred || patient => {
            // A first write cannot be made conditional, so another VM may
            // overwrite it: lead only once the next tick finds it still there.
            let _ = cache.store_lease(host, &mine, None);
            Stands::Follows
        }
        Ok(None) => Stands::Follows,
        Ok(Some((held, cas))) => {
            let before = match held {
                Some(held) if held.instance == me.instance => Stands::Leads,
                _ => Stands::Begins,
            };
            let free = match held {
                _ if before == Stands::Leads => true,
                Some(held) if !is_past(held.renewed_nanos, now, EXPIRY_NANOS) => {
                    preferred && !held.preferred
                }
                _ => preferred || patient,
            };
            match free && cache.store_lease(host, &mine, Some(cas)).is_ok() {
                true => before,
                false => Stands::Follows,
            }
        }
    }
}

/// True while this VM holds the lease.
pub fn holds(host: &impl Host, cache: &Cache, me: Identity) -> bool {
    matches!(cache.lease(host), Ok(Some((Some(held), _))) if held.instance == me.instance)
}

/// Frees the lease if this VM holds it.
pub fn resign(host: &impl Host, cache: &Cache, me: Identity) {
    if let Ok(Some((Some(held), cas))) = cache.lease(host)
        && held.instance == me.instance
    {
        // An instant that is far from any other. Changed meanwhile means that
        // somebody else holds it already.
        let _ = cache.store_lease(host, &Lease { renewed_nanos: u64::MAX, ..held }, Some(cas));
    }
}

/// True when `then` is further than `limit` from `now`, on either side: a clock
/// that was set back must not keep a dead holder alive.
pub fn is_past(then: u64, now: u64, limit: u64) -> bool {
    now.abs_diff(then) > limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Proxy;

    fn candidate(n: u32) -> Identity {
        Identity { instance: n.into(), queue: QueueId(n) }
    }

    fn stand(host: &impl Host, cache: &Cache, me: Identity, preferred: bool) -> bool {
        super::stand(host, cache, me, preferred, true) != Stands::Follows
    }

    #[test]
    fn the_first_to_stand_leads_from_its_second_tick_on() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        assert!(!stand(&host, &cache, candidate(1), false));
        assert!(!stand(&host, &cache, candidate(2), false));
        assert!(stand(&host, &cache, candidate(1), false));
        assert!(!stand(&host, &cache, candidate(2), false));
    }

    #[test]
    fn a_leader_that_stops_renewing_is_replaced() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        stand(&host, &cache, candidate(1), false);
        proxy.advance_nanos(EXPIRY_NANOS);
        assert!(!stand(&host, &cache, candidate(2), false));
        proxy.advance_nanos(1);
        assert!(stand(&host, &cache, candidate(2), false));
        assert!(!stand(&host, &cache, candidate(1), false));
    }

    #[test]
    fn whoever_takes_it_from_another_begins_though_it_has_led_before() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        let stand = |n, preferred| super::stand(&host, &cache, candidate(n), preferred, true);
        let first = [stand(1, true), stand(1, true), stand(1, true)];
        assert_eq!(first, [Stands::Follows, Stands::Leads, Stands::Leads]);
        proxy.advance_nanos(EXPIRY_NANOS + 1);
        assert_eq!([stand(2, false), stand(2, false)], [Stands::Begins, Stands::Leads]);
        assert_eq!([stand(1, true), stand(1, true)], [Stands::Begins, Stands::Leads]);
        assert_eq!(stand(2, false), Stands::Follows);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_keep_a_dead_leader() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        // Where there is no monotonic clock, the wall clock is in its place.
        proxy.refuse("monotonic_nanos");
        stand(&host, &cache, candidate(1), false);
        proxy.set_back_nanos(EXPIRY_NANOS + 1);
        assert!(stand(&host, &cache, candidate(2), false));
    }

    #[test]
    fn only_the_holder_can_resign() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        stand(&host, &cache, candidate(1), false);
        resign(&host, &cache, candidate(2));
        assert!(!stand(&host, &cache, candidate(2), false));
        resign(&host, &cache, candidate(1));
        assert!(stand(&host, &cache, candidate(2), false));
    }

    #[test]
    fn a_preferred_vm_takes_the_lease_from_one_that_is_not() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        stand(&host, &cache, candidate(1), false);
        assert!(stand(&host, &cache, candidate(1), false));
        assert!(!stand(&host, &cache, candidate(2), false), "another like it is no better");
        assert!(stand(&host, &cache, candidate(3), true));
        assert!(!stand(&host, &cache, candidate(1), false));
        assert!(!stand(&host, &cache, candidate(4), true), "two preferred ones do not fight");
        assert!(holds(&host, &cache, candidate(3)));
        assert!(!holds(&host, &cache, candidate(1)));
    }

    #[test]
    fn the_others_let_the_preferred_one_go_first() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        for _ in 0..3 {
            let stands = super::stand(&host, &cache, candidate(1), false, false);
            assert_eq!(stands, Stands::Follows);
        }
        assert_eq!(cache.lease(&host), Ok(None));
        super::stand(&host, &cache, candidate(2), true, false);
        assert_eq!(super::stand(&host, &cache, candidate(2), true, false), Stands::Leads);
    }

    #[test]
    fn garbage_in_the_lease_is_a_free_lease() {
        let proxy = Proxy::new();
        let (host, cache) = (proxy.host(), Cache::new("kya/t"));
        host.set_shared_data("kya/t/leader", b"another plugin was here").unwrap();
        assert!(stand(&host, &cache, candidate(1), false));
    }
}
