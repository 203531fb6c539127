//! Restorations that wait for a second operator, as the API gives them.

use kya_core::{AgentId, ApprovalId, PrincipalId};
use serde::Deserialize;

use super::Commit;

#[derive(Debug, Deserialize)]
pub(crate) struct Approval {
    pub(crate) approval_id: ApprovalId,
    pub(crate) status: String,
    /// `agent`, `capability`, `principal` or `fleet`.
    pub(crate) restores: String,
    pub(crate) agent_id: Option<AgentId>,
    pub(crate) action: Option<String>,
    pub(crate) principal_id: Option<PrincipalId>,
    pub(crate) asked_by: String,
    pub(crate) expires_at: String,
    pub(crate) reason: Option<String>,
    pub(crate) incident_id: Option<String>,
    pub(crate) settled_by: Option<String>,
    pub(crate) settled_at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Approvals {
    pub(crate) approvals: Vec<Approval>,
    pub(crate) next: Option<ApprovalId>,
}

/// What was restored by an approval.
#[derive(Debug, Deserialize)]
pub(crate) struct ApprovalChange {
    pub(crate) approval: Approval,
    #[serde(flatten)]
    pub(crate) commit: Commit,
}

impl Approval {
    /// What is to be restored: `capability issue_refund for agt_…`, `fleet`.
    pub(crate) fn what(&self) -> String {
        let mut what = self.restores.clone();
        what.extend(self.action.as_ref().map(|action| format!(" {action} for")));
        what.extend(self.agent_id.map(|id| format!(" {id}")));
        what.extend(self.principal_id.map(|id| format!(" {id}")));
        what
    }
}
