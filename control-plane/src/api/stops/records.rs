//! What is answered, as JSON. Times are RFC 3339 with three decimals.

use std::collections::BTreeSet;

use axum::Json;
use kya_core::policy::PolicyDenied;
use kya_core::{ActionName, AgentId, KillId, PrincipalId, Status};
use serde::Serialize;

use crate::api::Api;
use crate::api::records::CommittedAt;
use crate::labels::Selector;
use crate::principals::PrincipalName;
use crate::registry::Many;
use crate::store::{self, Committed, Decided, Outcome, in_flight_name, status_name};
use crate::time::UnixMicros;

/// What was done, or would be.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Stopped_{T}")]
pub(in crate::api) enum Stopped<T> {
    Done(Killed<T>),
    Dry(DryRun),
}

/// What was done.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Killed_{T}")]
pub(in crate::api) struct Killed<T> {
    #[serde(flatten)]
    change: T,
    /// What became of it is under this id in `/v1/kills`: of this change, or of the one
    /// that made it so before. Where it took several revisions each is a kill, and this is
    /// the last. `None` if that is not known.
    kill_id: Option<KillId>,
}

/// What was done, as of the revision that made it so.
pub(in crate::api) async fn stopped<T>(
    api: &Api,
    made_so: Option<Committed>,
    change: T,
) -> Json<Stopped<T>> {
    let kill_id = kill_of(api, made_so).await;
    Json(Stopped::Done(Killed { change, kill_id }))
}

/// The kill of this revision. It is looked up after the change, which is not undone by a
/// failure to find it.
pub(in crate::api) async fn kill_of(api: &Api, made_so: Option<Committed>) -> Option<KillId> {
    let found = api.store.kill_at(made_so?.position.revision).await;
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, "the id of a kill could not be looked up");
        None
    })
}

/// What a stop would do. Nothing was written.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct DryRun {
    dry_run: bool,
    /// Whether it would change anything.
    changed: bool,
    reach: Reach,
}

