//! The trail in a SQLite file of its own.

use std::path::Path;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, Sqlite, Transaction};

use super::append::Tables;
use super::{NewLine, kills, origin};
use crate::store::StoreError;
use crate::store::sql::{Sql, values};
use crate::store::sqlite::SqliteFile;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/audit-sqlite");

/// 32 MiB of cache. And 32 MiB of the write-ahead log, each commit of which is on the disk
/// before it is answered, before it is copied into the file: one transaction may have 10,
/// and the same pages of the indexes are in many.
const PRAGMAS: [(&str, &str); 2] = [("cache_size", "-32768"), ("wal_autocheckpoint", "8192")];
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
        let file = SqliteFile::open(path, &MIGRATIONS, &PRAGMAS).await?;
        let mut db = file.writer.acquire().await?;
        let begin = "INSERT INTO audit_head SELECT 1, $1, 0, zeroblob(32), x'', 0, 0, 0, 0, 0, 0
                     WHERE NOT EXISTS (SELECT 1 FROM audit_head)";
        db.execute(begin, values![origin()?]).await?;
        drop(db);
        let readers = file.readers(READERS).await?;
        Ok(Self { writer: file.writer, readers })
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
