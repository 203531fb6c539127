//! [`KillStore`] on whatever [`Store`](crate::store::Store) is on.

use async_trait::async_trait;
use kya_core::{KillId, Revision};

use super::backend::read;
use super::{Backend, kill_reach, kills};
use crate::store::{Kill, KillFilter, KillReach, KillStore, StoreError};

#[async_trait]
impl<B: Backend> KillStore for B {
    async fn kill(&self, id: KillId) -> Result<Option<Kill>, StoreError> {
        read!(self, |db| kills::by_id(db, id))
    }

    async fn kill_at(&self, revision: Revision) -> Result<Option<KillId>, StoreError> {
        read!(self, publisher, |db| kills::at(db, revision))
    }

    async fn kills(
        &self,
        filter: KillFilter,
        before: Option<KillId>,
        limit: u32,
    ) -> Result<Vec<Kill>, StoreError> {
        read!(self, |db| kills::list(db, &filter, before, limit))
    }

    async fn kills_of_events(&self, first: u64, last: u64) -> Result<Vec<Kill>, StoreError> {
        read!(self, |db| kills::of_events(db, first, last))
    }

    async fn kill_reach(&self, kill: &Kill) -> Result<KillReach, StoreError> {
        // It is in nobody's way, and may take as long as it takes.
        let mut connection = self.reader().await?;
        kill_reach::of(&mut *connection, kill).await
    }
}
