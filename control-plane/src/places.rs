//! How many there may be of something, and how many of them one peer may have.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of all peers.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    each: usize,
}

/// One place, given back when dropped.
pub(crate) struct Place {
    peer: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Places {
    /// So many places, at most half of them for one peer.
    pub(crate) fn new(all: usize) -> Self {
        let each = all.div_ceil(2);
        Self { free: Arc::new(Semaphore::new(all)), taken: Arc::default(), each }
    }

    /// Waits until one is free.
    pub(crate) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        // Fails only when the semaphore is closed, which nobody does.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// How many are free now.
    #[cfg(test)]
    pub(crate) fn are_free(&self) -> usize {
        self.free.available_permits()
    }

    /// Gives the place to a peer, unless it has too many.
    pub(crate) fn give(&self, place: OwnedSemaphorePermit, peer: IpAddr) -> Option<Place> {
        let peer = who(peer);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let has = taken.entry(peer).or_default();
        if *has >= self.each {
            return None;
        }
        *has = has.saturating_add(1);
        Some(Place { peer, taken: Arc::clone(&self.taken), _place: place })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.peer) {
            Some(has) if *has > 1 => *has = has.saturating_sub(1),
            _ => drop(taken.remove(&self.peer)),
        }
    }
}

/// Whoever has one IPv6 address has the 2⁶⁴ around it.
pub(crate) fn who(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_gets_half_of_the_places_and_the_others_get_the_rest() {
        let places = Places::new(4);
        let take = async |peer: &str| {
            let free = places.free().await?;
            places.give(free, peer.parse().unwrap())
        };
        let one = take("10.0.0.1").await.expect("a place");
        let _mapped = take("::ffff:10.0.0.1").await.expect("a place");
        assert!(take("10.0.0.1").await.is_none());
        let _near = [take("2001:db8::1").await, take("2001:db8::2").await];
        assert_eq!(places.are_free(), 0);
        drop(one);
        assert!(take("2001:db8::3").await.is_none(), "the same network");
        assert!(take("10.0.0.1").await.is_some());
    }

    #[tokio::test]
    async fn a_peer_that_left_is_forgotten() {
        let places = Places::new(2);
        let free = places.free().await.unwrap();
        drop(places.give(free, "10.0.0.1".parse().unwrap()));
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
