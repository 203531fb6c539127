//! The audit trail: what proxies report and what operators do, in one order, chained,
//! in a Merkle tree, and signed.
//!
//! **Invariant.** What is acknowledged to a worker is in the trail, durably, and each of
//! its events is there exactly once; what is missing is named by a record. What operators
//! do is appended from the registry's own log, once, in order. Nobody but the one
//! [writer](writer) of each server appends, and the store gives the writers of all
//! servers one order.

mod acts;
mod anchor;
mod archive;
mod columns;
mod edge;
mod export;
mod group;
mod keys;
pub(crate) mod kills;
mod lateness;
mod metrics;
mod newest;
mod outbox;
mod pieces;
mod receipts;
mod refusal;
mod report;
mod restored;
pub(crate) mod shares;
mod signing;
mod silence;
mod tokens;
mod tree;
mod workers;
mod writer;
mod writing;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use kya_core::audit::event::Batch;
use kya_core::audit::{Entry, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::AuditConfig;
use crate::fetch::{FetchError, Fetcher};
use crate::push::Push;
use crate::store::audit::AuditStore;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use crate::time::Clock;
use anchor::Remote;
use group::{Done, Signing, Work};
use newest::Newest;
use report::Report;
use shares::Shares;
use tokens::TokenNames;
use writer::{Queue, Writer};

pub use archive::ArchiveRefused;
pub(crate) use edge::Edge;
pub(crate) use export::Export;
pub use export::{ExportFailed, Format, Wanted};
pub use keys::AuditKeys;
pub(crate) use lateness::Lateness;
pub(crate) use metrics::AuditMetrics;
pub use outbox::Stuck;
pub use receipts::NoReceipt;
pub use refusal::{MAX_WORKERS, NotTaken};
pub(crate) use restored::note_restored;
pub use signing::{Because, RotationError};
pub use tree::TreeError;
pub use writer::NotAppended;

/// The audit trail of a control plane.
#[derive(Debug)]
pub struct Trail {
    store: Arc<dyn AuditStore>,
    registry: Arc<dyn Store>,
    keys: AuditKeys,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    queue: Queue,
    tokens: TokenNames,
    /// Turns of those who write records. Half of the processors are left to stops.
    preparing: Semaphore,
    newest: Newest,
    signing: Arc<Mutex<Option<Arc<Signing>>>>,
    /// Number of the newest record that this server knows of.
    grown: watch::Receiver<u64>,
    /// Batches that are being read, and exports that are being written.
    pub(crate) reading: Arc<Shares>,
    pub(crate) exports: Arc<Shares>,
    /// The proxies of this server, once it follows them.
    push: OnceLock<Arc<Push>>,
}

/// How long a worker may be seen by no server, and how often it is looked.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long.
    pub silence: Duration,
    /// How often.
    pub look: Duration,
    /// How long after a kill it is closed, whatever is still not known of it.
    pub kill: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: silence::PATIENCE, look: silence::BEAT, kill: kills::BOUND }
    }
}

