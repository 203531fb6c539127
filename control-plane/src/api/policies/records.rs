//! What is answered, as JSON.

use std::collections::BTreeSet;

use kya_core::policy::{PolicyDiff, PolicyDocument, diff, is_within};
use kya_core::{ActionName, AgentId, PolicyId, PolicyName, PolicyVersion};
use serde::Serialize;

use crate::api::problem::{Code, Problem};
use crate::api::records::CommittedAt;
use crate::api::stops::Reach;
use crate::store::{self, Outcome};
use crate::time::UnixMicros;

/// One version of a policy.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Policy {
    policy_id: PolicyId,
    name: PolicyName,
    version: PolicyVersion,
    /// The one that counts.
    newest_version: PolicyVersion,
    /// How this version came to be: `applied`, `rolled_back` or `revoked`.
    step: &'static str,
    rolled_back_to: Option<PolicyVersion>,
    document: PolicyDocument,
    committed_at: String,
    actor: String,
    reason: Option<String>,
    incident_id: Option<String>,
    revision: u64,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Policies {
    pub(super) policies: Vec<Policy>,
    pub(super) next: Option<PolicyId>,
}

/// The newest first.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Versions {
    pub(super) versions: Vec<Policy>,
    pub(super) next: Option<PolicyVersion>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct PolicyChange {
    policy: Policy,
    changed: bool,
    #[serde(flatten)]
    committed: CommittedAt,
    /// Whom it reaches, where that was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    reach: Option<Reach>,
}

/// What differs between two policies.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Difference {
    /// `same`, `narrows`, `widens`, or `changes` where it does, or may do, both.
    tendency: &'static str,
    #[serde(flatten)]
    diff: PolicyDiff,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Comparison {
    policy_id: PolicyId,
    name: PolicyName,
    from: PolicyVersion,
    to: PolicyVersion,
    #[serde(flatten)]
    difference: Difference,
}

/// What was done, or would be.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub(in crate::api) enum Previewed {
    Done(PolicyChange),
    Dry(Preview),
}

/// What a change would do. Nothing was written.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Preview {
    dry_run: bool,
    /// Whether it would change anything.
    changed: bool,
    name: PolicyName,
    /// The version that counts now; `None` of a policy that would be new.
    version: Option<PolicyVersion>,
    document: PolicyDocument,
    difference: Option<Difference>,
    /// Agents that are neither revoked nor expired, and their tokens.
    reach: Reach,
    /// The first agents under it.
    agents: Vec<Affected>,
    /// How recent requests would have been decided: no proxy reports them in this
    /// version, so it is not known.
    recent_requests: Option<u64>,
}

/// One agent under a policy.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Affected {
    agent_id: AgentId,
    name: String,
    status: &'static str,
}

/// Who is under a policy.
pub(in crate::api) struct Reviewed {
    reach: Reach,
    agents: Vec<Affected>,
}

/// The policy as it decides.
pub(in crate::api) fn checked(policy: &store::Policy) -> Result<kya_core::Policy, Problem> {
    document(policy)?.check().map_err(|error| damaged(policy, error))
}

fn document(policy: &store::Policy) -> Result<PolicyDocument, Problem> {
    serde_json::from_str(&policy.document).map_err(|error| damaged(policy, error))
}

fn damaged(policy: &store::Policy, error: impl std::fmt::Display) -> Problem {
    let store::Policy { id, version, .. } = policy;
    tracing::error!(policy = %id, %version, %error, "a stored policy cannot be read");
    Problem::new(Code::Internal, "the store is damaged; see the server's log")
}

impl Policy {
    pub(super) fn new(policy: store::Policy) -> Result<Self, Problem> {
        let document = document(&policy)?;
        Ok(Self {
            policy_id: policy.id,
            name: policy.name,
            version: policy.version,
            newest_version: policy.newest,
            step: policy.step.name(),
            rolled_back_to: policy.step.rolled_back_to(),
            document,
            committed_at: policy.committed_at.to_rfc3339(),
            actor: policy.cause.actor,
            reason: policy.cause.reason,
            incident_id: policy.cause.incident_id,
            revision: policy.revision.0,
        })
    }
}

impl PolicyChange {
    pub(super) fn new(outcome: Outcome<store::Policy>) -> Result<Self, Problem> {
        Ok(Self {
            policy: Policy::new(outcome.record)?,
            changed: outcome.changed,
            committed: outcome.committed.into(),
            reach: None,
        })
    }

    pub(super) fn reaching(self, reach: Option<store::Reach>) -> Self {
        Self { reach: reach.map(Reach::from), ..self }
    }
}

impl Difference {
    fn new(before: &kya_core::Policy, after: &kya_core::Policy) -> Self {
        let tendency = match (is_within(after, before), is_within(before, after)) {
            (true, true) => "same",
            (true, false) => "narrows",
            (false, true) => "widens",
            (false, false) => "changes",
        };
        Self { tendency, diff: diff(before, after, &named(before, after)) }
    }
}

/// The actions that are known by name, since one of the two names them.
fn named(before: &kya_core::Policy, after: &kya_core::Policy) -> Vec<ActionName> {
    let documents = [before.to_document(), after.to_document()];
    let patterns = documents.into_iter().flat_map(|it| it.allow.into_iter().chain(it.deny));
    let names: BTreeSet<ActionName> = patterns.filter_map(|it| it.parse().ok()).collect();
    names.into_iter().collect()
}

impl Comparison {
    pub(super) fn new(from: &store::Policy, to: &store::Policy) -> Result<Self, Problem> {
        Ok(Self {
            policy_id: to.id,
            name: to.name.clone(),
            from: from.version,
            to: to.version,
            difference: Difference::new(&checked(from)?, &checked(to)?),
        })
    }
}

impl Preview {
    /// Of a policy that nobody is under.
    pub(super) fn of_new(policy: &kya_core::Policy) -> Self {
        Self {
            dry_run: true,
            changed: true,
            name: policy.name().clone(),
            version: None,
            document: policy.to_document(),
            difference: None,
            reach: store::Reach::default().into(),
            agents: Vec::new(),
            recent_requests: None,
        }
    }

    pub(super) fn of_change(
        newest: &store::Policy,
        before: &kya_core::Policy,
        after: &kya_core::Policy,
        reviewed: Reviewed,
    ) -> Self {
        Self {
            changed: before != after,
            version: Some(newest.version),
            difference: Some(Difference::new(before, after)),
            reach: reviewed.reach,
            agents: reviewed.agents,
            ..Self::of_new(after)
        }
    }
}

impl Reviewed {
    pub(super) fn new(reach: store::Reach, agents: Vec<store::Agent>, now: UnixMicros) -> Self {
        let affected = |agent: store::Agent| Affected {
            agent_id: agent.id,
            status: agent.shown_status(now).name(),
            name: agent.name,
        };
        Self { reach: reach.into(), agents: agents.into_iter().map(affected).collect() }
    }
}
