//! The one task of a server that appends to the trail. What waits is appended together:
//! one transaction, and one wait for the disk, for many batches of many proxies.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::group::{Done, Group, Signing, Work};
use super::shares::{Room, Share, Shares};
use crate::store::StoreError;
use crate::store::audit::AuditStore;
use crate::telemetry::{Metrics, Operation};
use crate::throttle::Throttle;
use crate::time::Clock;

/// Events of workers that wait to be appended, at most, and of one node and one node
/// registration. Whoever comes when there is no room is told to come again.
const WAITING: Room = Room { all: 65_536, registration: 32_768, node: 8192 };
/// Reports of workers that wait, at most.
const JOBS: usize = 4096;
/// Acts, rows of kills, and what else the control plane itself appends: it has room of its
/// own, which no proxy can take, and is appended first.
const OWN_WAITING: usize = 16_384;
const OWN_JOBS: usize = 4096;
/// Events of one transaction, at most about: the last piece of work may make it more.
/// No more, because a stop that is committed at the same time waits for the same disk.
const TOGETHER: usize = 4096;
/// Pieces of work of one transaction.
const JOBS_TOGETHER: usize = 256;
/// How long a trail that has grown is without a checkpoint.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

static WARNINGS: Throttle = Throttle::new(Duration::from_secs(1));

/// Events of one transaction, about: half as many after one that has failed, so that what is
/// too much for the database at once gets there in parts, and twice as many after one that
/// went well.
#[derive(Debug)]
pub(super) struct Pace(usize);

impl Default for Pace {
    fn default() -> Self {
        Self(TOGETHER)
    }
}

impl Pace {
    fn note(&mut self, well: bool) {
        let next = if well { self.0.saturating_mul(2) } else { self.0 / 2 };
        self.0 = next.clamp(1, TOGETHER);
    }
}

/// Something to append, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    work: Work,
    /// Events in it.
    weight: usize,
    reply: oneshot::Sender<Option<Done>>,
    _room: Held,
}

/// The room of a piece of work, until it is done.
#[derive(Debug)]
enum Held {
    Own { _permit: OwnedSemaphorePermit },
    Share { _share: Share },
}

/// Hands work to the writer.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    own: mpsc::Sender<Job>,
    reports: mpsc::Sender<Job>,
    own_room: Arc<Semaphore>,
    shares: Arc<Shares>,
}

/// Why something was not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// Too much waits.
    #[error("too many audit records wait to be appended")]
    Busy,
    /// Too much of this proxy waits.
    #[error(
        "too many audit records of this proxy, or of its node registration, wait to be appended"
    )]
    Share,
    /// The store failed, or the server is ending.
    #[error("the audit trail cannot be appended to now")]
    Unavailable,
}

/// Appends.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) store: Arc<dyn AuditStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) signing: Arc<Mutex<Option<Arc<Signing>>>>,
    pub(super) grown: watch::Sender<u64>,
    pub(super) jobs: Jobs,
    pub(super) pace: Pace,
}

/// What waits.
#[derive(Debug)]
pub(super) struct Jobs {
    own: mpsc::Receiver<Job>,
    reports: mpsc::Receiver<Job>,
}

/// A queue and its other end.
pub(super) fn queue() -> (Queue, Jobs) {
    let ((own, own_jobs), (reports, jobs)) = (mpsc::channel(OWN_JOBS), mpsc::channel(JOBS));
    let own_room = Arc::new(Semaphore::new(OWN_WAITING));
    let queue = Queue { own, reports, own_room, shares: Shares::new(WAITING) };
    (queue, Jobs { own: own_jobs, reports: jobs })
}

impl Queue {
    /// Has it appended, and says what became of it when it is on disk.
    pub(super) async fn append(&self, work: Work) -> Result<Done, NotAppended> {
        let weight = match &work {
            Work::Report(report) => report.events.len(),
            Work::Acts(_, events) => events.len(),
            Work::Entries(entries) => entries.len(),
            _ => 0,
        };
        let (jobs, _room) = match &work {
            Work::Report(report) => {
                let (registration, node) = (&report.registration, &report.source.node);
                let share = self.shares.take(registration, node, weight.max(1));
                (&self.reports, Held::Share { _share: share.ok_or(NotAppended::Share)? })
            }
            _ => {
                let permits = u32::try_from(weight.clamp(1, OWN_WAITING)).unwrap_or(1);
                let room = Arc::clone(&self.own_room).try_acquire_many_owned(permits);
                let _permit = room.map_err(|_| NotAppended::Busy)?;
                (&self.own, Held::Own { _permit })
            }
        };
        let (reply, told) = oneshot::channel();
        jobs.try_send(Job { work, weight, reply, _room }).map_err(|_| NotAppended::Busy)?;
        match told.await {
            Ok(Some(done)) => Ok(done),
            Ok(None) | Err(_) => Err(NotAppended::Unavailable),
        }
    }
}

