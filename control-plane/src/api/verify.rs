//! Decisions, for services that have no proxy.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use kya_core::{ActionName, AgentId, Decision, PolicyUsed};
use serde::{Deserialize, Serialize};

use super::Api;
use super::extract::Body;
use super::problem::{Code, Problem};
use crate::push::{Presented, Question, Verified};
use crate::store::ServiceName;

/// Longest token that is looked at, in bytes: that of the longest capability token.
const MAX_TOKEN_BYTES: usize = kya_core::jwt::MAX_TOKEN_BYTES;

/// A token, which is nowhere shown, or an agent by itself; and what it would do.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Verify {
    token: Option<String>,
    agent_id: Option<AgentId>,
    action: Option<ActionName>,
    service: Option<ServiceName>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Verified")]
pub(super) struct Answer {
    decision: &'static str,
    /// Why it is denied.
    reason: Option<&'static str>,
    /// Whose token it is, where a genuine one showed it.
    agent_id: Option<AgentId>,
    /// By which policy it is allowed, if the agent has one.
    policy: Option<Policy>,
    /// The state that says so.
    epoch: Option<u64>,
    revision: Option<u64>,
    /// How long ago that was surely the newest.
    state_age_ms: f64,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "PolicyUsed")]
struct Policy {
    id: String,
    version: u64,
}

pub(super) async fn verify(
    State(api): State<Arc<Api>>,
    Body(asked): Body<Verify>,
) -> Result<Json<Answer>, Problem> {
    let Verify { token, agent_id, action, service } = asked;
    let presented = match (token, agent_id) {
        (Some(token), None) if token.len() <= MAX_TOKEN_BYTES => Presented::Token(token),
        (Some(_), None) => {
            let most = format!("`token`: has more than {MAX_TOKEN_BYTES} bytes, which none has");
            return Err(Problem::unprocessable(most));
        }
        (None, Some(id)) => Presented::Grant(api.store.unlimited_grant(id).await?),
        _ => return Err(Problem::unprocessable("`token` or `agent_id`: exactly one is needed")),
    };
    let service = service.map(|name| name.as_str().to_owned());
    let question = Question { presented, action, service };
    let verified = api.push.verify(question).await;
    let verified = verified.map_err(|status| Problem::new(Code::Unavailable, status.message()))?;
    Ok(Json(verified.into()))
}

impl From<Verified> for Answer {
    fn from(Verified { decision, state_age }: Verified) -> Self {
        let state_age_ms = milliseconds(state_age);
        match decision {
            Decision::Allow { agent_id, policy, position, .. } => Self {
                decision: "ALLOW",
                reason: None,
                agent_id: Some(agent_id),
                policy: policy.map(Into::into),
                epoch: Some(position.epoch),
                revision: Some(position.revision.0),
                state_age_ms,
            },
            Decision::Deny { reason, agent_id, position, .. } => Self {
                decision: "DENY",
                reason: Some(reason.name()),
                agent_id,
                policy: None,
                epoch: position.map(|it| it.epoch),
                revision: position.map(|it| it.revision.0),
                state_age_ms,
            },
        }
    }
}

impl From<PolicyUsed> for Policy {
    fn from(used: PolicyUsed) -> Self {
        Self { id: used.id.to_string(), version: used.version.get().into() }
    }
}

/// With three decimals.
fn milliseconds(age: Duration) -> f64 {
    (age.as_secs_f64() * 1e6).round() / 1e3
}
