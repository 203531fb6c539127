//! Push: every committed change, signed, to every connected proxy, and the
//! acknowledgements of their workers back.
//!
//! **Invariant.** Nothing is pushed before it is committed, everything committed
//! is pushed, and a stream carries no gap: its snapshot is at some revision and
//! its deltas are exactly those after it, in order.

mod acknowledgements;
mod connection;
mod departed;
mod hello;
mod nodes;
mod publisher;
mod ring;
mod service;
mod session;
mod snapshots;
mod timeline;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kya_core::{Position, Signer};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::store::{Committed, Store, StoreError};
use crate::telemetry::Metrics;
use crate::throttle::Throttle;
use crate::time::Clock;
use publisher::Publisher;
use ring::Ring;
use snapshots::Snapshots;
use timeline::Timeline;

pub use acknowledgements::{Acknowledged, Acknowledgements, Pending};
pub(crate) use connection::incoming;
pub use departed::Departed;
pub use nodes::{Applied, Node, Nodes, Proxy, Worker};
pub(crate) use service::grpc_server;

/// Bounds of the push side. The defaults are what the server runs with.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Signed updates kept in memory. A stream that falls further behind is
    /// closed, and begins again with a snapshot.
    pub ring: usize,
    /// Messages buffered for one stream.
    pub outbound: usize,
    /// How long a proxy may leave its buffer full before it is cut off.
    pub send_timeout: Duration,
    /// How long a new stream may stay silent.
    pub hello_timeout: Duration,
    /// Shortest time between two snapshots on one stream.
    pub snapshot_interval: Duration,
    /// Open connections of proxies.
    pub connections: usize,
    /// How long a connection may be without an open stream.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ring: 4096,
            outbound: 64,
            send_timeout: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(5),
            snapshot_interval: Duration::from_millis(200),
            connections: 10_000,
            idle_timeout: Duration::from_secs(10),
        }
    }
}

/// The push side of a control plane.
#[derive(Debug)]
pub struct Push {
    nodes: Arc<Nodes>,
    ring: Arc<Ring>,
    timeline: Arc<Timeline>,
    wake: Arc<Notify>,
    snapshots: Snapshots,
    /// Newest position that a snapshot carried. A snapshot can be ahead of the
    /// publisher for a moment.
    in_snapshots: Mutex<Position>,
    impossible: Throttle,
    limits: Limits,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Ends every stream.
    stop: CancellationToken,
}

impl Push {
    /// Starts the publisher, which ends with `stop`, as every stream does, and
    /// which must not end before.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        signer: Arc<Signer>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        limits: Limits,
        stop: CancellationToken,
    ) -> Result<(Arc<Self>, JoinHandle<()>), StoreError> {
        let head = store.head().await?.position;
        metrics.published(head.revision);
        let push = Arc::new(Self {
            nodes: Arc::new(Nodes::new(Arc::clone(&clock))),
            ring: Arc::new(Ring::new(head, limits.ring)),
            timeline: Arc::default(),
            wake: Arc::default(),
            snapshots: Snapshots::new(Arc::clone(&store), Arc::clone(&signer), Arc::clone(&clock)),
            in_snapshots: Mutex::default(),
            impossible: Throttle::new(Duration::from_secs(60)),
            limits,
            clock,
            metrics: Arc::clone(&metrics),
            stop: stop.clone(),
        });
        let publisher = Publisher {
            store,
            signer,
            metrics,
            ring: Arc::clone(&push.ring),
            timeline: Arc::clone(&push.timeline),
            wake: Arc::clone(&push.wake),
            clock: Arc::clone(&push.clock),
        };
        let publisher = tokio::spawn(publisher.run(stop));
        Ok((push, publisher))
    }

    /// To be called right after a commit: has it pushed.
    pub(crate) fn committed(&self, committed: Committed) {
        self.timeline.note(committed, (Instant::now(), self.clock.now()));
        self.wake.notify_one();
    }

    /// The open streams.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Position of the newest update that was handed to the streams.
    pub(crate) fn published(&self) -> Position {
        self.ring.newest()
    }

    /// The newest position that a proxy can have.
    fn newest_sent(&self) -> Position {
        let in_snapshots = *self.in_snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        in_snapshots.max(self.published())
    }

    /// Notes that a snapshot at this position is about to be sent.
    fn sends_snapshot(&self, position: Position) {
        let mut newest = self.in_snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = position.max(*newest);
    }

    /// How long ago the commit was.
    pub(crate) fn age(&self, committed: Committed) -> Duration {
        self.timeline.since(committed, (Instant::now(), self.clock.now()))
    }

    /// Waits until everything up to `position` was handed to the streams.
    pub(crate) async fn wait_published(&self, position: Position) {
        self.wake.notify_one();
        let reached = |newest: &Position| *newest >= position;
        // Fails only when the ring is gone, which this borrow excludes.
        let _ = self.ring.subscribe().wait_for(reached).await;
    }

    /// Who has applied `committed`, as soon as everybody has, and otherwise
    /// when `patience` is over or `hurry` is called.
    pub(crate) async fn acknowledgements(
        &self,
        committed: Committed,
        patience: Duration,
        hurry: &CancellationToken,
    ) -> Acknowledgements {
        let deadline = tokio::time::Instant::now() + patience;
        let mut changes = self.nodes.subscribe();
        loop {
            // Mark before looking, so that a change in between is not missed.
            changes.borrow_and_update();
            let found = Acknowledgements::look(committed, &self.nodes, &self.timeline);
            if found.complete() {
                return found;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return found },
                () = tokio::time::sleep_until(deadline) => return found,
                () = hurry.cancelled() => return found,
            }
        }
    }
}
