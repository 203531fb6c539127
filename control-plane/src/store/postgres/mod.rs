//! The shared store: one PostgreSQL database, any number of servers.
//!
//! # Which epoch it is
//!
//! A PostgreSQL server cannot go back while it runs: a backup, a snapshot, a standby
//! or a dump becomes the database only by a start, a promotion, or a new table. What
//! it has in memory goes back to no one. So **every connection of every server
//! holds a shared advisory lock on the table `head`, its lease**, from when it was
//! made to its end, and whoever connects and finds that nobody holds one begins a
//! new epoch before it takes its own. While any lease is held, everything that was
//! served since the epoch began was served from this database as it is, and whoever
//! comes joins the epoch.
//!
//! Leases are in no backup and on no standby. It does not matter whose they are, or
//! whether their server lives still: they prove something about the database.
//!
//! Beside that, each server remembers the newest position that it has seen, and
//! begins an epoch if the database has it no more.

mod error;
mod join;
mod listen;
mod pools;
mod url;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kya_core::{PublicKey, Revision};
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::{ConnectOptions, PgConnection, Postgres, Transaction};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::figures::Figures;
use super::sql::{self, Backend, Columns, Sql, values};
use super::{Commits, Committed, KeyStep, StoreError};
use crate::telemetry::Metrics;
use crate::time::Clock;
use error::OpenError;
use join::Seen;
use pools::Pools;
pub use url::{DatabaseUrl, DatabaseUrlError};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// How long a statement, a lock and a connection are waited for, each.
const WAIT: Duration = Duration::from_secs(5);
/// How long anything may take before the connections are taken for dead. It is
/// more than the server allows for the statements of a change.
const PATIENCE: Duration = Duration::from_secs(12);

/// The registry in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresStore {
    pools: Arc<Pools>,
    clock: Arc<dyn Clock>,
    figures: Figures,
    seen: Arc<Seen>,
    commits: watch::Receiver<()>,
    listening: CancellationToken,
    _listening: DropGuard,
}

impl PostgresStore {
    /// Opens the database, brings its tables up to date, and joins the servers that
    /// use it, in their epoch; begins a new one if there are none.
    ///
    /// # Errors
    /// What is wrong with the address, the user or the server, without the password.
    pub async fn open(url: &DatabaseUrl, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let explain = |error| StoreError::Unavailable(OpenError::from(error).into());
        let mut db = connect(url).await?;
        join::check(&mut db).await.map_err(|error| StoreError::Unavailable(error.into()))?;
        // Whoever else starts now may be at it.
        db.execute("SET statement_timeout = '10min'", values![]).await?;
        db.execute("SET lock_timeout = '1min'", values![]).await?;
        MIGRATIONS
            .run_direct(None, &mut db, false)
            .await
            .map_err(|error| StoreError::Unavailable(OpenError::from(error).into()))?;
        let seen = Arc::new(Seen::default());
        join::join(&mut db, &*clock, &seen).await.map_err(explain)?;
        let head = sql::head(&mut db).await?;
        seen.note(head);
        sql::warn_if_behind(clock.now(), head.at);

        let pools = Arc::new(Pools::new(url, Arc::clone(&clock), Arc::clone(&seen)));
        let listening = CancellationToken::new();
        // It holds a lease before the one of `db` ends.
        let first = listen::Listener::connect(&pools).await?;
        let (tell, commits) = watch::channel(());
        tokio::spawn(listening.clone().run_until_cancelled_owned(listen::run(
            Arc::clone(&pools),
            first,
            tell,
        )));
        let _listening = listening.clone().drop_guard();
        let figures = Figures::default();
        Ok(Self { pools, clock, figures, seen, commits, listening, _listening })
    }

    /// The same, of which is counted what it does.
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self { figures: Figures::of(metrics), ..self }
    }

    /// The first key and the log of the keys in this database, which servers may be
    /// using. Nothing is made or changed; a database without tables has neither.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn peek_keys(
        url: &DatabaseUrl,
    ) -> Result<(Option<PublicKey>, Vec<KeyStep>), StoreError> {
        let mut db = connect(url).await?;
        let tables = "SELECT 1 FROM pg_catalog.pg_class WHERE oid = to_regclass('key_steps')";
        if db.first(tables, values![]).await?.is_none() {
            return Ok((None, Vec::new()));
        }
        let first = first_key(&mut db).await?;
        Ok((first, sql::key_steps_after(&mut db, Revision(0)).await?))
    }
}

/// Connects, not by a pool, which would try again and then say nothing but that.
async fn connect(url: &DatabaseUrl) -> Result<PgConnection, StoreError> {
    let options = url.options();
    let connected = match tokio::time::timeout(WAIT, options.connect()).await {
        Ok(connected) => connected.map_err(OpenError::from),
        Err(_) => Err(OpenError::NoAnswer),
    };
    connected.map_err(|error| StoreError::Unavailable(error.into()))
}

async fn first_key(db: &mut PgConnection) -> Result<Option<PublicKey>, StoreError> {
    let row = db.first("SELECT public_key FROM first_key", values![]).await?;
    let Some(row) = row else { return Ok(None) };
    let key = row.text("public_key")?.parse();
    key.map(Some).map_err(|error| StoreError::Corrupt(format!("the first key: {error}")))
}

#[async_trait]
impl Backend for PostgresStore {
    type Engine = Postgres;

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    async fn reader(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        Ok(self.pools.reader().await?)
    }

    async fn door(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        Ok(self.pools.door().await?)
    }

    async fn publisher(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        Ok(self.pools.publisher().await?)
    }

    async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut transaction = self.pools.now().publishers.begin_with(begin).await?;
        // Whoever reads everything takes long.
        transaction.execute("SET LOCAL statement_timeout = 0", values![]).await?;
        Ok(transaction)
    }

    async fn writer(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        for _ in 0..2 {
            let mut transaction = self.pools.writer().await?;
            transaction.execute("SELECT FROM head FOR UPDATE", values![]).await?;
            if join::holds_a_lease(&mut transaction).await? {
                return Ok(transaction);
            }
            // It has joined what is no more. Nothing was written.
            self.pools.renew();
        }
        Err(StoreError::Unavailable(OpenError::NoLease.into()))
    }

    fn seen(&self) -> Committed {
        self.seen.newest()
    }

    fn observe(&self, before: Committed, head: Committed) -> Result<(), StoreError> {
        if head.position < before.position {
            // New connections find out what has become of it.
            self.pools.renew();
            return Err(StoreError::Unavailable(
                OpenError::WentBack { from: before.position, to: head.position }.into(),
            ));
        }
        self.seen.note(head);
        Ok(())
    }

    async fn bounded<T: Send>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(result) => result,
            Err(_) => {
                // A connection whose other end has vanished says nothing for ever.
                self.pools.renew();
                Err(StoreError::Uncertain(OpenError::NoAnswer.into()))
            }
        }
    }

    fn commits(&self) -> Commits {
        Commits::of(self.commits.clone())
    }

    async fn first_key(&self, key: Option<PublicKey>) -> Result<Option<PublicKey>, StoreError> {
        let mut db = self.pools.now().writer.acquire().await?;
        if let Some(key) = key {
            let insert = "INSERT INTO first_key VALUES (1, $1) ON CONFLICT DO NOTHING";
            db.execute(insert, values![key.to_string()]).await?;
        }
        first_key(&mut db).await
    }

    async fn close(&self) {
        self.listening.cancel();
        let pools = self.pools.now();
        pools.writer.close().await;
        pools.readers.close().await;
        pools.doors.close().await;
        pools.publishers.close().await;
    }
}
