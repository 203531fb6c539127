//! Room that many proxies share, of which none gets more than a part: whoever holds the
//! credential of one cannot keep the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How much there is, and how much of it one node, and all nodes of one registration, may
/// have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) all: usize,
    pub(crate) registration: usize,
    pub(crate) node: usize,
}

/// Batches of workers that are read and appended at the same time: a worker has one.
pub(crate) const BATCHES: Room = Room { all: 64, registration: 32, node: 8 };
/// Exports that are written at the same time. Whoever asks for one is an operator.
pub(crate) const EXPORTS: Room = Room { all: 8, registration: 2, node: 2 };

/// Room that is shared.
#[derive(Debug)]
pub(crate) struct Shares {
    room: Room,
    held: Mutex<Held>,
    freed: Notify,
}

/// What is held. Nobody is in it who holds nothing.
#[derive(Debug, Default)]
struct Held {
    all: usize,
    registrations: HashMap<String, usize>,
    nodes: HashMap<String, usize>,
}

/// A part of the room, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Shares>,
    registration: String,
    node: String,
    weight: usize,
}

impl Shares {
    pub(crate) fn new(room: Room) -> Arc<Self> {
        Arc::new(Self { room, held: Mutex::default(), freed: Notify::new() })
    }

    /// So much for this node, if that is left.
    pub(crate) fn take(
        self: &Arc<Self>,
        registration: &str,
        node: &str,
        weight: usize,
    ) -> Option<Share> {
        let mut held = self.held();
        let with = |has: Option<&usize>| has.copied().unwrap_or_default().saturating_add(weight);
        let (of_registration, of_node) =
            (with(held.registrations.get(registration)), with(held.nodes.get(node)));
        let all = held.all.saturating_add(weight);
        let Room { all: most, registration: most_of_registration, node: most_of_node } = self.room;
        if all > most || of_registration > most_of_registration || of_node > most_of_node {
            return None;
        }
        held.all = all;
        held.registrations.insert(registration.to_owned(), of_registration);
        held.nodes.insert(node.to_owned(), of_node);
        let (registration, node) = (registration.to_owned(), node.to_owned());
        Some(Share { of: Arc::clone(self), registration, node, weight })
    }

    /// The same, waiting for it until then.
    pub(crate) async fn wait(
        self: &Arc<Self>,
        registration: &str,
        node: &str,
        deadline: Instant,
    ) -> Option<Share> {
        loop {
            // Before it is looked: what is freed in between is heard of.
            let freed = self.freed.notified();
            if let Some(share) = self.take(registration, node, 1) {
                return Some(share);
            }
            timeout_at(deadline, freed).await.ok()?;
        }
    }

    /// How much is held.
    pub(crate) fn held_now(&self) -> usize {
        self.held().all
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.of.held();
        held.all = held.all.saturating_sub(self.weight);
        let Held { registrations, nodes, .. } = &mut *held;
        for (holders, holder) in [(registrations, &self.registration), (nodes, &self.node)] {
            if let Some(has) = holders.get_mut(holder) {
                *has = has.saturating_sub(self.weight);
                if *has == 0 {
                    holders.remove(holder);
                }
            }
        }
        drop(held);
        self.of.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_more_than_a_part_and_what_is_given_back_is_there_again() {
        let shares = Shares::new(Room { all: 10, registration: 6, node: 4 });
        let take = |registration, node, weight| shares.take(registration, node, weight);
        let first = take("fleet", "web-1", 3).unwrap();
        assert!(take("fleet", "web-1", 2).is_none(), "more than a node may have");
        let second = take("fleet", "web-2", 3).unwrap();
        assert!(take("fleet", "web-3", 1).is_none(), "more than a registration may have");
        let third = take("other", "api-1", 4).unwrap();
        assert!(take("third", "db-1", 1).is_none(), "more than there is");
        assert_eq!(shares.held_now(), 10);
        drop((first, second));
        let again = take("fleet", "web-1", 4).unwrap();
        drop((third, again));
        let held = shares.held();
        assert_eq!((held.all, held.registrations.len(), held.nodes.len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn whoever_waits_gets_it_when_it_is_given_back_or_gives_up() {
        let shares = Shares::new(Room { all: 2, registration: 2, node: 1 });
        let first = shares.take("fleet", "web-1", 1).unwrap();
        assert!(shares.wait("fleet", "web-1", Instant::now()).await.is_none());
        let deadline = Instant::now() + std::time::Duration::from_secs(60);
        let waiting = shares.wait("fleet", "web-1", deadline);
        let freeing = async { drop(first) };
        assert!(tokio::join!(waiting, freeing).0.is_some());
    }
}