impl Trail {
    /// Opens the trail, names its first key if it is new, and starts its writer, which
    /// ends when the trail is dropped.
    ///
    /// # Errors
    /// When the store or a key cannot be used.
    pub async fn start(
        store: Arc<dyn AuditStore>,
        registry: Arc<dyn Store>,
        keys: AuditKeys,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<(Arc<Self>, JoinHandle<()>), StoreError> {
        let size = store.head().await?.size;
        let (queue, jobs) = writer::queue();
        let signing = Arc::new(Mutex::new(None));
        let (tell, grown) = watch::channel(size);
        let writer = Writer {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            signing: Arc::clone(&signing),
            grown: tell,
            jobs,
            pace: writer::Pace::default(),
        };
        let writer = tokio::spawn(writer.run());
        let (tokens, newest) = (TokenNames::default(), Newest::default());
        let push = OnceLock::new();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let preparing = Semaphore::new(processors.div_ceil(2));
        let trail = Self {
            store,
            registry,
            keys,
            clock,
            metrics,
            queue,
            tokens,
            preparing,
            newest,
            signing,
            grown,
            reading: Shares::new(shares::BATCHES),
            exports: Shares::new(shares::EXPORTS),
            push,
        };
        trail.find_key().await?;
        let _ = trail.queue.append(Work::Checkpoint).await;
        Ok((Arc::new(trail), writer))
    }

    /// Follows the registry and the proxies, and writes checkpoints to where they are to be
    /// besides, until `stop`.
    ///
    /// # Errors
    /// When TLS cannot be set up for an address that they go to.
    pub(crate) fn follow(
        self: &Arc<Self>,
        push: &Arc<Push>,
        patience: Patience,
        config: AuditConfig,
        stop: &CancellationToken,
    ) -> Result<(), FetchError> {
        if let Some(file) = config.anchor_file {
            let anchors = anchor::follow(Arc::clone(self), file);
            tokio::spawn(stop.clone().run_until_cancelled_owned(anchors));
        }
        if let Some(url) = config.anchor_url {
            let anchors = Remote::new(url, Fetcher::new(None)?).follow(Arc::clone(self));
            tokio::spawn(stop.clone().run_until_cancelled_owned(anchors));
        }
        let _ = self.push.set(Arc::clone(push));
        let kills = kills::follow(Arc::clone(self), patience.kill);
        tokio::spawn(stop.clone().run_until_cancelled_owned(kills));
        let acts = outbox::follow(Arc::clone(self), Arc::clone(push));
        tokio::spawn(stop.clone().run_until_cancelled_owned(acts));
        let Patience { silence, look, .. } = patience;
        let gone = silence::watch(Arc::clone(self), Arc::clone(push), silence, look);
        tokio::spawn(stop.clone().run_until_cancelled_owned(gone));
        let archived = archive::remove(Arc::clone(self));
        tokio::spawn(stop.clone().run_until_cancelled_owned(archived));
        let late = lateness::follow(Arc::clone(self));
        tokio::spawn(stop.clone().run_until_cancelled_owned(late));
        let keys = signing::follow(Arc::clone(self));
        tokio::spawn(stop.clone().run_until_cancelled_owned(keys));
        Ok(())
    }

    /// Appends what a worker has reported by the credential of this node registration, as
    /// far as it is not there yet, and returns the number that is expected next.
    ///
    /// # Errors
    /// When too much waits or the store fails: the worker sends it again. When it could not
    /// have come from this worker.
    pub async fn report(&self, registration: &str, batch: Batch) -> Result<u64, NotTaken> {
        self.newest.admits(&batch, &*self.registry).await?;
        let tokens = self.tokens.of(&batch, &*self.registry, self.clock.now()).await;
        let turn = self.preparing.acquire().await.map_err(|_| NotAppended::Unavailable)?;
        let registration = registration.to_owned();
        // To write a thousand records is nothing for a thread that answers others, too.
        let report =
            tokio::task::spawn_blocking(move || Report::new(&registration, batch, &tokens));
        let report = report.await.map_err(|_| NotAppended::Unavailable)?;
        drop(turn);
        match self.queue.append(Work::Report(Arc::new(report))).await? {
            Done::Next(next) => Ok(next),
            Done::NotTaken(refusal) => Err(refusal),
            _ => Err(NotAppended::Unavailable.into()),
        }
    }

    /// Appends records of the control plane's own, and returns the number of the last.
    ///
    /// # Errors
    /// When too much waits or the store fails.
    pub async fn add(&self, entries: Vec<(Timestamp, Entry)>) -> Result<u64, NotAppended> {
        match self.queue.append(Work::Entries(Arc::new(entries))).await? {
            Done::At(seq) => Ok(seq),
            _ => Err(NotAppended::Unavailable),
        }
    }

    /// Notes for the metrics how much waits to be appended.
    pub(crate) fn note_waiting(&self) {
        self.metrics.audit.waiting(self.queue.waiting());
    }

    /// Where the trail is kept.
    pub fn store(&self) -> &Arc<dyn AuditStore> {
        &self.store
    }

    /// Whether the key that signs checkpoints is here.
    pub fn signs_here(&self) -> bool {
        self.signing.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Number of the newest record that this server knows of, as it grows.
    pub fn grown(&self) -> watch::Receiver<u64> {
        self.grown.clone()
    }

    /// Appends what was done until now, and signs the whole: before the end of a server.
    pub async fn finish(&self) {
        if !outbox::finish(self).await {
            tracing::warn!("what was done last is appended to the audit trail at the next start");
        }
        let _ = self.queue.append(Work::Checkpoint).await;
    }
}
