//! What calls about policies take and give.

use kya_core::policy::PolicyDocument;
use kya_core::{AgentId, PolicyId};
use serde::{Deserialize, Serialize};

use super::{Commit, Reach, Why};

/// `POST /v1/policies/{policy}/rollback`.
#[derive(Debug, Serialize)]
pub(crate) struct RollBack<'a> {
    pub(crate) to: u32,
    #[serde(flatten)]
    pub(crate) why: Why<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
}

/// `POST /v1/agents/{agent_id}/policy`.
#[derive(Debug, Serialize)]
pub(crate) struct AssignPolicy<'a> {
    /// `None` is no policy.
    pub(crate) policy: Option<&'a str>,
    #[serde(flatten)]
    pub(crate) why: Why<'a>,
}

/// One version of a policy.
#[derive(Debug, Deserialize)]
pub(crate) struct Policy {
    pub(crate) policy_id: PolicyId,
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) newest_version: u32,
    pub(crate) step: String,
    pub(crate) rolled_back_to: Option<u32>,
    pub(crate) document: PolicyDocument,
    pub(crate) committed_at: String,
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
    pub(crate) incident_id: Option<String>,
    pub(crate) revision: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Policies {
    pub(crate) policies: Vec<Policy>,
    pub(crate) next: Option<PolicyId>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PolicyVersions {
    pub(crate) versions: Vec<Policy>,
    pub(crate) next: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PolicyChange {
    pub(crate) policy: Policy,
    #[serde(flatten)]
    pub(crate) commit: Commit,
    pub(crate) reach: Option<Reach>,
}

/// What differs between two policies.
#[derive(Debug, Deserialize)]
pub(crate) struct PolicyDifference {
    pub(crate) tendency: String,
    pub(crate) fields: Vec<FieldChange>,
    pub(crate) now_denied: Vec<String>,
    pub(crate) now_permitted: Vec<String>,
    pub(crate) unmapped: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum FieldChange {
    Added { field: String, value: String },
    Removed { field: String, value: String },
    Changed { field: String, from: String, to: String },
    Items { field: String, added: Vec<String>, removed: Vec<String> },
}

#[derive(Debug, Deserialize)]
pub(crate) struct PolicyComparison {
    pub(crate) name: String,
    pub(crate) from: u32,
    pub(crate) to: u32,
    #[serde(flatten)]
    pub(crate) difference: PolicyDifference,
}

/// What a change of a policy would do.
#[derive(Debug, Deserialize)]
pub(crate) struct PolicyPreview {
    /// True, or it was none.
    pub(crate) dry_run: bool,
    pub(crate) changed: bool,
    pub(crate) name: String,
    /// The version that counts now; none of a policy that would be new.
    pub(crate) version: Option<u32>,
    pub(crate) difference: Option<PolicyDifference>,
    pub(crate) reach: Reach,
    /// The first agents under it.
    pub(crate) agents: Vec<Affected>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Affected {
    pub(crate) agent_id: AgentId,
    pub(crate) name: String,
    pub(crate) status: String,
}