impl Queue {
    /// How many events wait.
    pub(super) fn waiting(&self) -> usize {
        let own = OWN_WAITING.saturating_sub(self.own_room.available_permits());
        own.saturating_add(self.shares.held_now())
    }
}

impl Writer {
    /// Appends until nobody is left who could bring anything.
    pub(super) async fn run(mut self) {
        let mut beat = interval(CHECKPOINT_INTERVAL);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unsigned = true;
        loop {
            let first = tokio::select! {
                biased;
                _ = beat.tick() => {
                    if unsigned && self.signing().is_some() {
                        unsigned = !self.checkpoint().await;
                    }
                    continue;
                }
                job = self.jobs.own.recv() => match job {
                    Some(job) => job,
                    None => return,
                },
                Some(job) = self.jobs.reports.recv() => job,
            };
            let jobs = self.together(first);
            unsigned |= self.append(jobs).await;
        }
    }

    fn together(&mut self, first: Job) -> Vec<Job> {
        let (mut weight, mut jobs) = (first.weight, vec![first]);
        while weight < self.pace.0 && jobs.len() < JOBS_TOGETHER {
            let own = self.jobs.own.try_recv();
            let Ok(job) = own.or_else(|_| self.jobs.reports.try_recv()) else { break };
            weight += job.weight;
            jobs.push(job);
        }
        jobs
    }

    /// Returns whether the trail has grown without a checkpoint.
    async fn append(&mut self, jobs: Vec<Job>) -> bool {
        let work = jobs.iter().map(|job| job.work.clone()).collect();
        match self.write(work).await {
            Ok((done, unsigned)) => {
                self.pace.note(true);
                for (job, done) in jobs.into_iter().zip(done) {
                    // Whoever does not wait any more finds out when asking again.
                    let _ = job.reply.send(Some(done));
                }
                unsigned
            }
            // What is wrong may be one of them; the others need not suffer for it.
            Err(StoreError::Corrupt(_)) if jobs.len() > 1 => {
                let mut unsigned = false;
                for job in jobs {
                    let written = self.write(vec![job.work.clone()]).await;
                    let written = written.inspect_err(failed);
                    unsigned |= written.as_ref().is_ok_and(|(_, unsigned)| *unsigned);
                    let done = written.ok().and_then(|(done, _)| done.into_iter().next());
                    let _ = job.reply.send(done);
                }
                unsigned
            }
            Err(error) => {
                self.pace.note(false);
                failed(&error);
                for job in jobs {
                    let _ = job.reply.send(None);
                }
                true
            }
        }
    }

    /// Signs what is there, and says whether that went well.
    async fn checkpoint(&self) -> bool {
        let signed = self.write(vec![Work::Checkpoint]).await;
        signed.inspect_err(failed).is_ok_and(|(_, unsigned)| !unsigned)
    }

    async fn write(&self, work: Vec<Work>) -> Result<(Vec<Done>, bool), StoreError> {
        let began = Instant::now();
        let group = Arc::new(Group::new(work, self.signing(), self.clock.now()));
        let additions = self.store.append(Arc::clone(&group) as _).await;
        self.metrics.store.done(Operation::Append, began.elapsed(), additions.is_err());
        let additions = additions.inspect_err(|_| self.metrics.audit.append_failed())?;
        self.metrics.audit.appended(began.elapsed(), additions.head.size);
        for line in &additions.lines {
            self.metrics.audit.record(line);
            if line.kind == "kill_activated" {
                self.metrics.kills.opened();
            }
        }
        if !additions.lines.is_empty() {
            self.grown.send_replace(additions.head.size);
        }
        Ok((group.done(), additions.head.checkpoint.0 < additions.head.size))
    }

    fn signing(&self) -> Option<Arc<Signing>> {
        self.signing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn failed(error: &StoreError) {
    if WARNINGS.passes() {
        tracing::error!(%error, "cannot append to the audit trail");
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
