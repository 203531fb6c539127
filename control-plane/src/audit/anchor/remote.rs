//! Checkpoints put to an address, in the background: nothing of the trail waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::super::Trail;
use crate::config::AnchorUrl;
use crate::fetch::Fetcher;
use crate::store::audit::CheckpointRow;
use crate::throttle::Throttle;

/// How often a checkpoint is put there at most.
const EVERY: Duration = Duration::from_secs(5);
/// After a failure, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long none may have arrived while there is a newer one, before somebody should look.
const LATE: Duration = Duration::from_secs(60);

static WARNINGS: Throttle = Throttle::new(Duration::from_secs(60));

/// Where checkpoints go, and how far they are.
#[derive(Debug)]
pub(crate) struct Remote {
    url: AnchorUrl,
    fetcher: Fetcher,
    /// Size of the newest that is there.
    there: u64,
    /// Since when there is a newer one.
    waiting: Option<Instant>,
    wait: Duration,
}

impl Remote {
    pub(crate) fn new(url: AnchorUrl, fetcher: Fetcher) -> Self {
        Self { url, fetcher, there: 0, waiting: None, wait: RETRY.0 }
    }

    /// Puts each newest checkpoint there, for ever. Those that others followed while one was
    /// on its way are passed over: each covers all before it.
    pub(crate) async fn follow(mut self, trail: Arc<Trail>) {
        loop {
            let newest = trail.store.checkpoint(None).await;
            let pause = match newest {
                Ok(row) => self.step(row, &trail).await,
                // Whoever appends says what is wrong with the store.
                Err(_) => EVERY,
            };
            sleep(pause).await;
        }
    }

    /// Puts this one there if it is new, and says how long to wait for the next.
    async fn step(&mut self, row: Option<CheckpointRow>, trail: &Trail) -> Duration {
        let metrics = &trail.metrics.audit;
        let Some(row) = row.filter(|row| row.size > self.there) else {
            metrics.anchor_lag(Duration::ZERO);
            return super::LOOK;
        };
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let put = match self.url.of(row.size) {
            Some(url) => self.fetcher.put(&url, row.note).await.map_err(|why| why.to_string()),
            None => Err("it is no address any more with the size in it".to_owned()),
        };
        metrics.anchored(put.is_ok());
        match put {
            Ok(()) => {
                (self.there, self.waiting, self.wait) = (row.size, None, RETRY.0);
                metrics.anchor_lag(Duration::ZERO);
                EVERY
            }
            Err(error) => {
                let late = since.elapsed();
                metrics.anchor_lag(late);
                if late >= LATE && WARNINGS.passes() {
                    let seconds = late.as_secs();
                    tracing::warn!(
                        error,
                        seconds,
                        "checkpoints of the audit trail do not arrive at their second place"
                    );
                } else {
                    tracing::debug!(error, "a checkpoint did not arrive");
                }
                let wait = self.wait;
                self.wait = (wait * 2).min(RETRY.1);
                wait
            }
        }
    }
}
