//! The embedded store: one SQLite file, one writer, several readers.

mod backup;
mod file;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use kya_core::{PublicKey, Revision};
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{ConnectOptions, Sqlite, Transaction};

use super::figures::Figures;
use super::sql::{self, Backend, Sql, signed, values};
use super::{Commits, Committed, KeyStep, StoreError};
use crate::telemetry::Metrics;
use crate::time::{Clock, UnixMicros};

pub use backup::{BackupError, back_up, restore, restore_trail};
pub(in crate::store) use file::SqliteFile;
use file::WAIT;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

const READERS: u32 = 4;
/// Readers that look up who asks, and nothing else.
const DOORS: u32 = 2;
/// Readers for what a stop waits for, and nothing else.
const PUBLISHERS: u32 = 2;

/// The registry in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Apart from the others, so that whoever reads a lot keeps nobody out.
    doors: SqlitePool,
    /// Likewise, so that it delays no stop.
    publishers: SqlitePool,
    clock: Arc<dyn Clock>,
    figures: Figures,
}

impl SqliteStore {
    /// Opens the file, makes it if there is none (readable by its owner alone),
    /// brings its tables up to date, and begins a new epoch.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let file = SqliteFile::open(path, &MIGRATIONS, &[]).await?;
        begin_epoch(&file.writer, clock.now()).await?;
        let readers = file.readers(READERS).await?;
        let doors = file.readers(DOORS).await?;
        let publishers = file.readers(PUBLISHERS).await?;
        let figures = Figures::default();
        Ok(Self { writer: file.writer, readers, doors, publishers, clock, figures })
    }

    /// The same, of which is counted what it does.
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self { figures: Figures::of(metrics), ..self }
    }
}

#[async_trait]
impl Backend for SqliteStore {
    type Engine = Sqlite;

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    async fn door(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.doors.acquire().await?)
    }

    async fn publisher(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.publishers.acquire().await?)
    }

    async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.publishers.begin().await?)
    }

    async fn writer(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    fn seen(&self) -> Committed {
        Committed::default()
    }

    fn observe(&self, _: Committed, _: Committed) -> Result<(), StoreError> {
        // The file is locked by this server for as long as it runs.
        Ok(())
    }

    async fn bounded<T: Send>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        // Whoever waits for a lock waits no longer than `WAIT`.
        work.await
    }

    fn commits(&self) -> Commits {
        Commits::none()
    }

    async fn first_key(&self, key: Option<PublicKey>) -> Result<Option<PublicKey>, StoreError> {
        Ok(key)
    }

    async fn close(&self) {
        self.doors.close().await;
        self.publishers.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl SqliteStore {
    /// The log of the keys in this database, which a server may be using. Nothing
    /// is made or changed. Where there is no database there is no log, and one from
    /// before there was a log has an empty one.
    pub async fn peek_key_steps(path: &Path) -> Result<Vec<KeyStep>, StoreError> {
        if !path.exists() {
            return Ok(Vec::new());
        }
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut db = options.busy_timeout(WAIT).connect().await?;
        let tables = "SELECT 1 FROM sqlite_master WHERE name = 'key_steps'";
        if db.first(tables, values![]).await?.is_none() {
            return Ok(Vec::new());
        }
        sql::key_steps_after(&mut db, Revision(0)).await
    }
}

/// Begins a new epoch: the millisecond of the opening, or the number after the
/// last epoch if the clock does not get that far. A store made anew, or put back
/// from a backup, under the same signing key so comes after the one that was
/// lost, as long as the clock does not stand before the last opening of that.
async fn begin_epoch(pool: &SqlitePool, now: UnixMicros) -> Result<(), StoreError> {
    let mut db = pool.acquire().await?;
    let begin = "INSERT INTO head (one, epoch, revision, committed_us) VALUES (1, $1, 0, $2)
                 ON CONFLICT (one) DO UPDATE SET epoch = max(epoch + 1, excluded.epoch)";
    db.execute(begin, values![signed(now.millis().0), signed(now.0)]).await?;
    sql::warn_if_behind(now, sql::head(&mut *db).await?.at);
    Ok(())
}

#[cfg(test)]
mod tests {
    use kya_core::OperatorKeyDigest;

    use super::*;
    use crate::store::{CapabilityTokenStore, KillStore, Store};
    use crate::time::SystemClock;

    #[tokio::test]
    async fn the_writer_syncs_every_commit_and_the_readers_cannot_write() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("kya.db");
        let store = SqliteStore::open(&path, Arc::new(SystemClock)).await.unwrap();
        let mut values = Vec::new();
        for pragma in ["PRAGMA synchronous", "PRAGMA foreign_keys"] {
            let (value,): (i64,) = sqlx::query_as(pragma).fetch_one(&store.writer).await.unwrap();
            values.push(value);
        }
        assert_eq!(values, [2, 1], "2 is FULL");
        let (mode,): (String,) =
            sqlx::query_as("PRAGMA journal_mode").fetch_one(&store.writer).await.unwrap();
        assert_eq!(mode, "wal");
        for pool in [&store.readers, &store.doors, &store.publishers] {
            assert!(sqlx::query("DELETE FROM agents").execute(pool).await.is_err());
        }
    }

    #[tokio::test]
    async fn whoever_reads_a_lot_keeps_no_operator_out_and_delays_no_stop() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("kya.db");
        let store = SqliteStore::open(&path, Arc::new(SystemClock)).await.unwrap();
        let mut reading = Vec::new();
        for _ in 0..READERS {
            reading.push(store.readers.acquire().await.unwrap());
        }
        assert!(store.readers.try_acquire().is_none(), "there is a reader left");
        let found = store.operator_by_key(OperatorKeyDigest([7; 32])).await.unwrap();
        assert_eq!(found, None);
        // What the publisher asks, and what the answer to a stop says.
        store.head().await.unwrap();
        assert!(store.updates_after(Revision(0), 9).await.unwrap().is_empty());
        store.key_steps_after(Revision(0)).await.unwrap();
        store.issuer().await.unwrap();
        store.kill_at(Revision(0)).await.unwrap();
    }
}
