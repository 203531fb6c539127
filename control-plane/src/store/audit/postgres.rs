//! The trail in the PostgreSQL database of the registry, on connections of its own.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};

use super::append::Tables;
use super::{NewLine, kills, origin};
use crate::store::StoreError;
use crate::store::postgres::DatabaseUrl;
use crate::store::sql::{Sql, values};

/// How long a connection is waited for.
const WAIT: Duration = Duration::from_secs(5);
/// How long anything may take before the connections are taken for dead.
const PATIENCE: Duration = Duration::from_secs(12);
const READERS: u32 = 3;

const INSERT: &str = "INSERT INTO audit_records
    SELECT * FROM UNNEST($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[],
                         $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[])";

/// The trail in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresAuditStore {
    writer: PgPool,
    readers: PgPool,
}

impl PostgresAuditStore {
    /// Opens the trail in a database whose tables
    /// [`PostgresStore::open`](crate::store::PostgresStore::open) has made.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let pool = |most| {
            PgPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(WAIT)
                .after_connect(|db, _| {
                    Box::pin(async move {
                        // What is acknowledged is on disk. Whoever asks for more may.
                        let durable = "SELECT set_config('synchronous_commit', 'on', false)
                            WHERE current_setting('synchronous_commit') IN ('off', 'local')";
                        db.execute(durable, values![]).await
                    })
                })
                .connect_lazy_with(url.options())
        };
        let store = Self { writer: pool(1), readers: pool(READERS) };
        let mut db = store.writer.acquire().await?;
        let begin = "INSERT INTO audit_head
                     VALUES (1, $1, 0, decode(repeat('00', 32), 'hex'), '', 0, 0, 0, 0, 0, 0)
                     ON CONFLICT DO NOTHING";
        db.execute(begin, values![origin()?]).await?;
        drop(db);
        Ok(store)
    }
}

#[async_trait]
impl Tables for PostgresAuditStore {
    type Engine = Postgres;
    const LOCK: &'static str = "SELECT * FROM audit_head FOR UPDATE";
    const TAKEN: &'static str = "INSERT INTO audit_taken (source, first, last, seq, hashes)
        SELECT (value ->> 0)::bigint, (value ->> 1)::bigint, (value ->> 2)::bigint,
               (value ->> 3)::bigint, decode(value ->> 4, 'hex')
        FROM json_array_elements($1::json)";
    const FLIGHTS: kills::Statements = kills::POSTGRES;

    async fn writer(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.writer.begin().await?)
    }

    async fn reader(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    async fn insert(db: &mut PgConnection, lines: &[NewLine]) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let numbers = |of: fn(&NewLine) -> u64| -> Vec<i64> {
            lines.iter().map(|line| of(line).cast_signed()).collect()
        };
        fn texts(lines: &[NewLine], of: fn(&NewLine) -> Option<&str>) -> Vec<Option<&str>> {
            lines.iter().map(of).collect()
        }
        let query = sqlx::query(INSERT)
            .bind(numbers(|line| line.seq))
            .bind(texts(lines, |line| Some(line.kind)))
            .bind(numbers(|line| line.time.0))
            .bind(numbers(|line| line.recorded.0))
            .bind(texts(lines, |line| line.agent_id.as_deref()))
            .bind(texts(lines, |line| line.action.as_deref()))
            .bind(texts(lines, |line| line.decision))
            .bind(texts(lines, |line| line.act.as_deref()))
            .bind(texts(lines, |line| line.kill_id.as_deref()))
            .bind(texts(lines, |line| Some(&line.record)))
            .bind(lines.iter().map(|line| line.hash.0.as_slice()).collect::<Vec<_>>());
        query.execute(db).await?;
        Ok(())
    }

    async fn bounded<T: Send>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let late = |_| StoreError::Unavailable("the database does not answer".into());
        tokio::time::timeout(PATIENCE, work).await.map_err(late)?
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
