//! The connected proxies, what each of their workers says it has applied, and
//! the proxies that are connected no more.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kya_core::{Position, Revision, wire};
use thiserror::Error;
use tokio::sync::watch;

use super::departed::{Departed, DepartedList};
use crate::nodes::NodeName;
use crate::time::{Clock, UnixMicros};

/// Workers of one proxy.
pub(super) const MAX_WORKERS: usize = 128;
/// Positions remembered for each worker, newest last.
const HISTORY: usize = 64;

/// Who opened a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Envoy's `node.id`. Two streams may have the same.
    pub node_id: String,
    /// Envoy's `node.cluster`.
    pub cluster: String,
    /// Version of the filter.
    pub filter_version: String,
    /// By which node registration it was let in.
    pub registration: NodeName,
    /// Where the connection comes from.
    pub peer: SocketAddr,
    /// When the stream began.
    pub connected_at: UnixMicros,
}

/// A stream that is open now.
#[derive(Debug, Clone)]
pub struct Node {
    /// Who opened it.
    pub proxy: Proxy,
    /// Its workers by slot.
    pub workers: BTreeMap<u32, Worker>,
}

/// A worker of a proxy.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Random identity of the VM that holds the slot.
    pub instance: u64,
    history: VecDeque<Applied>,
}

/// A position that a worker has said it decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The position.
    pub position: Position,
    /// When it applied it, by the proxy's clock, in nanoseconds since 1970.
    pub applied_unix_nanos: u64,
    /// When that was heard here, on the monotonic and on the wall clock.
    pub arrived: (Instant, UnixMicros),
}

/// Why a report was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum ReportError {
    #[error("a proxy has at most {MAX_WORKERS} workers, this report makes it {0}")]
    TooManyWorkers(usize),
    #[error("slot {0} is in the report twice")]
    SlotTwice(u32),
}

/// What a report said that was new.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The revisions that workers moved to, as opposed to those at which they
    /// were first heard of.
    pub(super) moved: Vec<Revision>,
    /// What cannot be: slots, and positions that nobody was ever sent.
    pub(super) impossible: Vec<(u32, Position)>,
}

/// Every open stream.
#[derive(Debug)]
pub struct Nodes {
    open: Mutex<Open>,
    clock: Arc<dyn Clock>,
    /// Counts changes, so that one can be waited for.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    nodes: BTreeMap<u64, Node>,
    departed: DepartedList,
}

/// Keeps a node in the table for as long as its stream is open.
#[derive(Debug)]
pub(super) struct Connected {
    nodes: Arc<Nodes>,
    key: u64,
}

impl Nodes {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { open: Mutex::default(), clock, changes: watch::Sender::default() }
    }

    /// Enters a stream into the table.
    pub(super) fn connect(self: &Arc<Self>, proxy: Proxy) -> Connected {
        let mut open = self.open();
        let key = open.next;
        open.next = open.next.wrapping_add(1);
        open.departed.is_back(&proxy.node_id);
        open.nodes.insert(key, Node { proxy, workers: BTreeMap::new() });
        drop(open);
        self.changed();
        Connected { nodes: Arc::clone(self), key }
    }

    /// Every open stream, in the order in which they were opened, and the
    /// proxies that had one and have none now, in the order in which they left.
    pub fn list(&self) -> (Vec<Node>, Vec<Departed>) {
        self.inspect(|nodes, departed| (nodes.cloned().collect(), departed))
    }

    /// How many streams are open and how many workers they have.
    pub fn count(&self) -> (usize, usize) {
        let open = self.open();
        (open.nodes.len(), open.nodes.values().map(|node| node.workers.len()).sum())
    }

    /// Changes whenever a stream opens or closes and whenever a worker reports.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Looks at the whole table at one moment, without copying the streams.
    pub(super) fn inspect<T>(
        &self,
        look: impl FnOnce(&mut dyn Iterator<Item = &Node>, Vec<Departed>) -> T,
    ) -> T {
        let open = self.open();
        look(&mut open.nodes.values(), open.departed.list(Instant::now()))
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing that holds the lock can leave the table half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected {
    /// Where another stream comes from that had this one's `node.id` before it,
    /// and is open still.
    pub(super) fn older_namesake(&self) -> Option<SocketAddr> {
        let open = self.nodes.open();
        let own = open.nodes.get(&self.key)?;
        let mut older = open.nodes.range(..self.key).map(|(_, node)| &node.proxy);
        older.find(|proxy| proxy.node_id == own.proxy.node_id).map(|proxy| proxy.peer)
    }

    /// Takes a report, or refuses it whole. `newest` is the newest position that
    /// any proxy can have. A worker that reports a later one has proved nothing:
    /// what it said before still holds, and it is pending for the rest.
    pub(super) fn report(
        &self,
        report: &wire::WorkerReport,
        newest: Position,
        arrived: (Instant, UnixMicros),
    ) -> Result<Taken, ReportError> {
        let mut slots = BTreeMap::new();
        for state in &report.workers {
            if slots.insert(state.slot, state).is_some() {
                return Err(ReportError::SlotTwice(state.slot));
            }
        }
        let mut open = self.nodes.open();
        let Some(node) = open.nodes.get_mut(&self.key) else { return Ok(Taken::default()) };
        let kept = match report.complete {
            true => 0,
            false => node.workers.keys().filter(|slot| !slots.contains_key(slot)).count(),
        };
        let workers = kept.saturating_add(slots.len());
        if workers > MAX_WORKERS {
            return Err(ReportError::TooManyWorkers(workers));
        }
        if report.complete {
            node.workers.retain(|slot, _| slots.contains_key(slot));
        }
        let mut taken = Taken::default();
        for (slot, state) in slots {
            let worker = node.workers.entry(slot).or_insert_with(|| Worker::new(state.instance));
            if worker.instance != state.instance {
                *worker = Worker::new(state.instance);
            }
            let position = Position { epoch: state.epoch, revision: Revision(state.revision) };
            if position > newest {
                taken.impossible.push((slot, position));
                continue;
            }
            let applied_unix_nanos = state.applied_unix_nanos;
            if worker.applied(Applied { position, applied_unix_nanos, arrived }) {
                taken.moved.push(position.revision);
            }
        }
        drop(open);
        self.nodes.changed();
        Ok(taken)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let now = (Instant::now(), self.nodes.clock.now());
        let mut open = self.nodes.open();
        if let Some(Node { proxy, .. }) = open.nodes.remove(&self.key)
            && !open.nodes.values().any(|node| node.proxy.node_id == proxy.node_id)
        {
            open.departed.left(proxy.node_id, now);
        }
        drop(open);
        self.nodes.changed();
    }
}

impl Worker {
    fn new(instance: u64) -> Self {
        Self { instance, history: VecDeque::new() }
    }

    /// True when it moved on from an earlier position.
    fn applied(&mut self, applied: Applied) -> bool {
        match self.history.back() {
            Some(last) if last.position == applied.position => return false,
            // It went back, so what it said before no longer holds.
            Some(last) if last.position > applied.position => self.history.clear(),
            _ => {}
        }
        let moved = !self.history.is_empty();
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(applied);
        moved
    }

    /// What it decides by now. `None` if it has not said anything that can be.
    pub fn newest(&self) -> Option<Applied> {
        self.history.back().copied()
    }

    /// The first report by which it had applied `position`. A position in a later
    /// epoch is a later one, whatever its revision.
    pub(super) fn acknowledged(&self, position: Position) -> Option<Applied> {
        let reached = |applied: &&Applied| applied.position >= position;
        self.newest().as_ref().filter(reached)?;
        self.history.iter().find(reached).copied()
    }
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
