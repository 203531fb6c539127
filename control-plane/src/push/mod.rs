//! Push: every committed change, signed, to every connected proxy, and the
//! acknowledgements of their workers back.
//!
//! **Invariant.** Nothing is pushed before it is committed, everything committed
//! is pushed, and a stream carries no gap: it begins at some revision and its
//! deltas are exactly those after it, in order. What carries a nonce or the time
//! is sent after everything that was committed before the question or that time.

mod acknowledgements;
mod armed;
mod census;
mod challenges;
mod chunks;
mod connection;
mod departed;
mod hello;
mod images;
mod introspection;
mod issuer;
mod manifests;
mod nodes;
mod outbound;
mod proof;
mod publisher;
mod pull;
mod pulse;
mod reports;
mod ring;
mod service;
mod session;
mod signing;
mod speaker;
mod stops;
mod table;
mod timeline;
mod verify;
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use kya_core::{Position, PublicKey, wire};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::keys::SigningKeys;
use crate::rotation::KeyState;
use crate::store::{Committed, Issuer, Store, StoreError};
use crate::telemetry::Metrics;
use crate::throttle::Throttle;
use crate::time::Clock;
use challenges::Challenges;
use images::Images;
use issuer::KnownIssuer;
use manifests::Manifests;
use publisher::{Confirmed, Publisher};
use pulse::Pulse;
use ring::Ring;
use signing::Signing;
use stops::Stops;
use timeline::Timeline;

pub use acknowledgements::{Acknowledged, Acknowledgements, Pending};
pub use armed::{State, Verdict};
pub(crate) use census::{Census, behind};
pub use challenges::Answer;
pub(crate) use connection::incoming;
pub use departed::{Departed, Leaving};
pub use nodes::{Node, Nodes, Proxy, Transport};
pub use proof::{ChallengeError, Proof};
pub(crate) use pull::Refusal;
pub(crate) use service::grpc_server;
pub(crate) use verify::{Active, Counting, Presented, Question, Verified};
pub use worker::{Applied, Worker};

/// Bounds of the push side. The defaults are what the server runs with.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Signed updates kept in memory. A stream that falls further behind is
    /// closed, and begins again with a manifest.
    pub ring: usize,
    /// Images of all authority whose chunks can be fetched: the last so many that
    /// were different and that somebody wanted. What they have in common is there
    /// once.
    pub images: usize,
    /// Signed messages buffered for one stream.
    pub outbound: usize,
    /// How long a proxy may leave its buffer full before it is cut off.
    pub send_timeout: Duration,
    /// How long a new stream may stay silent.
    pub hello_timeout: Duration,
    /// Time between two heartbeats on one stream, and the longest time for which
    /// the store is not asked for what is new.
    pub heartbeat_interval: Duration,
    /// Shortest time between two manifests on one stream.
    pub manifest_interval: Duration,
    /// Probes that one stream may send within a second.
    pub probes: u32,
    /// Time between two challenges of each proxy. A proxy on a stream is armed
    /// only if each of its workers has answered one that is not older than twice
    /// that; one that pulls has twice `pull_patience`.
    pub challenge_interval: Duration,
    /// How long a worker of an armed proxy on a stream may lack a revision after
    /// its commit; one of a proxy that pulls may for `pull_patience`.
    pub armed_behind: Duration,
    /// How old the state of a worker of an armed proxy may be when it answers.
    pub armed_age: Duration,
    /// How long a proxy that pulls counts as connected after its last pull.
    pub pull_patience: Duration,
    /// How long a proxy that closed its connection itself is missing, though nothing says that
    /// it should be there: one that only lost its connection is back by then.
    pub back_within: Duration,
    /// Proxies that pull and have named workers.
    pub pulling: usize,
    /// Open connections of proxies.
    pub connections: usize,
    /// How long a connection may be without an open stream.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ring: 4096,
            images: 32,
            outbound: 64,
            send_timeout: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(1),
            manifest_interval: Duration::from_millis(200),
            probes: 10,
            challenge_interval: Duration::from_secs(10),
            armed_behind: Duration::from_secs(2),
            armed_age: Duration::from_secs(30),
            pull_patience: Duration::from_secs(90),
            back_within: Duration::from_secs(60),
            pulling: 10_000,
            connections: 10_000,
            idle_timeout: Duration::from_secs(10),
        }
    }
}

/// How long the store may take to say what is new.
const CONFIRM: Duration = Duration::from_secs(5);

/// The push side of a control plane.
#[derive(Debug)]
pub struct Push {
    nodes: Arc<Nodes>,
    ring: Arc<Ring>,
    timeline: Arc<Timeline>,
    wake: Arc<Notify>,
    images: Arc<Images>,
    issuer: Arc<KnownIssuer>,
    manifests: Manifests,
    signing: Signing,
    pulse: Arc<Pulse>,
    challenges: Arc<Challenges>,
    confirmed: Arc<watch::Sender<Option<Confirmed>>>,
    impossible: Throttle,
    limits: Limits,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Ends every stream.
    stop: CancellationToken,
}

