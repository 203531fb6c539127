//! The connected proxies, what each of their workers says it has applied, and
//! the proxies that are connected no more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kya_core::{Position, Revision, wire};
use thiserror::Error;
use tokio::sync::watch;

use super::Limits;
use super::challenges::{Asked, Challenge};
use super::connection::StreamEnd;
use super::departed::Departed;
pub(super) use super::table::Key;
use super::table::Open;
use super::worker::{Applied, Worker};
use crate::nodes::NodeName;
use crate::time::{Clock, UnixMicros};

/// Workers of one proxy.
pub(super) const MAX_WORKERS: usize = 128;

/// How a proxy is told what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// It holds a stream open.
    Stream,
    /// It asks over HTTP, now and then.
    Pull,
}

impl Transport {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stream, Self::Pull];

    /// In lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Pull => "pull",
        }
    }
}

/// Who opened a stream, or pulls.
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
    /// Whether that registration is for this proxy and no other.
    pub is_named: bool,
    /// SHA-256 of the filter's configuration without its secrets, if it said so.
    pub configuration_hash: Option<[u8; 32]>,
    /// How it is told.
    pub transport: Transport,
    /// Where the connection comes from, or the latest one.
    pub peer: SocketAddr,
    /// When the stream began, or the first pull.
    pub connected_at: UnixMicros,
}

/// A proxy that is connected: its stream is open, or it has pulled a short while
/// ago.
#[derive(Debug, Clone)]
pub struct Node {
    /// Who it is.
    pub proxy: Proxy,
    /// Its workers by slot.
    pub workers: BTreeMap<u32, Worker>,
    /// When it last reported or pulled, or began, on both clocks.
    pub last_seen: (Instant, UnixMicros),
    /// How far its wall clock is ahead of this one, in milliseconds, as it says
    /// with its reports.
    pub clock_ahead_millis: Option<i64>,
    /// What it was asked to show.
    pub(super) asked: Asked,
}

/// Why a report was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum ReportError {
    #[error("a proxy has at most {MAX_WORKERS} workers, this report makes it {0}")]
    TooManyWorkers(usize),
    #[error("slot {0} is in the report twice")]
    SlotTwice(u32),
}

/// As many proxies pull as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} proxies pull and have named workers, which is as many as there may be")]
pub(super) struct TooManyProxies(usize);

/// What a report said that was new.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The revisions that workers moved to, as opposed to those at which they
    /// were first heard of.
    pub(super) moved: Vec<Revision>,
    /// What cannot be: slots, and positions that nobody was ever sent.
    pub(super) impossible: Vec<(u32, Position)>,
    /// Challenges that every worker has answered by now.
    pub(super) answered: usize,
}

/// Every connected proxy.
#[derive(Debug)]
pub struct Nodes {
    open: Mutex<Open>,
    clock: Arc<dyn Clock>,
    /// How long a proxy that pulls is connected after its last pull.
    patience: Duration,
    /// How long one that closed its connection is waited for.
    back_within: Duration,
    /// Proxies that pull.
    most_pulling: usize,
    /// Counts changes, so that one can be waited for.
    changes: watch::Sender<u64>,
}

/// Keeps a node in the table for as long as its stream is open.
#[derive(Debug)]
pub(super) struct Connected {
    nodes: Arc<Nodes>,
    key: Key,
    end: StreamEnd,
}

impl Nodes {
    pub(super) fn new(clock: Arc<dyn Clock>, limits: &Limits) -> Self {
        Self {
            open: Mutex::default(),
            clock,
            patience: limits.pull_patience,
            back_within: limits.back_within,
            most_pulling: limits.pulling,
            changes: watch::Sender::default(),
        }
    }

    /// Enters a stream into the table, whose end says how it came when it has. A proxy that
    /// pulled until now does not count twice.
    pub(super) fn connect(self: &Arc<Self>, proxy: Proxy, end: StreamEnd) -> Connected {
        let now = self.now();
        let mut open = self.open();
        open.nodes.retain(|_, node| {
            node.proxy.transport == Transport::Stream || node.proxy.node_id != proxy.node_id
        });
        let key = open.enter(proxy, now);
        drop(open);
        self.changed();
        Connected { nodes: Arc::clone(self), key, end }
    }

    /// Nobody can come back by this registration: who left by it is not waited for.
    pub(crate) fn end_registration(&self, name: &NodeName) {
        self.open().departed.end_registration(name);
    }

    /// Where a proxy that pulls, and names workers, is in the table from now on,
    /// until it has not pulled for a while. If these are workers of an open
    /// stream, it is that: the proxy is one and the same.
    pub(super) fn pulled(
        &self,
        proxy: Proxy,
        report: &wire::WorkerReport,
    ) -> Result<Key, TooManyProxies> {
        let now = self.now();
        let mut open = self.open();
        open.expire(now, self.patience);
        let same_vm = |node: &Node| {
            let named = |worker: &Worker| {
                report.workers.iter().any(|state| state.instance == worker.instance)
            };
            node.workers.values().any(named)
        };
        let mut namesakes =
            open.nodes.iter_mut().filter(|(_, node)| node.proxy.node_id == proxy.node_id);
        let known = namesakes.find(|(_, node)| match node.proxy.transport {
            Transport::Stream => same_vm(node),
            Transport::Pull => true,
        });
        if let Some((key, node)) = known {
            if node.proxy.transport == Transport::Pull {
                let connected_at = node.proxy.connected_at;
                node.proxy = Proxy { connected_at, ..proxy };
            }
            node.last_seen = now;
            return Ok(*key);
        }
        let pulls = |node: &&Node| node.proxy.transport == Transport::Pull;
        let pulling = open.nodes.values().filter(pulls).count();
        if pulling >= self.most_pulling {
            return Err(TooManyProxies(pulling));
        }
        Ok(open.enter(proxy, now))
    }

