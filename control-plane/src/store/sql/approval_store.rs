//! [`ApprovalStore`] on whatever [`Store`](crate::store::Store) is on.

use async_trait::async_trait;
use kya_core::ApprovalId;

use super::backend::{read, write};
use super::write::Write;
use super::{Backend, approvals};
use crate::store::{Approval, ApprovalStore, Cause, Outcome, Restorable, Restoration, StoreError};

#[async_trait]
impl<B: Backend> ApprovalStore for B {
    async fn ask_to_restore(
        &self,
        id: ApprovalId,
        of: Restorable,
        cause: Cause,
    ) -> Result<Restoration, StoreError> {
        write!(self, |write| approvals::ask(write, id, of, cause))
    }

    async fn approve(&self, id: ApprovalId, cause: Cause) -> Result<Outcome<Approval>, StoreError> {
        write!(self, |write| approvals::approve(write, id, cause))
    }

    async fn reject(&self, id: ApprovalId, cause: Cause) -> Result<Approval, StoreError> {
        write!(self, |write| approvals::reject(write, id, cause))
    }

    async fn approvals(
        &self,
        all: bool,
        after: Option<ApprovalId>,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        let now = self.clock().now();
        read!(self, |db| approvals::list(db, all, after, limit, now))
    }
}
