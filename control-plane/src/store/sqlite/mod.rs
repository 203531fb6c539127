//! The embedded store: one SQLite file, one writer, several readers.

mod keys;
mod nodes;
mod operators;
mod read;
mod records;
mod rows;
mod write;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kya_core::{
    AgentId, NodeCredentialDigest, OperatorKeyDigest, Position, Revision, Status, TokenId,
    UnixSeconds,
};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::{
    Agent, Cause, Committed, Event, KeyStep, NewAgent, NewKeyStep, NewNode, NewOperator, NewToken,
    NodeOutcome, NodeRegistration, OperatorOutcome, OperatorRecord, Outcome, Pages, StatusAction,
    Store, StoreError, StoredUpdate, Token,
};
use crate::nodes::NodeName;
use crate::operators::OperatorName;
use crate::time::Clock;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a write waits for its turn, and a read for a connection.
const WAIT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;
/// Readers that look up who asks, and nothing else.
const DOORS: u32 = 2;

/// The registry in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    /// One connection: writers queue here instead of in SQLite's busy handler,
    /// which is neither fair nor patient.
    writer: SqlitePool,
    readers: SqlitePool,
    /// Apart from the others, so that whoever reads a lot keeps nobody out.
    doors: SqlitePool,
    clock: Arc<dyn Clock>,
}

