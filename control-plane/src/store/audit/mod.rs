//! Where the audit trail is kept.
//!
//! **Invariant.** Everything that one [`Author`] adds is one transaction, which begins
//! with a lock on the row that says where the trail ends: whatever servers append, there
//! is one order. How far the reports of a worker are in the trail is written in the same
//! transaction as what they say, so that each is there exactly once.
//!
//! With SQLite the trail is a file of its own beside that of the registry, so that
//! appending to it never holds up a stop. In PostgreSQL it is tables of the same database
//! that no change of the registry locks.

mod append;
mod bundles;
mod filter;
mod kills;
mod lines;
mod many;
mod model;
mod postgres;
mod read;
mod remove;
mod rows;
mod searched;
mod sources;
mod sqlite;
mod tables;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use kya_core::audit::ChainHash;
use kya_core::audit::merkle::{Tile, TileId};

use super::StoreError;
use crate::time::UnixMicros;
pub use filter::{LED_TO_A_PAGE, Lines, Order, RecordFilter, SCANNED_A_PAGE};
pub use kills::{
    Concern, Flights, KillApplied, KillAsked, KillMark, KillRow, KillWorker, WorkersOf,
};
pub use model::{
    Additions, ArchivedRange, CheckpointRow, EventCursor, KeyRow, Locked, NewLine, SourceKey,
    SourceRow, SourceState, StoredLine, Taken, TrailHead,
};
pub use postgres::PostgresAuditStore;
pub use sources::DIGEST_BYTES;
pub use sqlite::SqliteAuditStore;

/// Decides what is appended when the end of the trail is known, and nobody else appends.
pub trait Author: Debug + Send + Sync + 'static {
    /// The workers of which it must know how far they are.
    fn sources(&self) -> Vec<SourceKey>;

    /// Requests that went on, as the place of their worker in [`Author::sources`] and the
    /// number of their decision, of which it must know whose they are.
    fn unended(&self) -> Vec<(usize, u64)>;

    /// Batches of which it must know what their numbers were taken with, if they were: the
    /// place of the worker, the first number and the last.
    fn spans(&self) -> Vec<(usize, u64, u64)> {
        Vec::new()
    }

    /// The kills of which it must know how far they are.
    fn kills(&self) -> Vec<String> {
        Vec::new()
    }

    /// What is appended. It may be called again where the transaction has failed, and
    /// then with what has changed meanwhile.
    ///
    /// # Errors
    /// When nothing can be appended.
    fn write(&self, locked: Locked) -> Result<Additions, StoreError>;
}

/// The trail, kept. Every method is safe to call from many tasks.
#[async_trait]
pub trait AuditStore: Debug + Send + Sync + 'static {
    /// Appends what the author writes, durably, and returns it.
    async fn append(&self, author: Arc<dyn Author>) -> Result<Additions, StoreError>;

    /// Where the trail ends.
    async fn head(&self) -> Result<TrailHead, StoreError>;

    /// A page of the records that are asked for.
    async fn lines(&self, filter: &RecordFilter, limit: u32) -> Result<Lines, StoreError>;

    /// The record with this number, if it is there and not archived.
    async fn line(&self, seq: u64) -> Result<Option<StoredLine>, StoreError>;

    /// Its hash.
    async fn hash(&self, seq: u64) -> Result<Option<ChainHash>, StoreError>;

    /// Those of these tiles that are full.
    async fn tiles(&self, ids: &[TileId]) -> Result<HashMap<TileId, Tile>, StoreError>;

    /// The checkpoint of this size, or the newest.
    async fn checkpoint(&self, size: Option<u64>) -> Result<Option<CheckpointRow>, StoreError>;

    /// The first checkpoint of at least this size.
    async fn checkpoint_from(&self, size: u64) -> Result<Option<CheckpointRow>, StoreError>;

    /// The keys of the trail, the first one first.
    async fn keys(&self) -> Result<Vec<KeyRow>, StoreError>;

    /// The key that is to sign next, if one was announced since the last began to.
    async fn announced(&self) -> Result<Option<KeyRow>, StoreError>;

    /// What was archived, the first first.
    async fn archives(&self) -> Result<Vec<ArchivedRange>, StoreError>;

    /// Notes that these workers are there now; those of whom nothing is known are known
    /// from now on, and those that were taken for lost are no more: the next kill waits for
    /// them, though they have reported nothing yet.
    async fn seen(&self, workers: &[(SourceKey, u32)], now: UnixMicros) -> Result<(), StoreError>;

    /// Up to `limit` workers that are taken to be there and were last seen before then,
    /// those first that were seen least lately.
    async fn silent(&self, before: UnixMicros, limit: u32) -> Result<Vec<SourceKey>, StoreError>;

    /// The kill with this id, if it is in the trail.
    async fn kill(&self, id: &str) -> Result<Option<KillRow>, StoreError>;

    /// Up to `limit` kills after that record that are not completed, in order.
    async fn open_kills(&self, after: u64, limit: u32) -> Result<Vec<KillRow>, StoreError>;

    /// The workers that were there at a kill, what they have said of it, and the requests
    /// in flight that it may concern.
    async fn kill_workers(
        &self,
        kill: &KillRow,
        asked: &KillAsked,
    ) -> Result<WorkersOf, StoreError>;

    /// Removes records that are archived, the first first, and says how many: about `limit`,
    /// and none only where there are none.
    async fn remove_archived(&self, limit: u32) -> Result<u64, StoreError>;

    /// Finishes what was begun and closes. Later calls fail.
    async fn close(&self);
}

/// What the checkpoints of a new trail are of: a name that no other trail has.
fn origin() -> Result<String, StoreError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Unavailable(error.into()))?;
    Ok(format!("kya/audit/{:016x}", u64::from_be_bytes(bytes)))
}
