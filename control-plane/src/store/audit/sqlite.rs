//! The trail in a SQLite file of its own.

use std::path::Path;

use async_trait::async_trait;
use serde_json::json;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, Sqlite, Transaction};

use super::append::Tables;
use super::bundles::{Bundle, What};
use super::{kills, origin};
use crate::store::StoreError;
use crate::store::sql::{Columns, Sql, signed, values};
use crate::store::sqlite::SqliteFile;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/audit-sqlite");

/// Pages of a new file: a bundle is many of 4 KiB, each of which costs. And 32 MiB of cache.
const PRAGMAS: [(&str, &str); 2] = [("page_size", "16384"), ("cache_size", "-32768")];
/// Bytes of the write-ahead log, each commit of which is on the disk before it is answered,
/// before it is copied into the file: one transaction may have 10 MiB, and the same pages of the
/// index are in many.
const CHECKPOINT: i64 = 32 << 20;
const READERS: u32 = 4;

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
        let pages = db.one("PRAGMA page_size", values![]).await?.int("page_size")?;
        let checkpoint = format!("PRAGMA wal_autocheckpoint = {}", CHECKPOINT / pages.max(512));
        // Made of nothing but a number.
        sqlx::query(AssertSqlSafe(checkpoint)).execute(&mut *db).await?;
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

    async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.readers.begin().await?)
    }

    async fn insert(db: &mut SqliteConnection, bundles: &[Bundle<'_>]) -> Result<(), StoreError> {
        for it in bundles {
            let query =
                sqlx::query("INSERT INTO audit_bundles VALUES ($1, $2, $3, $4, $5, $6, $7)")
                    .bind(signed(it.first))
                    .bind(signed(it.last))
                    .bind(signed(it.from))
                    .bind(signed(it.until))
                    .bind(signed(it.records.len() as u64))
                    .bind(it.hashes.as_slice())
                    .bind(it.records.as_str());
            query.execute(&mut *db).await?;
            for what in [What::Agent, What::Kill, What::Act] {
                let values = it.values(what);
                if values.is_empty() {
                    continue;
                }
                let found = "INSERT INTO audit_found SELECT $1, value, $2 FROM json_each($3)";
                let values = values![what.name(), signed(it.first), json!(values).to_string()];
                db.execute(found, values).await?;
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
