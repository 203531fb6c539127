//! The keys that sign updates, and their replacement.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kya_core::PublicKey;
use serde::{Deserialize, Serialize};

use super::Api;
use super::extract::Body;
use super::problem::{Code, Problem};
use super::records::CommittedAt;
use super::routes::By;
use crate::operators::Operator;
use crate::registry::Why;
use crate::rotation::{KeyState, MAX_CHAIN, Phase, RotationError, Step};
use crate::store::{KeyStep, Outcome};
use crate::text::{IncidentId, Reason};

/// Steps that are listed, the newest.
const LISTED: usize = 100;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Announce {
    reason: Reason,
    incident_id: Option<IncidentId>,
}

/// To activate, or to retire.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Proceed {
    reason: Reason,
    incident_id: Option<IncidentId>,
    /// Though not every connected worker has acknowledged the step before.
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Compact {
    /// The key that every configuration pins.
    pinned: PublicKey,
    reason: Reason,
    incident_id: Option<IncidentId>,
}

/// The keys that count, and how they came to.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Keys {
    phase: &'static str,
    keys: Vec<Key>,
    serial: u64,
    chain: Chain,
    steps: Vec<ListedStep>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Key {
    key_id: String,
    public_key: PublicKey,
    /// `active` signs, `next` will, and `previous` did.
    role: &'static str,
}

/// `Keys` updates that every proxy is sent, and how many there may be.
#[derive(Serialize, schemars::JsonSchema)]
struct Chain {
    length: usize,
    most: usize,
}

#[derive(Serialize, schemars::JsonSchema)]
struct ListedStep {
    action: &'static str,
    key_id: String,
    serial: u64,
    actor: String,
    reason: Option<String>,
    incident_id: Option<String>,
    #[serde(flatten)]
    committed: CommittedAt,
}

/// What became of a step, and how the keys are now.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct KeysChange {
    #[serde(flatten)]
    keys: Keys,
    changed: bool,
    #[serde(flatten)]
    committed: CommittedAt,
}

impl From<KeyState> for Keys {
    fn from(state: KeyState) -> Self {
        let phase = state.phase();
        let role = |key| match phase {
            _ if key == state.active => "active",
            Phase::Announced { .. } => "next",
            _ => "previous",
        };
        let key = |key: &PublicKey| Key {
            key_id: key.id().to_string(),
            public_key: *key,
            role: role(*key),
        };
        let skipped = state.steps.len().saturating_sub(LISTED);
        Self {
            phase: phase.name(),
            keys: state.counting.iter().map(key).collect(),
            serial: state.serial,
            chain: Chain { length: state.chain.len(), most: MAX_CHAIN },
            steps: state.steps.into_iter().skip(skipped).map(ListedStep::from).collect(),
        }
    }
}

impl From<KeyStep> for ListedStep {
    fn from(step: KeyStep) -> Self {
        Self {
            action: step.change.action.name(),
            key_id: step.change.subject().id().to_string(),
            serial: step.change.serial,
            actor: step.cause.actor,
            reason: step.cause.reason,
            incident_id: step.cause.incident_id,
            committed: step.committed.into(),
        }
    }
}

type Shared = State<Arc<Api>>;

pub(super) async fn list(State(api): Shared) -> Result<Json<Keys>, Problem> {
    Ok(Json(api.rotation.state().await?.into()))
}

pub(super) async fn announce(
    State(api): Shared,
    By(operator): By,
    Body(Announce { reason, incident_id }): Body<Announce>,
) -> Result<Json<KeysChange>, Problem> {
    take(&api, &operator, Step::Announce, reason, incident_id).await
}

pub(super) async fn activate(
    State(api): Shared,
    By(operator): By,
    Body(Proceed { reason, incident_id, force }): Body<Proceed>,
) -> Result<Json<KeysChange>, Problem> {
    take(&api, &operator, Step::Activate { force }, reason, incident_id).await
}

pub(super) async fn retire(
    State(api): Shared,
    By(operator): By,
    Body(Proceed { reason, incident_id, force }): Body<Proceed>,
) -> Result<Json<KeysChange>, Problem> {
    take(&api, &operator, Step::Retire { force }, reason, incident_id).await
}

pub(super) async fn compact(
    State(api): Shared,
    By(operator): By,
    Body(Compact { pinned, reason, incident_id }): Body<Compact>,
) -> Result<Json<KeysChange>, Problem> {
    take(&api, &operator, Step::Compact { pinned }, reason, incident_id).await
}

async fn take(
    api: &Api,
    operator: &Operator,
    step: Step,
    reason: Reason,
    incident_id: Option<IncidentId>,
) -> Result<Json<KeysChange>, Problem> {
    let cause = operator.because(Why { reason: Some(reason), incident_id });
    let Outcome { changed, committed, .. } = api.rotation.take(step, cause).await?;
    let keys = api.rotation.state().await?.into();
    Ok(Json(KeysChange { keys, changed, committed: committed.into() }))
}

impl From<RotationError> for Problem {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Store(error) => error.into(),
            RotationError::File(_) | RotationError::Interrupted => {
                tracing::error!(%error, "signing keys");
                Self::new(Code::Internal, error.to_string())
            }
            refused => Self::new(Code::Conflict, refused.to_string()),
        }
    }
}
