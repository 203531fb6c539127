//! Shared queues: how one VM of a process wakes another.

use std::collections::{BTreeMap, VecDeque};

use crate::abi::Status;
use crate::profile::Profile;

/// The queues of a process and the wake-ups that they owe, by the rules of
/// Envoy's host: a queue has one registrant, the last that registered it, and
/// each enqueue owes that registrant one `on_queue_ready`. In nginx nobody is
/// ever woken.
#[derive(Debug, Default)]
pub(crate) struct SharedQueues {
    profile: Profile,
    ids: BTreeMap<(Vec<u8>, Vec<u8>), u32>,
    queues: BTreeMap<u32, Queue>,
    wakes: VecDeque<Wake>,
    lose_wakes: bool,
}

#[derive(Debug)]
struct Queue {
    registrant: u32,
    context: u32,
    items: VecDeque<Vec<u8>>,
}

/// An `on_queue_ready` that is still to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wake {
    /// Serial number of the VM.
    pub(crate) vm: u32,
    /// Root context to call.
    pub(crate) context: u32,
    /// The queue that has something.
    pub(crate) queue: u32,
}

impl SharedQueues {
    pub(crate) fn new(profile: Profile) -> Self {
        Self { profile, ..Self::default() }
    }

    /// Registers the queue and moves its wake-ups to this VM. What it holds
    /// stays.
    pub(crate) fn register(&mut self, vm_id: &[u8], name: &[u8], vm: u32, context: u32) -> u32 {
        let next = u32::try_from(self.ids.len()).unwrap_or(u32::MAX).saturating_add(1);
        let id = *self.ids.entry((vm_id.to_vec(), name.to_vec())).or_insert(next);
        let queue = self.queues.entry(id).or_insert_with(|| Queue {
            registrant: vm,
            context,
            items: VecDeque::new(),
        });
        queue.registrant = vm;
        queue.context = context;
        id
    }

    /// The queue that some VM with this `vm_id` registered under this name.
    pub(crate) fn resolve(&self, vm_id: &[u8], name: &[u8]) -> Result<u32, Status> {
        self.ids.get(&(vm_id.to_vec(), name.to_vec())).copied().ok_or(Status::NotFound)
    }

    pub(crate) fn enqueue(&mut self, id: u32, item: Vec<u8>) -> Result<(), Status> {
        let queue = self.queues.get_mut(&id).ok_or(Status::NotFound)?;
        queue.items.push_back(item);
        if !self.lose_wakes && self.profile == Profile::Envoy {
            let wake = Wake { vm: queue.registrant, context: queue.context, queue: id };
            self.wakes.push_back(wake);
        }
        Ok(())
    }

    pub(crate) fn dequeue(&mut self, id: u32) -> Result<Vec<u8>, Status> {
        self.queues.get_mut(&id).ok_or(Status::NotFound)?.items.pop_front().ok_or(Status::Empty)
    }

    /// Takes the oldest wake-up of this VM.
    pub(crate) fn take_wake(&mut self, vm: u32) -> Option<Wake> {
        let at = self.wakes.iter().position(|wake| wake.vm == vm)?;
        self.wakes.remove(at)
    }

    /// Forgets the wake-ups of a VM that is gone.
    pub(crate) fn forget_wakes_of(&mut self, vm: u32) {
        self.wakes.retain(|wake| wake.vm != vm);
    }

    /// From now on enqueues owe no wake-up, and those owed are forgotten.
    pub(crate) fn lose_wakes(&mut self, lose: bool) {
        self.lose_wakes = lose;
        if lose {
            self.wakes.clear();
        }
    }

    pub(crate) fn pending_wakes(&self) -> usize {
        self.wakes.len()
    }

    /// True when this VM is owed a wake-up.
    pub(crate) fn wakes(&self, vm: u32) -> bool {
        self.wakes.iter().any(|wake| wake.vm == vm)
    }

    /// The last VM is gone: what the queues held is lost.
    pub(crate) fn wipe(&mut self) {
        self.ids.clear();
        self.queues.clear();
        self.wakes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registering_again_keeps_the_queue_and_moves_its_wake_ups() {
        let mut queues = SharedQueues::default();
        let id = queues.register(b"vm", b"q", 1, 1);
        queues.enqueue(id, b"a".to_vec()).unwrap();
        assert_eq!(queues.register(b"vm", b"q", 2, 1), id);
        queues.enqueue(id, b"b".to_vec()).unwrap();
        assert!(queues.take_wake(1).is_some(), "the wake-up that was owed before");
        assert!(queues.take_wake(1).is_none());
        assert!(queues.take_wake(2).is_some());
        assert_eq!(queues.dequeue(id), Ok(b"a".to_vec()));
        assert_eq!(queues.dequeue(id), Ok(b"b".to_vec()));
        assert_eq!(queues.dequeue(id), Err(Status::Empty));
    }

    #[test]
    fn a_queue_is_of_its_vm_id() {
        let mut queues = SharedQueues::default();
        let id = queues.register(b"one", b"q", 1, 1);
        assert_eq!(queues.resolve(b"one", b"q"), Ok(id));
        assert_eq!(queues.resolve(b"two", b"q"), Err(Status::NotFound));
        assert_ne!(queues.register(b"two", b"q", 1, 1), id);
        assert_eq!(queues.enqueue(99, vec![]), Err(Status::NotFound));
        assert_eq!(queues.dequeue(99), Err(Status::NotFound));
    }
}