impl Push {
    /// Starts the publisher, which signs as `keys` says, with the private keys in
    /// `files`, and follows what becomes of that. It ends with `stop`, as every stream does, and
    /// which must not end before.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        keys: &KeyState,
        files: SigningKeys,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        limits: Limits,
        stop: CancellationToken,
    ) -> Result<(Arc<Self>, JoinHandle<()>), StoreError> {
        let signer = files.find(keys.active).map_err(|error| StoreError::Keys(error.into()))?;
        let images = Images::load(&*store, clock.now(), limits.images).await?;
        let issuer = Arc::new(KnownIssuer::load(&*store).await?);
        let head = images.position();
        metrics.published(head.revision);
        let signing = Signing::after(
            Arc::new(signer),
            keys.chain.clone(),
            keys.revision(),
            Arc::clone(&clock),
        );
        let nodes = Arc::new(Nodes::new(Arc::clone(&clock), &limits));
        let ring = Arc::new(Ring::new(head, limits.ring));
        let challenges = Arc::new(Challenges {
            nodes: Arc::clone(&nodes),
            ring: Arc::clone(&ring),
            signing: signing.clone(),
            clock: Arc::clone(&clock),
            next: AtomicU64::new(0),
        });
        let push = Arc::new(Self {
            nodes,
            ring,
            challenges: Arc::clone(&challenges),
            timeline: Arc::default(),
            wake: Arc::default(),
            manifests: Manifests::new(Arc::clone(&images), signing.clone()),
            pulse: Arc::new(Pulse::new(signing.clone())),
            confirmed: Arc::default(),
            images,
            issuer: Arc::clone(&issuer),
            signing,
            impossible: Throttle::new(Duration::from_secs(60)),
            limits,
            clock,
            metrics: Arc::clone(&metrics),
            stop: stop.clone(),
        });
        let stops = Stops {
            store: Arc::clone(&store),
            nodes: Arc::clone(&push.nodes),
            timeline: Arc::clone(&push.timeline),
            metrics: Arc::clone(&metrics),
            published: push.ring.subscribe(),
            limits: push.limits.clone(),
        };
        let publisher = Publisher {
            store,
            metrics,
            signing: push.signing.clone(),
            files,
            ring: Arc::clone(&push.ring),
            images: Arc::clone(&push.images),
            issuer,
            pulse: Arc::clone(&push.pulse),
            confirmed: Arc::clone(&push.confirmed),
            timeline: Arc::clone(&push.timeline),
            wake: Arc::clone(&push.wake),
            clock: Arc::clone(&push.clock),
            heartbeat: push.limits.heartbeat_interval,
        };
        let images = Arc::clone(&push.images);
        let beat = push.limits.challenge_interval;
        let publisher = tokio::spawn(async move {
            tokio::select! {
                () = publisher.run(stop) => {}
                () = images.maintain() => {}
                () = stops.run() => {}
                () = challenges.run(beat) => {}
            }
        });
        Ok((push, publisher))
    }

    /// To be called right after a commit: has it pushed.
    pub(crate) fn committed(&self, committed: Committed) {
        self.timeline.note(committed, (Instant::now(), self.clock.now()));
        self.wake.notify_one();
    }

    /// The issuer of capability tokens and its keys, without a look at the store.
    pub(crate) fn issuer(&self) -> Arc<Issuer> {
        self.issuer.get()
    }

    /// To be called with what a change has made of the issuer.
    pub(crate) fn issuer_changed(&self, issuer: Issuer) {
        self.issuer.note(issuer);
    }

    /// The open streams.
    pub fn nodes(&self) -> &Arc<Nodes> {
        &self.nodes
    }

    /// The key that signs.
    pub(crate) fn signing_key(&self) -> PublicKey {
        self.signing.public_key()
    }

    /// Position of the newest update that was handed to the streams.
    pub(crate) fn published(&self) -> Position {
        self.ring.newest()
    }

    /// Follows [`Push::published`].
    pub(crate) fn positions(&self) -> watch::Receiver<Position> {
        self.ring.subscribe()
    }

    /// Says to a worker how much of what it has reported is in the trail.
    pub(crate) fn audit_receipt(
        &self,
        node_id: String,
        instance: u64,
        next: u64,
    ) -> wire::SignedUpdate {
        self.signing.audit_receipt(self.ring.newest(), node_id, instance, next)
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

    /// Whether everything that is committed is handed to the streams, as of a short while ago.
    pub(crate) fn publishes(&self) -> bool {
        let patience = CONFIRM.max(self.limits.heartbeat_interval.saturating_mul(3));
        self.confirmed().is_some_and(|confirmed| confirmed.began.elapsed() <= patience)
    }

    /// The last time that the store was seen to hold nothing newer.
    fn confirmed(&self) -> Option<Confirmed> {
        *self.confirmed.borrow()
    }

    /// Waits until everything that is committed now was handed to the streams.
    /// Whoever waits at the same time shares one look at the store.
    async fn confirm(&self) -> Result<(), Status> {
        let asked = Instant::now();
        let mut confirmed = self.confirmed.subscribe();
        self.wake.notify_one();
        let recent = |it: &Option<Confirmed>| it.is_some_and(|it| it.began >= asked);
        let waited = tokio::time::timeout(CONFIRM, confirmed.wait_for(recent)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Status::unavailable("the store does not say what is new; see the log")),
        }
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