    /// Every connected proxy, in the order in which they connected, and those that
    /// were connected and are not now, in the order in which they left.
    pub fn list(&self) -> (Vec<Node>, Vec<Departed>) {
        self.inspect(|nodes, departed| (nodes.cloned().collect(), departed))
    }

    /// How many proxies are connected and how many workers they have.
    pub fn count(&self) -> (usize, usize) {
        self.inspect(|nodes, _| {
            nodes.fold((0, 0), |(proxies, workers), node| {
                (proxies + 1, workers + node.workers.len())
            })
        })
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
        self.inspect_keyed(|nodes, departed| look(&mut nodes.map(|(_, node)| node), departed))
    }

    /// The same with the place of each in the table.
    pub(super) fn inspect_keyed<T>(
        &self,
        look: impl FnOnce(&mut dyn Iterator<Item = (Key, &Node)>, Vec<Departed>) -> T,
    ) -> T {
        let now = self.now();
        let mut open = self.open();
        open.expire(now, self.patience);
        let departed = open.departed.list(now.0, self.back_within);
        look(&mut open.nodes.iter().map(|(key, node)| (*key, node)), departed)
    }

    /// Takes a report, or refuses it whole. `newest` is the newest position that
    /// any proxy can have. A worker that reports a later one has proved nothing:
    /// what it said before still holds, and it is pending for the rest.
    pub(super) fn report(
        &self,
        key: Key,
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
        let mut open = self.open();
        open.forget_pulls_of(key);
        let Some(node) = open.nodes.get_mut(&key) else { return Ok(Taken::default()) };
        let kept = match report.complete {
            true => 0,
            false => node.workers.keys().filter(|slot| !slots.contains_key(slot)).count(),
        };
        let workers = kept.saturating_add(slots.len());
        if workers > MAX_WORKERS {
            return Err(ReportError::TooManyWorkers(workers));
        }
        node.last_seen = arrived;
        node.clock_ahead_millis = Some(report.clock_ahead_millis);
        if report.complete {
            node.workers.retain(|slot, _| slots.contains_key(slot));
        }
        let mut taken = Taken::default();
        for (slot, state) in slots {
            let worker = node.workers.entry(slot).or_insert_with(|| Worker::new(state.instance));
            if worker.instance != state.instance {
                *worker = Worker::new(state.instance);
            }
            worker.says(state);
            let position = Position { epoch: state.epoch, revision: Revision(state.revision) };
            if position > newest {
                taken.impossible.push((slot, position));
                worker.answer = None;
                continue;
            }
            let applied_unix_nanos = state.applied_unix_nanos;
            let applied = Applied { position, applied_unix_nanos, arrived };
            if worker.applied(applied) {
                taken.moved.push(position.revision);
            }
            if let Some(challenge) = node.asked.by_word(state.challenge) {
                worker.answered(&challenge, &applied);
            }
        }
        taken.answered = node.settle();
        drop(open);
        self.changed();
        Ok(taken)
    }

    /// Has each of the proxies that `whom` picks challenged, and says which
    /// those are.
    pub(super) fn ask(
        &self,
        challenge: &Arc<Challenge>,
        whom: impl Fn(Key, &Node) -> bool,
    ) -> Vec<Key> {
        let now = self.now();
        let mut open = self.open();
        open.expire(now, self.patience);
        let asked = open.nodes.iter().filter(|(key, node)| whom(**key, node));
        asked.inspect(|(_, node)| node.asked.ask(challenge)).map(|(key, _)| *key).collect()
    }

    /// How a proxy is told, if it is there still.
    pub(super) fn transport(&self, key: Key) -> Option<Transport> {
        self.open().nodes.get(&key).map(|node| node.proxy.transport)
    }

    /// The challenge that a proxy is to be sent now, if there is one, and how many
    /// earlier ones it has not answered within `patience`.
    pub(super) fn send_challenge(
        &self,
        key: Key,
        patience: impl Fn(Transport) -> Duration,
    ) -> Option<(Arc<Challenge>, usize)> {
        let mut open = self.open();
        let node = open.nodes.get_mut(&key)?;
        node.asked.send(patience(node.proxy.transport))
    }

    fn now(&self) -> (Instant, UnixMicros) {
        (Instant::now(), self.clock.now())
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing that holds the lock can leave the table half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Settles the challenges that every worker has answered.
    fn settle(&mut self) -> usize {
        let answers = self.workers.values().map(|worker| Some(worker.answer.as_ref()?.number));
        answers.min().flatten().map_or(0, |number| self.asked.settle(number))
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

    /// Changes when there is a challenge to send.
    pub(super) fn challenges(&self) -> watch::Receiver<Option<Arc<Challenge>>> {
        let open = self.nodes.open();
        // It is there until this is dropped.
        open.nodes
            .get(&self.key)
            .map(|node| node.asked.subscribe())
            .unwrap_or_else(|| watch::channel(None).1)
    }

    /// Where it is in the table.
    pub(super) fn key(&self) -> Key {
        self.key
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let now = self.nodes.now();
        let mut open = self.nodes.open();
        if let Some(Node { proxy, .. }) = open.nodes.remove(&self.key) {
            open.leave(proxy, self.end.how(), now);
        }
        drop(open);
        self.nodes.changed();
    }
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
