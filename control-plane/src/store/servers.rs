//! Which servers use the database, as each of them says.

use std::fmt::Debug;

use async_trait::async_trait;
use kya_core::Revision;

use super::StoreError;
use crate::time::UnixMicros;

/// A server, as it said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRow {
    /// Its machine and its data directory: the same after it was started again.
    pub name: String,
    /// Version of its program.
    pub version: String,
    /// When it began.
    pub started_at: UnixMicros,
    /// When it said so, by its own clock.
    pub seen_at: UnixMicros,
    /// Newest revision that it has handed to its streams.
    pub revision: Revision,
    /// Whether it hands out what is committed.
    pub publishes: bool,
    /// Whether the key that signs the audit trail is there.
    pub signs: bool,
    /// Proxies that are connected to it.
    pub proxies: u64,
}

/// What a [`Store`](super::Store) keeps of the servers that use it. None of it is a change
/// of authority.
#[async_trait]
pub trait ServerStore: Debug + Send + Sync + 'static {
    /// A server says that it is there. Those that were last heard of before `forgotten` are
    /// not known any more.
    async fn server_is_here(
        &self,
        server: ServerRow,
        forgotten: UnixMicros,
    ) -> Result<(), StoreError>;

    /// A server ends, and is not known any more.
    async fn server_ends(&self, name: &str) -> Result<(), StoreError>;

    /// The first thousand of them by their names.
    async fn servers(&self) -> Result<Vec<ServerRow>, StoreError>;
}
