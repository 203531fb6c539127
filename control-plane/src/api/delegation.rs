//! Who acts for whom, who takes whose place, and many tokens at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kya_core::{ActionName, AgentId, InFlight, KillId, WrittenKey};
use serde::{Deserialize, Serialize};

use super::Api;
use super::describe::Created;
use super::extract::{Body, Segment};
use super::handlers::{register, registered};
use super::problem::Problem;
use super::records::{Agent, CommittedAt};
use super::requests::RegisterAgent;
use super::routes::By;
use super::stops::{self, Stopped, stopped};
use crate::labels::{Labels, Selector};
use crate::principals::PrincipalKey;
use crate::registry::{Successor, Why};
use crate::store::{ServiceName, StatusAction, Target, TokenSelection};
use crate::text::{IncidentId, Name, Reason};
use crate::time::{Instant, second_start};

type Shared = State<Arc<Api>>;

/// Most agents in the answer about a tree.
const MAX_TREE: u32 = 1_000;

/// Registers an agent in the place of another. What is left out is as it is of that one.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplaceAgent {
    public_key: WrittenKey,
    name: Option<Name>,
    owner: Option<PrincipalKey>,
    labels: Option<Labels>,
    expires_at: Option<Instant>,
    #[serde(default)]
    revoke: bool,
    reason: Option<Reason>,
    incident_id: Option<IncidentId>,
}

/// Revokes tokens of an agent, or of agents with these labels.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeTokens {
    agent_id: Option<AgentId>,
    selector: Option<Selector>,
    service: Option<ServiceName>,
    action: Option<ActionName>,
    reason: Reason,
    incident_id: Option<IncidentId>,
    #[serde(default)]
    dry_run: bool,
}

/// An agent and all that act for it.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Tree {
    /// That agent first, and each after the one that it acts for.
    agents: Vec<Branch>,
    /// Whether there are more than are shown.
    truncated: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Branch {
    depth: u64,
    #[serde(flatten)]
    agent: Agent,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct TokensChange {
    agent_id: Option<AgentId>,
    selector: Option<String>,
    service: Option<ServiceName>,
    action: Option<ActionName>,
    changed: bool,
    /// How many were revoked one by one; `None` where all of an agent were, by one record.
    tokens: Option<u64>,
    /// Those that were issued up to this second do not count any more.
    tokens_not_before: Option<String>,
    /// How many revisions it took.
    revisions: u64,
    /// The last of them; `None` if no token was meant.
    #[serde(flatten)]
    committed: Option<CommittedAt>,
}

/// The successor.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Replaced {
    #[serde(flatten)]
    agent: Agent,
    /// The kill of the one before, if it was revoked by this.
    #[serde(skip_serializing_if = "Option::is_none")]
    kill_id: Option<KillId>,
}

pub(super) async fn replace(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<AgentId>,
    Body(wanted): Body<ReplaceAgent>,
) -> Result<Created<Replaced>, Problem> {
    let now = api.clock.now();
    let expires = wanted.expires_at.map(|at| stops::expiry(at, now)).transpose()?;
    if wanted.revoke && wanted.reason.is_none() {
        return Err(Problem::unprocessable("`reason`: a revocation needs one"));
    }
    if wanted.reason.is_some() && !wanted.revoke {
        return Err(Problem::unprocessable(
            "`reason`: it says why the old agent is revoked, and goes with `revoke`: true",
        ));
    }
    let ReplaceAgent { public_key, name, owner, labels, revoke, reason, incident_id, .. } = wanted;
    let public_key = public_key.0;
    let successor = Successor { public_key, name, owner, labels, expires, revoke };
    let cause = operator.because(Why { reason, incident_id });
    let outcome = api.registry.replace_agent(id, successor, cause).await?;
    let kill_id = match revoke {
        true => stops::kill_of(&api, Some(outcome.committed)).await,
        false => None,
    };
    let Created(place, agent) = registered(outcome.record, now);
    Ok(Created(place, Replaced { agent, kill_id }))
}

/// What an operator registers in the name of an agent.
pub(super) async fn sub_agent(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<AgentId>,
    Body(wanted): Body<RegisterAgent>,
) -> Result<Created<Agent>, Problem> {
    if wanted.parent_id.is_some_and(|parent| parent != id) {
        return Err(Problem::unprocessable(format!("`parent_id`: the path says {id}")));
    }
    register(&api, &operator, RegisterAgent { parent_id: Some(id), ..wanted }).await
}

pub(super) async fn tree(
    State(api): Shared,
    Segment(id): Segment<AgentId>,
) -> Result<Json<Tree>, Problem> {
    let mut found = api.store.descendants(id, MAX_TREE).await?;
    let most = usize::try_from(MAX_TREE).unwrap_or(usize::MAX).saturating_add(1);
    let truncated = found.len() > most;
    found.truncate(most);
    let now = api.clock.now();
    let branch =
        |it: crate::store::Descendant| Branch { depth: it.depth, agent: Agent::new(it.agent, now) };
    Ok(Json(Tree { agents: found.into_iter().map(branch).collect(), truncated }))
}

pub(super) async fn revoke_tokens(
    State(api): Shared,
    By(operator): By,
    Body(wanted): Body<RevokeTokens>,
) -> Result<Json<Stopped<TokensChange>>, Problem> {
    let RevokeTokens { agent_id, selector, service, action, .. } = wanted;
    if agent_id.is_none() && selector.is_none() {
        return Err(Problem::unprocessable(
            "`agent_id` or `selector`: one of them says whose tokens are meant; `POST /v1/fleet/halt` stops everyone",
        ));
    }
    let cause =
        operator.because(Why { reason: Some(wanted.reason), incident_id: wanted.incident_id });
    let told = selector.as_ref().map(ToString::to_string);
    let all = match (agent_id, &selector, &service, &action) {
        (Some(agent), None, None, None) => Some(agent),
        _ => None,
    };
    let selection = TokenSelection {
        agent: agent_id,
        selector,
        service: service.clone(),
        action: action.clone(),
    };
    if wanted.dry_run {
        let target = all.map_or(Target::Tokens(selection), Target::TokensOf);
        let revoke = StatusAction::Revoke(InFlight::Abort);
        return stops::dry_run(&api, target, revoke).await;
    }
    let (made_so, change) = match all {
        Some(agent) => {
            let outcome = api.registry.supersede_tokens(agent, cause).await?;
            let made_so = Some(outcome.committed);
            let until = second_start(outcome.record.tokens_not_before).to_rfc3339();
            let change = TokensChange {
                agent_id,
                selector: told,
                service,
                action,
                changed: outcome.changed,
                tokens: None,
                tokens_not_before: Some(until),
                revisions: u64::from(outcome.changed),
                committed: Some(outcome.committed.into()),
            };
            (made_so, change)
        }
        None => {
            let many = api.registry.revoke_tokens(selection, cause).await?;
            let change = TokensChange {
                agent_id,
                selector: told,
                service,
                action,
                changed: many.changed > 0,
                tokens: Some(many.changed),
                tokens_not_before: None,
                revisions: many.revisions,
                committed: many.committed.map(Into::into),
            };
            (many.committed, change)
        }
    };
    Ok(stopped(&api, made_so, change).await)
}
