//! [`AuditStore`] on a database that has the tables of the trail.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use kya_core::audit::ChainHash;
use kya_core::audit::merkle::{Tile, TileId};

use super::append::{Tables, append, instance};
use super::{
    Additions, ArchivedRange, AuditStore, Author, CheckpointRow, KeyRow, KillAsked, KillRow, Lines,
    RecordFilter, SourceKey, StoredLine, TrailHead, WorkersOf, kills, lines, read, remove,
};
use crate::store::StoreError;
use crate::store::sql::{Sql, signed, values};
use crate::time::UnixMicros;

macro_rules! read {
    ($self:ident, |$db:ident| $read:expr) => {
        $self
            .bounded(async {
                let mut connection = $self.reader().await?;
                let $db = &mut *connection;
                $read.await
            })
            .await
    };
}

#[async_trait]
impl<T: Tables> AuditStore for T {
    async fn append(&self, author: Arc<dyn Author>) -> Result<Additions, StoreError> {
        self.bounded(append(self, author)).await
    }

    async fn head(&self) -> Result<TrailHead, StoreError> {
        read!(self, |db| read::read_head(db))
    }

    async fn lines(&self, filter: &RecordFilter, limit: u32) -> Result<Lines, StoreError> {
        self.bounded(async {
            let mut transaction = self.snapshot().await?;
            let lines = lines::page::<T::Engine>(&mut transaction, filter, limit).await?;
            transaction.commit().await?;
            Ok(lines)
        })
        .await
    }

    async fn line(&self, seq: u64) -> Result<Option<StoredLine>, StoreError> {
        read!(self, |db| lines::one(db, seq))
    }

    async fn hash(&self, seq: u64) -> Result<Option<ChainHash>, StoreError> {
        read!(self, |db| lines::one_hash(db, seq))
    }

    async fn tiles(&self, ids: &[TileId]) -> Result<HashMap<TileId, Tile>, StoreError> {
        read!(self, |db| read::tiles(db, ids))
    }

    async fn checkpoint(&self, size: Option<u64>) -> Result<Option<CheckpointRow>, StoreError> {
        read!(self, |db| read::checkpoint(db, size))
    }

    async fn checkpoint_from(&self, size: u64) -> Result<Option<CheckpointRow>, StoreError> {
        read!(self, |db| read::checkpoint_from(db, size))
    }

    async fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        read!(self, |db| read::keys(db))
    }

    async fn announced(&self) -> Result<Option<KeyRow>, StoreError> {
        read!(self, |db| read::announced(db))
    }

    async fn archives(&self) -> Result<Vec<ArchivedRange>, StoreError> {
        read!(self, |db| read::archives(db))
    }

    async fn seen(&self, workers: &[(SourceKey, u32)], now: UnixMicros) -> Result<(), StoreError> {
        self.bounded(async {
            let mut transaction = self.writer().await?;
            let db = &mut *transaction;
            db.one(T::LOCK, values![]).await?;
            for (key, slot) in workers {
                let seen = "INSERT INTO audit_sources
                            (node_id, instance, slot, next, seen_us, state, unended, first_seq)
                            SELECT $1, $2, $3, 1, $4, 'alive', 0, size FROM audit_head WHERE one = 1
                            ON CONFLICT (node_id, instance) DO UPDATE SET
                              seen_us = excluded.seen_us,
                              state = CASE WHEN audit_sources.state = 'lost' THEN 'alive'
                                      ELSE audit_sources.state END,
                              unremembered = CASE WHEN audit_sources.state = 'lost' THEN 0
                                             ELSE audit_sources.unremembered END,
                              ended_seq = CASE WHEN audit_sources.state = 'lost' THEN NULL
                                          ELSE audit_sources.ended_seq END";
                let values = values![&key.node, instance(key), i64::from(*slot), signed(now.0)];
                db.execute(seen, values).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    async fn silent(&self, before: UnixMicros, limit: u32) -> Result<Vec<SourceKey>, StoreError> {
        read!(self, |db| read::silent(db, before, limit))
    }

    async fn kill(&self, id: &str) -> Result<Option<KillRow>, StoreError> {
        read!(self, |db| kills::row(db, id))
    }

    async fn open_kills(&self, after: u64, limit: u32) -> Result<Vec<KillRow>, StoreError> {
        read!(self, |db| kills::open(db, after, limit))
    }

    async fn kill_workers(
        &self,
        kill: &KillRow,
        asked: &KillAsked,
    ) -> Result<WorkersOf, StoreError> {
        read!(self, |db| kills::workers::<T>(db, kill, asked))
    }

    async fn remove_archived(&self, limit: u32) -> Result<u64, StoreError> {
        self.bounded(async {
            let mut transaction = self.writer().await?;
            let removed = remove::archived::<T::Engine>(&mut transaction, limit).await?;
            transaction.commit().await?;
            Ok(removed)
        })
        .await
    }

    async fn close(&self) {
        Tables::close(self).await;
    }
}
