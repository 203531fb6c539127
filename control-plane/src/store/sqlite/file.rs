//! A SQLite file: how it is made and opened, and the connections to it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::store::StoreError;

/// How long a write waits for its turn, and a read for a connection.
pub(in crate::store) const WAIT: Duration = Duration::from_secs(5);

/// A file whose tables are up to date.
#[derive(Debug)]
pub(in crate::store) struct SqliteFile {
    options: SqliteConnectOptions,
    /// One connection: writers queue here instead of in SQLite's busy handler, which is
    /// neither fair nor patient.
    pub(in crate::store) writer: SqlitePool,
}

impl SqliteFile {
    /// Opens the file, makes it if there is none (readable by its owner alone), and brings
    /// its tables up to date. Every commit is on the disk before it is answered.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(in crate::store) async fn open(
        path: &Path,
        migrations: &Migrator,
        pragmas: &[(&'static str, &'static str)],
    ) -> Result<Self, StoreError> {
        // SQLite gives its `-wal` and `-shm` the permissions of the database.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        let mut options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(WAIT)
            .synchronous(SqliteSynchronous::Full);
        for (name, value) in pragmas {
            options = options.pragma(*name, *value);
        }
        let writing = options.clone().journal_mode(SqliteJournalMode::Wal);
        let writer = pool(1).connect_with(writing).await?;
        migrations.run(&writer).await.map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(Self { options: options.read_only(true), writer })
    }

    /// Some connections that can only read.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(in crate::store) async fn readers(&self, most: u32) -> Result<SqlitePool, StoreError> {
        Ok(pool(most).connect_with(self.options.clone()).await?)
    }
}

fn pool(most: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(most)
        .acquire_timeout(WAIT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}