/// Agents that are neither revoked nor expired, and their tokens that are neither.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Reach {
    agents: u64,
    tokens: u64,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Principal {
    principal_id: PrincipalId,
    name: PrincipalName,
    created_at: String,
    #[serde(flatten)]
    standing: Standing,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Standing {
    status: &'static str,
    /// What becomes of requests in flight; `None` while it is active.
    in_flight: Option<&'static str>,
    revoked_at: Option<String>,
    /// `None` as long as nothing was decided.
    status_changed_at: Option<String>,
    status_reason: Option<String>,
    incident_id: Option<String>,
    revision: Option<u64>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Principals {
    pub(super) principals: Vec<Principal>,
    pub(super) next: Option<PrincipalId>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct PrincipalChange {
    principal: Principal,
    changed: bool,
    #[serde(flatten)]
    committed: CommittedAt,
    /// `None` if it could not be counted.
    reach: Option<Reach>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Capability {
    agent_id: AgentId,
    action: ActionName,
    #[serde(flatten)]
    standing: Standing,
}

/// Every action of an agent about which something was decided.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Capabilities {
    capabilities: Vec<Capability>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct CapabilityChange {
    capability: Capability,
    changed: bool,
    #[serde(flatten)]
    committed: CommittedAt,
    /// Other actions that the agent goes on with: those that its policy names and
    /// permits, and those that were restored. Sorted.
    active: Vec<ActionName>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Fleet {
    #[serde(flatten)]
    standing: Standing,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct FleetChange {
    fleet: Fleet,
    changed: bool,
    #[serde(flatten)]
    committed: CommittedAt,
    /// `None` if it could not be counted.
    reach: Option<Reach>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct SelectionChange {
    selector: String,
    /// What the agents are now, unless they were revoked before.
    status: &'static str,
    changed: bool,
    /// Agents that were changed, and that already were so.
    agents: u64,
    unchanged: u64,
    /// How many revisions it took. The last of them is `revision`.
    revisions: u64,
    /// `None` if no agent is meant.
    #[serde(flatten)]
    committed: Option<CommittedAt>,
}

impl From<store::Reach> for Reach {
    fn from(store::Reach { agents, tokens }: store::Reach) -> Self {
        Self { agents, tokens }
    }
}

impl From<store::Preview> for DryRun {
    fn from(preview: store::Preview) -> Self {
        Self { dry_run: true, changed: preview.changes, reach: preview.reach.into() }
    }
}

impl From<Decided> for Standing {
    fn from(decided: Decided) -> Self {
        Self {
            status: status_name(decided.status),
            in_flight: (decided.status != Status::Active)
                .then(|| in_flight_name(decided.in_flight)),
            revoked_at: decided.revoked_at.map(UnixMicros::to_rfc3339),
            status_changed_at: Some(decided.changed_at.to_rfc3339()),
            status_reason: decided.reason,
            incident_id: decided.incident_id,
            revision: Some(decided.revision.0),
        }
    }
}

impl From<store::Principal> for Principal {
    fn from(principal: store::Principal) -> Self {
        Self {
            principal_id: principal.id,
            name: principal.name,
            created_at: principal.created_at.to_rfc3339(),
            standing: principal.decided.into(),
        }
    }
}

impl PrincipalChange {
    pub(super) fn new(outcome: Outcome<store::Principal>, reach: Option<store::Reach>) -> Self {
        Self {
            principal: outcome.record.into(),
            changed: outcome.changed,
            committed: outcome.committed.into(),
            reach: reach.map(Reach::from),
        }
    }
}

impl From<store::Capability> for Capability {
    fn from(capability: store::Capability) -> Self {
        let store::Capability { agent_id, action, decided } = capability;
        Self { agent_id, action, standing: decided.into() }
    }
}

impl From<Vec<store::Capability>> for Capabilities {
    fn from(found: Vec<store::Capability>) -> Self {
        Self { capabilities: found.into_iter().map(Capability::from).collect() }
    }
}

impl CapabilityChange {
    /// `known` are all of the agent about which something was decided, after the change.
    /// The policy is that of the agent, if it has one.
    pub(super) fn new(
        outcome: Outcome<store::Capability>,
        known: &[store::Capability],
        policy: Option<&kya_core::Policy>,
    ) -> Self {
        let permits = |action: &ActionName| {
            // For some service or other.
            let denied = policy.map(|policy| policy.permits(Some(action), None));
            !matches!(denied, Some(Err(PolicyDenied::Action | PolicyDenied::Unmapped)))
        };
        let (active, stopped): (Vec<_>, Vec<_>) =
            known.iter().partition(|it| it.decided.status == Status::Active);
        let named = policy.into_iter().flat_map(|policy| policy.to_document().allow);
        let named = named.filter_map(|pattern| pattern.parse::<ActionName>().ok());
        let all: BTreeSet<_> =
            active.into_iter().map(|it| it.action.clone()).chain(named).collect();
        let goes_on = |action: &ActionName| {
            *action != outcome.record.action
                && permits(action)
                && !stopped.iter().any(|it| it.action == *action)
        };
        Self {
            active: all.into_iter().filter(goes_on).collect(),
            capability: outcome.record.into(),
            changed: outcome.changed,
            committed: outcome.committed.into(),
        }
    }
}

impl From<store::Fleet> for Fleet {
    fn from(fleet: store::Fleet) -> Self {
        let never = Standing {
            status: status_name(Status::Active),
            in_flight: None,
            revoked_at: None,
            status_changed_at: None,
            status_reason: None,
            incident_id: None,
            revision: None,
        };
        Self { standing: fleet.decided.map_or(never, Standing::from) }
    }
}

impl FleetChange {
    pub(super) fn new(outcome: Outcome<store::Fleet>, reach: Option<store::Reach>) -> Self {
        Self {
            fleet: outcome.record.into(),
            changed: outcome.changed,
            committed: outcome.committed.into(),
            reach: reach.map(Reach::from),
        }
    }
}

impl SelectionChange {
    pub(super) fn new(selector: &Selector, status: Status, many: Many) -> Self {
        Self {
            selector: selector.to_string(),
            status: status_name(status),
            changed: many.changed > 0,
            agents: many.changed,
            unchanged: many.unchanged,
            revisions: many.revisions,
            committed: many.committed.map(CommittedAt::from),
        }
    }
}
