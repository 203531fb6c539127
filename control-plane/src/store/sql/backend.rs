//! What a database brings that speaks SQL.

use std::fmt::Debug;

use async_trait::async_trait;
use kya_core::PublicKey;
use sqlx::Transaction;
use sqlx::pool::PoolConnection;

use super::Engine;
#[cfg(doc)]
use crate::store::Store;
use crate::store::figures::Figures;
use crate::store::{Commits, Committed, StoreError};
use crate::telemetry::Operation;
use crate::time::Clock;

/// A database that is open.
#[async_trait]
pub(in crate::store) trait Backend: Debug + Send + Sync + 'static {
    type Engine: Engine;

    fn clock(&self) -> &dyn Clock;

    /// Where it is counted what it does.
    fn figures(&self) -> &Figures;

    /// A connection to read from.
    async fn reader(&self) -> Result<PoolConnection<Self::Engine>, StoreError>;

    /// A connection to look up who asks, and for nothing else: whoever reads a lot
    /// keeps nobody out.
    async fn door(&self) -> Result<PoolConnection<Self::Engine>, StoreError>;

    /// A connection for what a stop waits for, its publication and its answer, and for
    /// nothing else: whoever reads a lot delays no stop.
    async fn publisher(&self) -> Result<PoolConnection<Self::Engine>, StoreError>;

    /// A transaction that sees one state, for as long as it takes to read it all.
    async fn snapshot(&self) -> Result<Transaction<'static, Self::Engine>, StoreError>;

    /// A transaction that no other writer, of whatever server, is in.
    async fn writer(&self) -> Result<Transaction<'static, Self::Engine>, StoreError>;

    /// The newest head that was read.
    fn seen(&self) -> Committed;

    /// Looks at a head that was read, and at what [`Backend::seen`] said before that
    /// began: whether the database is the one that it was.
    fn observe(&self, before: Committed, head: Committed) -> Result<(), StoreError>;

    /// Does it, or gives up where the database does not answer.
    async fn bounded<T: Send>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError>;

    /// See [`Store::commits`].
    fn commits(&self) -> Commits;

    /// See [`Store::first_key`].
    async fn first_key(&self, key: Option<PublicKey>) -> Result<Option<PublicKey>, StoreError>;

    async fn close(&self);
}

/// What is done by a connection of this kind.
pub(super) fn by(connection: &str) -> Operation {
    match connection {
        "door" => Operation::Credential,
        "publisher" => Operation::Publish,
        _ => Operation::Read,
    }
}

/// Does what `$read` says with a connection, of the readers unless others are named.
macro_rules! read {
    ($self:ident, |$db:ident| $read:expr) => {
        read!($self, reader, |$db| $read)
    };
    ($self:ident, $of:ident, |$db:ident| $read:expr) => {
        $self
            .figures()
            .count(
                crate::store::sql::backend::by(stringify!($of)),
                $self.bounded(async {
                    let mut connection = $self.$of().await?;
                    let $db = &mut *connection;
                    $read.await
                }),
            )
            .await
    };
}

/// Does what `$write` says in a transaction.
macro_rules! write {
    ($self:ident, |$write:ident| $change:expr) => {
        $self
            .figures()
            .count(
                crate::telemetry::Operation::Commit,
                $self.bounded(async {
                    let $write = Write::begin($self.writer().await?, $self.clock()).await?;
                    $change.await
                }),
            )
            .await
    };
}
pub(super) use {read, write};
