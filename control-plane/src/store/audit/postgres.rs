//! The trail in the PostgreSQL database of the registry, on connections of its own.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};

use super::append::Tables;
use super::bundles::Bundle;
use super::{kills, origin};
use crate::store::StoreError;
use crate::store::postgres::DatabaseUrl;
use crate::store::sql::{Sql, values};

/// How long a connection is waited for.
const WAIT: Duration = Duration::from_secs(5);
/// How long anything may take before the connections are taken for dead.
const PATIENCE: Duration = Duration::from_secs(12);
const READERS: u32 = 3;

const INSERT: &str = "INSERT INTO audit_bundles
    SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                         $6::bytea[], $7::text[])";
const FOUND: &str = "INSERT INTO audit_found
    SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[])";

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

    async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        Ok(self.readers.begin_with(begin).await?)
    }

    async fn insert(db: &mut PgConnection, bundles: &[Bundle<'_>]) -> Result<(), StoreError> {
        if bundles.is_empty() {
            return Ok(());
        }
        let numbers = |of: fn(&Bundle<'_>) -> u64| -> Vec<i64> {
            bundles.iter().map(|it| of(it).cast_signed()).collect()
        };
        let query = sqlx::query(INSERT)
            .bind(numbers(|it| it.first))
            .bind(numbers(|it| it.last))
            .bind(numbers(|it| it.from))
            .bind(numbers(|it| it.until))
            .bind(numbers(|it| it.records.len() as u64))
            .bind(bundles.iter().map(|it| it.hashes.as_slice()).collect::<Vec<_>>())
            .bind(bundles.iter().map(|it| it.records.as_str()).collect::<Vec<_>>());
        query.execute(&mut *db).await?;
        let (mut whats, mut values, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
        for it in bundles {
            for (what, value) in &it.found {
                whats.push(what.name());
                values.push(*value);
                firsts.push(it.first.cast_signed());
            }
        }
        if !whats.is_empty() {
            sqlx::query(FOUND).bind(whats).bind(values).bind(firsts).execute(db).await?;
        }
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
