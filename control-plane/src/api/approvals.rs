//! Restorations that wait for a second operator.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kya_core::{ActionName, AgentId, ApprovalId, PrincipalId};
use serde::{Deserialize, Serialize};

use super::Api;
use super::extract::{Body, Params, Segment};
use super::handlers::page;
use super::problem::Problem;
use super::records::CommittedAt;
use super::requests::{Limit, Restore};
use super::routes::By;
use crate::principals::PrincipalKey;
use crate::store::{self, Restorable};
use crate::time::UnixMicros;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListApprovals {
    /// Also those that do not wait any more.
    #[serde(default)]
    all: bool,
    after: Option<ApprovalId>,
    #[serde(default)]
    limit: Limit,
}

/// A restoration that waits, or waited, for a second operator.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Approval {
    approval_id: ApprovalId,
    /// `pending`, `approved`, `rejected`, `void` or `expired`.
    status: &'static str,
    /// What is to be restored: `agent`, `capability`, `principal` or `fleet`.
    restores: &'static str,
    agent_id: Option<AgentId>,
    action: Option<ActionName>,
    principal_id: Option<PrincipalId>,
    asked_by: String,
    asked_at: String,
    expires_at: String,
    reason: Option<String>,
    incident_id: Option<String>,
    /// Who approved or rejected it, or found it void.
    settled_by: Option<String>,
    settled_at: Option<String>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Approvals {
    approvals: Vec<Approval>,
    next: Option<ApprovalId>,
}

/// What was restored by an approval, and by which change.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct ApprovalChange {
    approval: Approval,
    changed: bool,
    #[serde(flatten)]
    committed: CommittedAt,
}

impl Approval {
    pub(super) fn new(approval: store::Approval, now: UnixMicros) -> Self {
        let (status, restores) = (approval.status(now), approval.of.kind());
        let (agent_id, action, principal_id) = match approval.of {
            Restorable::Agent(id) => (Some(id), None, None),
            Restorable::Capability(id, action) => (Some(id), Some(action), None),
            Restorable::Principal(PrincipalKey::Id(id)) => (None, None, Some(id)),
            Restorable::Principal(PrincipalKey::Name(_)) | Restorable::Fleet => (None, None, None),
        };
        let settled = approval.settled;
        Self {
            approval_id: approval.id,
            status,
            restores,
            agent_id,
            action,
            principal_id,
            asked_by: approval.asked_by,
            asked_at: approval.asked_at.to_rfc3339(),
            expires_at: approval.expires_at.to_rfc3339(),
            reason: approval.reason,
            incident_id: approval.incident_id,
            settled_at: settled.as_ref().map(|settled| settled.at.to_rfc3339()),
            settled_by: settled.map(|settled| settled.by),
        }
    }
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Params(wanted): Params<ListApprovals>,
) -> Result<Json<Approvals>, Problem> {
    let ListApprovals { all, after, limit } = wanted;
    let found = api.store.approvals(all, after, limit.0.saturating_add(1)).await?;
    let (found, next) = page(found, limit.0, |approval| approval.id);
    let now = api.clock.now();
    let approvals = found.into_iter().map(|approval| Approval::new(approval, now)).collect();
    Ok(Json(Approvals { approvals, next }))
}

pub(super) async fn approve(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Segment(id): Segment<ApprovalId>,
    Body(why): Body<Restore>,
) -> Result<Json<ApprovalChange>, Problem> {
    let outcome = api.registry.approve(id, operator.because(why.into())).await?;
    Ok(Json(ApprovalChange {
        approval: Approval::new(outcome.record, api.clock.now()),
        changed: outcome.changed,
        committed: outcome.committed.into(),
    }))
}

pub(super) async fn reject(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Segment(id): Segment<ApprovalId>,
    Body(why): Body<Restore>,
) -> Result<Json<Approval>, Problem> {
    let rejected = api.store.reject(id, operator.because(why.into())).await?;
    Ok(Json(Approval::new(rejected, api.clock.now())))
}
