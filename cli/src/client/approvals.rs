//! Calls about restorations that wait for a second operator.

use kya_core::ApprovalId;

use super::{Answer, Client, Query};
use crate::api::{Approval, ApprovalChange, Approvals, Why};
use crate::error::Error;

impl Client {
    pub(crate) async fn approvals(&self, query: &Query<'_>) -> Result<Answer<Approvals>, Error> {
        self.get(&["approvals"], query).await
    }

    pub(crate) async fn approve(
        &self,
        id: ApprovalId,
        why: &Why<'_>,
    ) -> Result<Answer<ApprovalChange>, Error> {
        self.post(&["approvals", &id.to_string(), "approve"], why).await
    }

    pub(crate) async fn reject(
        &self,
        id: ApprovalId,
        why: &Why<'_>,
    ) -> Result<Answer<Approval>, Error> {
        self.post(&["approvals", &id.to_string(), "reject"], why).await
    }
}
