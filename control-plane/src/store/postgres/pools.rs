//! The connections to a database, each of which has joined.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres, Transaction};
use tokio::sync::watch;

use super::join::{self, Seen};
use super::{DatabaseUrl, WAIT};
use crate::time::Clock;

/// How long a connection that was idle may take to answer; after that another is
/// made in its place.
const PING: Duration = Duration::from_secs(2);
/// And one that listens.
const READERS: u32 = 4;

/// The connections, which can be replaced by new ones.
#[derive(Debug)]
pub(super) struct Pools {
    url: DatabaseUrl,
    clock: Arc<dyn Clock>,
    seen: Arc<Seen>,
    now: RwLock<Both>,
    renewed: watch::Sender<()>,
    /// When somebody last got a connection to write, and one to read.
    writer_came: Mutex<Instant>,
    reader_came: Mutex<Instant>,
}

/// Some connections.
#[derive(Debug, Clone)]
pub(super) struct Both {
    /// One: the writers of this server wait for it, and so not all of them for the
    /// lock that those of other servers wait for.
    pub(super) writer: PgPool,
    pub(super) readers: PgPool,
}

impl Pools {
    pub(super) fn new(url: &DatabaseUrl, clock: Arc<dyn Clock>, seen: Arc<Seen>) -> Self {
        let now = RwLock::new(both(url, &clock, &seen));
        let [writer_came, reader_came] = [(); 2].map(|()| Mutex::new(Instant::now()));
        let (url, renewed) = (url.clone(), watch::Sender::default());
        Self { url, clock, seen, now, renewed, writer_came, reader_came }
    }

    /// Those to use now.
    pub(super) fn now(&self) -> Both {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A transaction of the writer.
    pub(super) async fn writer(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.get(&self.writer_came, async |both: Both| both.writer.begin().await).await
    }

    /// A connection of a reader.
    pub(super) async fn reader(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.get(&self.reader_came, async |both: Both| both.readers.acquire().await).await
    }

    /// Where nobody has got one for a whole wait it is not that others are busy: a
    /// connection whose other end has vanished is not given back.
    async fn get<T>(
        &self,
        came: &Mutex<Instant>,
        get: impl AsyncFn(Both) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let last = || *came.lock().unwrap_or_else(PoisonError::into_inner);
        let got = match get(self.now()).await {
            Err(sqlx::Error::PoolTimedOut) if last().elapsed() >= WAIT => {
                self.renew();
                get(self.now()).await?
            }
            got => got?,
        };
        *came.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(got)
    }

    /// Leaves all connections, and makes new ones when they are needed.
    pub(super) fn renew(&self) {
        let both = both(&self.url, &self.clock, &self.seen);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = both;
        self.renewed.send_replace(());
    }

    /// Follows [`Pools::renew`].
    pub(super) fn renewals(&self) -> watch::Receiver<()> {
        self.renewed.subscribe()
    }
}

fn both(url: &DatabaseUrl, clock: &Arc<dyn Clock>, seen: &Arc<Seen>) -> Both {
    let pool = |connections| {
        let (clock, seen) = (Arc::clone(clock), Arc::clone(seen));
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(WAIT)
            // A connection is kept for its lease.
            .idle_timeout(None)
            .max_lifetime(None)
            // With a bound, which the pool's own test has not.
            .test_before_acquire(false)
            .before_acquire(|db, _| {
                Box::pin(async move {
                    // An error: one that is merely not wanted is asked to close.
                    let silent = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
                    tokio::time::timeout(PING, db.ping()).await.map_err(silent)?.map(|()| true)
                })
            })
            .after_connect(move |db, _| {
                let (clock, seen) = (Arc::clone(&clock), Arc::clone(&seen));
                Box::pin(async move { join::join(db, &*clock, &seen).await })
            })
            .connect_lazy_with(url.options())
    };
    Both { writer: pool(1), readers: pool(READERS + 1) }
}