impl SqliteStore {
    /// Opens the file, makes it if there is none (readable by its owner alone),
    /// brings its tables up to date, and begins a new epoch.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        // SQLite gives its `-wal` and `-shm` the permissions of the database.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(WAIT)
            .synchronous(SqliteSynchronous::Full);
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(WAIT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let writer = pool()
            .max_connections(1)
            .connect_with(options.clone().journal_mode(SqliteJournalMode::Wal))
            .await?;
        MIGRATIONS.run(&writer).await.map_err(|error| StoreError::Unavailable(error.into()))?;
        write::begin_epoch(&writer, clock.now()).await?;
        let options = options.read_only(true);
        let readers = pool().max_connections(READERS).connect_with(options.clone()).await?;
        let doors = pool().max_connections(DOORS).connect_with(options).await?;
        Ok(Self { writer, readers, doors, clock })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn head(&self) -> Result<Committed, StoreError> {
        read::head(&mut *self.readers.acquire().await?).await
    }

    async fn register_agent(
        &self,
        new: NewAgent,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError> {
        write::register_agent(self.write().await?, new, cause).await
    }

    async fn decide_agent(
        &self,
        agent: AgentId,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError> {
        write::decide_agent(self.write().await?, agent, action, cause).await
    }

    async fn issue_token(&self, new: NewToken, cause: Cause) -> Result<Outcome<Token>, StoreError> {
        write::issue_token(self.write().await?, new, cause).await
    }

    async fn revoke_token(
        &self,
        token: TokenId,
        cause: Cause,
    ) -> Result<Outcome<Token>, StoreError> {
        write::revoke_token(self.write().await?, token, cause).await
    }

    async fn agent(&self, id: AgentId) -> Result<Agent, StoreError> {
        read::agent(&mut *self.readers.acquire().await?, id).await
    }

    async fn agents(
        &self,
        status: Option<Status>,
        after: Option<AgentId>,
        limit: u32,
    ) -> Result<Vec<Agent>, StoreError> {
        read::agents(&mut *self.readers.acquire().await?, status, after, limit).await
    }

    async fn tokens(
        &self,
        holder: Option<AgentId>,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<Token>, StoreError> {
        read::tokens(&mut *self.readers.acquire().await?, holder, after, limit).await
    }

    async fn records(&self, horizon: UnixSeconds, pages: Pages) -> Result<Position, StoreError> {
        // One transaction, so that position and records belong together.
        let mut transaction = self.readers.begin().await?;
        let position = read::head(&mut transaction).await?.position;
        records::send(&mut transaction, horizon, &pages).await?;
        transaction.commit().await?;
        Ok(position)
    }

    async fn updates_after(
        &self,
        revision: Revision,
        limit: u32,
    ) -> Result<Vec<StoredUpdate>, StoreError> {
        read::updates_after(&mut *self.readers.acquire().await?, revision, limit).await
    }

    async fn committed(&self, revision: Revision) -> Result<Option<Committed>, StoreError> {
        read::committed(&mut *self.readers.acquire().await?, revision).await
    }

    async fn register_node(
        &self,
        new: NewNode,
        cause: Cause,
    ) -> Result<NodeRegistration, StoreError> {
        nodes::register(self.write().await?, new, cause).await
    }

    async fn revoke_node(&self, name: NodeName, cause: Cause) -> Result<NodeOutcome, StoreError> {
        nodes::revoke(self.write().await?, name, cause).await
    }

    async fn node_by_credential(
        &self,
        digest: NodeCredentialDigest,
    ) -> Result<Option<NodeRegistration>, StoreError> {
        nodes::by_credential(&mut *self.readers.acquire().await?, digest).await
    }

    async fn nodes(
        &self,
        after: Option<NodeName>,
        limit: u32,
    ) -> Result<Vec<NodeRegistration>, StoreError> {
        nodes::list(&mut *self.readers.acquire().await?, after, limit).await
    }

    async fn take_key_step(
        &self,
        new: NewKeyStep,
        cause: Cause,
    ) -> Result<Outcome<KeyStep>, StoreError> {
        keys::take(self.write().await?, new, cause).await
    }

    async fn key_steps_after(&self, revision: Revision) -> Result<Vec<KeyStep>, StoreError> {
        keys::after(&mut *self.readers.acquire().await?, revision).await
    }

    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        read::events_after(&mut *self.readers.acquire().await?, after, limit).await
    }

    async fn add_operator(
        &self,
        new: NewOperator,
        cause: Cause,
    ) -> Result<OperatorRecord, StoreError> {
        operators::add(self.write().await?, new, cause).await
    }

    async fn revoke_operator(
        &self,
        name: OperatorName,
        cause: Cause,
    ) -> Result<OperatorOutcome, StoreError> {
        operators::revoke(self.write().await?, name, cause).await
    }

    async fn operator_by_key(
        &self,
        digest: OperatorKeyDigest,
    ) -> Result<Option<OperatorRecord>, StoreError> {
        operators::by_key(&mut *self.doors.acquire().await?, digest).await
    }

    async fn operators(
        &self,
        after: Option<OperatorName>,
        limit: u32,
    ) -> Result<Vec<OperatorRecord>, StoreError> {
        operators::list(&mut *self.readers.acquire().await?, after, limit).await
    }

    async fn close(&self) {
        self.doors.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl SqliteStore {
    /// The log of the keys in this database, which a server may be using. Nothing
    /// is made or changed; where there is no database, there is no log.
    pub async fn peek_key_steps(path: &Path) -> Result<Vec<KeyStep>, StoreError> {
        keys::peek(path).await
    }

    async fn write(&self) -> Result<write::Write, StoreError> {
        write::Write::begin(&self.writer, self.clock.as_ref()).await
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        for pool in [&store.readers, &store.doors] {
            assert!(sqlx::query("DELETE FROM agents").execute(pool).await.is_err());
        }
    }

    #[tokio::test]
    async fn whoever_reads_a_lot_keeps_no_operator_out() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("kya.db");
        let store = SqliteStore::open(&path, Arc::new(SystemClock)).await.unwrap();
        let mut reading = Vec::new();
        for _ in 0..READERS {
            reading.push(store.readers.acquire().await.unwrap());
        }
        let late = tokio::time::timeout(Duration::from_millis(50), store.head()).await;
        assert!(late.is_err(), "there is a reader left");
        let found = store.operator_by_key(OperatorKeyDigest([7; 32])).await.unwrap();
        assert_eq!(found, None);
        drop(reading);
        store.head().await.unwrap();
    }
}
