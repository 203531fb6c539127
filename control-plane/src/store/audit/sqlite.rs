//! The trail in a SQLite file of its own.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Sqlite, Transaction};

use super::append::Tables;
use super::{NewLine, kills, origin};
use crate::store::StoreError;
use crate::store::sql::{Sql, values};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/audit-sqlite");

/// How long a write waits for its turn, and a read for a connection.
const WAIT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;
/// Records that one statement inserts, by falling number: a statement for each is kept.
const AT_ONCE: [usize; 4] = [128, 16, 4, 1];

/// The trail in a SQLite file.
#[derive(Debug)]
pub struct SqliteAuditStore {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteAuditStore {
    /// Opens the file, makes it if there is none (readable by its owner alone), and brings
    /// its tables up to date.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(WAIT)
            .pragma("cache_size", "-32768")
            .synchronous(SqliteSynchronous::Full);
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(WAIT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let writing = options.clone().journal_mode(SqliteJournalMode::Wal);
        let writer = pool().max_connections(1).connect_with(writing).await?;
        MIGRATIONS.run(&writer).await.map_err(|error| StoreError::Unavailable(error.into()))?;
        let mut db = writer.acquire().await?;
        let begin = "INSERT INTO audit_head SELECT 1, $1, 0, zeroblob(32), x'', 0, 0, 0, 0, 0, 0
                     WHERE NOT EXISTS (SELECT 1 FROM audit_head)";
        db.execute(begin, values![origin()?]).await?;
        drop(db);
        let readers = pool().max_connections(READERS).connect_with(options.read_only(true));
        Ok(Self { writer, readers: readers.await? })
    }
}

#[async_trait]
impl Tables for SqliteAuditStore {
    type Engine = Sqlite;
    const LOCK: &'static str = "SELECT * FROM audit_head";
    const TAKEN: &'static str = "INSERT INTO audit_taken (source, first, last, seq, hashes)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, unhex(value ->> 4)
        FROM json_each($1)";
    const FLIGHTS: kills::Statements = kills::SQLITE;

    async fn writer(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    async fn insert(db: &mut SqliteConnection, lines: &[NewLine]) -> Result<(), StoreError> {
        let mut rest = lines;
        for count in AT_ONCE {
            while let Some((now, after)) = rest.split_at_checked(count) {
                insert(db, now).await?;
                rest = after;
            }
        }
        Ok(())
    }

    async fn bounded<T: Send>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        // Whoever waits for a lock waits no longer than `WAIT`.
        work.await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn insert(db: &mut SqliteConnection, lines: &[NewLine]) -> Result<(), StoreError> {
    let mut sql = String::with_capacity(32 * lines.len() + 128);
    sql.push_str("INSERT INTO audit_records VALUES ");
    for place in 0..lines.len() {
        sql.push_str(if place == 0 {
            "(?,?,?,?,?,?,?,?,?,?,?)"
        } else {
            ",(?,?,?,?,?,?,?,?,?,?,?)"
        });
    }
    // Made of nothing but the above.
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for line in lines {
        query = query
            .bind(line.seq.cast_signed())
            .bind(line.kind)
            .bind(line.time.0.cast_signed())
            .bind(line.recorded.0.cast_signed())
            .bind(line.agent_id.as_deref())
            .bind(line.action.as_deref())
            .bind(line.decision)
            .bind(line.act.as_deref())
            .bind(line.kill_id.as_deref())
            .bind(line.record.as_str())
            .bind(line.hash.0.as_slice());
    }
    query.execute(db).await?;
    Ok(())
}
