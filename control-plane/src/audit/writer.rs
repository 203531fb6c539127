//! The one task of a server that appends to the trail. What waits is appended together:
//! one transaction, and one wait for the disk, for many batches of many proxies.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::group::{Done, Group, Signing, Work};
use crate::store::StoreError;
use crate::store::audit::AuditStore;
use crate::telemetry::Metrics;
use crate::throttle::Throttle;
use crate::time::Clock;

/// Events that wait to be appended, at most. Whoever comes when there is no room is told
/// to come again.
const WAITING: usize = 65_536;
/// Pieces of work that wait, at most.
const JOBS: usize = 4096;
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
    _room: OwnedSemaphorePermit,
}

/// Hands work to the writer.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// Why something was not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// Too much waits.
    #[error("too many audit records wait to be appended")]
    Busy,
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
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) pace: Pace,
}

/// A queue and its other end.
pub(super) fn queue(metrics: Arc<Metrics>) -> (Queue, mpsc::Receiver<Job>) {
    let (jobs, waiting) = mpsc::channel(JOBS);
    (Queue { jobs, room: Arc::new(Semaphore::new(WAITING)), metrics }, waiting)
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
        let permits = u32::try_from(weight.clamp(1, WAITING)).unwrap_or(1);
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits);
        let _room = room.map_err(|_| NotAppended::Busy)?;
        let (reply, told) = oneshot::channel();
        self.jobs.try_send(Job { work, weight, reply, _room }).map_err(|_| NotAppended::Busy)?;
        let waiting = WAITING.saturating_sub(self.room.available_permits());
        self.metrics.audit.waiting(waiting);
        match told.await {
            Ok(Some(done)) => Ok(done),
            Ok(None) | Err(_) => Err(NotAppended::Unavailable),
        }
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
                job = self.jobs.recv() => match job {
                    Some(job) => job,
                    None => return,
                },
                _ = beat.tick() => {
                    if unsigned && self.signing().is_some() {
                        unsigned = !self.checkpoint().await;
                    }
                    continue;
                }
            };
            let jobs = self.together(first);
            unsigned |= self.append(jobs).await;
        }
    }

    fn together(&mut self, first: Job) -> Vec<Job> {
        let (mut weight, mut jobs) = (first.weight, vec![first]);
        while weight < self.pace.0 && jobs.len() < JOBS_TOGETHER {
            let Ok(job) = self.jobs.try_recv() else { break };
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
        let additions = self.store.append(Arc::clone(&group) as _).await?;
        self.metrics.audit.appended(began.elapsed(), additions.head.size);
        for line in &additions.lines {
            self.metrics.audit.record(line.kind);
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
mod tests {
    use kya_core::audit::{Entry, Restored};

    use super::*;
    use crate::store::audit::SqliteAuditStore;
    use crate::time::SystemClock;

    /// Of so many records.
    fn work(records: usize) -> Work {
        let restored = Entry::Restored(Restored {
            event: 1,
            known: 2,
            epoch: 3,
            replaced_size: None,
            trail_size: None,
        });
        Work::Entries(Arc::new(vec![(kya_core::audit::Timestamp(5), restored); records]))
    }

    #[tokio::test]
    async fn what_has_failed_together_is_tried_in_parts() {
        let temp = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteAuditStore::open(&temp.path().join("audit.db")).await.unwrap());
        let metrics = Arc::new(Metrics::new().unwrap());
        let (queue, jobs) = queue(Arc::clone(&metrics));
        let (grown, _) = watch::channel(0);
        let (clock, signing) = (Arc::new(SystemClock), Arc::default());
        let pace = Pace::default();
        let mut writer =
            Writer { store: Arc::clone(&store) as _, clock, metrics, signing, grown, jobs, pace };
        let mut waiting = Vec::new();
        for _ in 0..24 {
            let queue = queue.clone();
            waiting.push(tokio::spawn(async move { queue.append(work(1024)).await }));
        }
        tokio::task::yield_now().await;
        let first = writer.jobs.recv().await.unwrap();
        let group = writer.together(first);
        assert_eq!(group.len(), 4);
        // Nothing is written to a store that is closed.
        store.close().await;
        let mut sizes = Vec::new();
        let mut group = Some(group);
        for _ in 0..5 {
            let Some(now) = group.take() else { break };
            sizes.push(now.len());
            assert!(writer.append(now).await);
            group = writer.jobs.try_recv().ok().map(|first| writer.together(first));
        }
        assert_eq!(sizes, [4, 2, 1, 1, 1]);
        for _ in 0..20 {
            writer.pace.note(true);
        }
        assert_eq!(writer.pace.0, TOGETHER);
        drop(queue);
    }
}
