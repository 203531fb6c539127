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
/// Readers that look up who asks, and nothing else.
const DOORS: u32 = 2;
/// Readers for what a stop waits for, and nothing else.
const PUBLISHERS: u32 = 2;

/// The connections, which can be replaced by new ones.
#[derive(Debug)]
pub(super) struct Pools {
    url: DatabaseUrl,
    clock: Arc<dyn Clock>,
    seen: Arc<Seen>,
    now: RwLock<Connections>,
    renewed: watch::Sender<()>,
    /// When somebody last got a connection to write, one to read, one to look up who
    /// asks, and one for what a stop waits for.
    writer_came: Mutex<Instant>,
    reader_came: Mutex<Instant>,
    door_came: Mutex<Instant>,
    publisher_came: Mutex<Instant>,
}

/// Some connections.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    /// One: the writers of this server wait for it, and so not all of them for the
    /// lock that those of other servers wait for.
    pub(super) writer: PgPool,
    pub(super) readers: PgPool,
    /// Apart from the others, so that whoever reads a lot keeps nobody out.
    pub(super) doors: PgPool,
    /// Likewise, so that it delays no stop.
    pub(super) publishers: PgPool,
}

impl Pools {
    pub(super) fn new(url: &DatabaseUrl, clock: Arc<dyn Clock>, seen: Arc<Seen>) -> Self {
        let now = RwLock::new(connections(url, &clock, &seen));
        let [writer_came, reader_came, door_came, publisher_came] =
            [(); 4].map(|()| Mutex::new(Instant::now()));
        let (url, renewed) = (url.clone(), watch::Sender::default());
        Self { url, clock, seen, now, renewed, writer_came, reader_came, door_came, publisher_came }
    }

    /// Those to use now.
    pub(super) fn now(&self) -> Connections {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A transaction of the writer.
    pub(super) async fn writer(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.get(&self.writer_came, async |now: Connections| now.writer.begin().await).await
    }

    /// A connection of a reader.
    pub(super) async fn reader(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.get(&self.reader_came, async |now: Connections| now.readers.acquire().await).await
    }

    /// A connection to look up who asks.
    pub(super) async fn door(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.get(&self.door_came, async |now: Connections| now.doors.acquire().await).await
    }

    /// A connection for what a stop waits for.
    pub(super) async fn publisher(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.get(&self.publisher_came, async |now: Connections| now.publishers.acquire().await)
            .await
    }

    /// Where nobody has got one for a whole wait it is not that others are busy: a
    /// connection whose other end has vanished is not given back.
    async fn get<T>(
        &self,
        came: &Mutex<Instant>,
        get: impl AsyncFn(Connections) -> Result<T, sqlx::Error>,
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
        let new = connections(&self.url, &self.clock, &self.seen);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = new;
        self.renewed.send_replace(());
    }

    /// Follows [`Pools::renew`].
    pub(super) fn renewals(&self) -> watch::Receiver<()> {
        self.renewed.subscribe()
    }
}

fn connections(url: &DatabaseUrl, clock: &Arc<dyn Clock>, seen: &Arc<Seen>) -> Connections {
    let pool = |most| {
        let (clock, seen) = (Arc::clone(clock), Arc::clone(seen));
        PgPoolOptions::new()
            .max_connections(most)
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
    Connections {
        writer: pool(1),
        readers: pool(READERS + 1),
        doors: pool(DOORS),
        publishers: pool(PUBLISHERS),
    }
}
