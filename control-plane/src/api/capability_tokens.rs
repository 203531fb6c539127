//! Capability tokens, as operators issue and take them back. Agents ask for their own by
//! `oauth`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kya_core::{ActionName, AgentId, CapabilityId};
use serde::{Deserialize, Serialize};

use super::Api;
use super::describe::Created;
use super::extract::{Body, Params, Segment};
use super::handlers::page;
use super::problem::Problem;
use super::records::CommittedAt;
use super::requests::{Bounded, Limit, RevokeToken};
use super::routes::By;
use super::stops::{DryRun, Stopped, stopped};
use crate::registry::Why;
use crate::store::{self, Outcome, Preview, Reach, ServiceName, TokenLimits};
use crate::time::{UnixMicros, second_start};

type Shared = State<Arc<Api>>;

/// How long a token lives if nothing else is asked for, in seconds.
pub(super) const DEFAULT_TTL_SECONDS: u32 = 300;
const MAX_TTL_SECONDS: u32 = 86_400;

/// Asks for a token. Without services it is for those that its holder's policy names,
/// without actions for whatever its holder may do.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IssueCapabilityToken {
    agent_id: AgentId,
    services: Option<Vec<ServiceName>>,
    actions: Option<Vec<ActionName>>,
    ttl_seconds: Option<Bounded<1, MAX_TTL_SECONDS>>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListCapabilityTokens {
    agent_id: Option<AgentId>,
    after: Option<CapabilityId>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct CapabilityToken {
    /// Its `jti`.
    token_id: CapabilityId,
    agent_id: AgentId,
    status: &'static str,
    services: Vec<ServiceName>,
    /// The only ones that it is for; all, if there are none.
    actions: Vec<ActionName>,
    issued_at: String,
    expires_at: String,
    revoked_at: Option<String>,
    revision: u64,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Issued {
    token: String,
    #[serde(flatten)]
    record: CapabilityToken,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct CapabilityTokens {
    tokens: Vec<CapabilityToken>,
    next: Option<CapabilityId>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct CapabilityTokenChange {
    token: CapabilityToken,
    changed: bool,
    #[serde(flatten)]
    committed: CommittedAt,
}

impl CapabilityToken {
    fn new(token: store::CapabilityToken, now: UnixMicros) -> Self {
        let status = match token.revoked_at {
            Some(_) => "revoked",
            None if token.superseded => "superseded",
            None if token.expires <= now.seconds() => "expired",
            None => "active",
        };
        Self {
            token_id: token.id,
            agent_id: token.agent_id,
            status,
            services: token.limits.services().to_vec(),
            actions: token.limits.actions().to_vec(),
            issued_at: second_start(token.issued).to_rfc3339(),
            expires_at: second_start(token.expires).to_rfc3339(),
            revoked_at: token.revoked_at.map(UnixMicros::to_rfc3339),
            revision: token.revision.0,
        }
    }
}

impl CapabilityTokenChange {
    fn new(outcome: Outcome<store::CapabilityToken>, now: UnixMicros) -> Self {
        Self {
            token: CapabilityToken::new(outcome.record, now),
            changed: outcome.changed,
            committed: outcome.committed.into(),
        }
    }
}

pub(super) async fn issue(
    State(api): Shared,
    By(operator): By,
    Body(wanted): Body<IssueCapabilityToken>,
) -> Result<Created<Issued>, Problem> {
    let limits = TokenLimits::new(wanted.services, wanted.actions)
        .map_err(|error| Problem::unprocessable(error.to_string()))?;
    let ttl = wanted.ttl_seconds.map_or(DEFAULT_TTL_SECONDS, |ttl| ttl.0);
    let cause = operator.because(Why::default());
    let registry = &api.registry;
    let issued =
        registry.issue_capability_token(wanted.agent_id, limits, ttl.into(), None, cause).await?;
    let record = CapabilityToken::new(issued.record, api.clock.now());
    let token = issued.token.reveal().to_owned();
    Ok(Created(None, Issued { token, record }))
}

pub(super) async fn list(
    State(api): Shared,
    Params(wanted): Params<ListCapabilityTokens>,
) -> Result<Json<CapabilityTokens>, Problem> {
    let ListCapabilityTokens { agent_id, after, limit } = wanted;
    let found = api.store.capability_tokens(agent_id, after, limit.0.saturating_add(1)).await?;
    let (page, next) = page(found, limit.0, |token| token.id);
    let now = api.clock.now();
    let tokens = page.into_iter().map(|token| CapabilityToken::new(token, now)).collect();
    Ok(Json(CapabilityTokens { tokens, next }))
}

pub(super) async fn show(
    State(api): Shared,
    Segment(id): Segment<CapabilityId>,
) -> Result<Json<CapabilityToken>, Problem> {
    let token = api.store.capability_token(id).await?;
    Ok(Json(CapabilityToken::new(token, api.clock.now())))
}

pub(super) async fn revoke(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<CapabilityId>,
    Body(revoke): Body<RevokeToken>,
) -> Result<Json<Stopped<CapabilityTokenChange>>, Problem> {
    if revoke.dry_run {
        let token = api.store.capability_token(id).await?;
        let reach = Reach { agents: 0, tokens: u64::from(token.counts(api.clock.now())) };
        let preview = Preview { changes: token.revoked_at.is_none(), reach };
        return Ok(Json(Stopped::Dry(DryRun::from(preview))));
    }
    let cause = operator.because(revoke.into());
    let outcome = api.registry.revoke_capability_token(id, cause).await?;
    let made_so = outcome.committed;
    Ok(stopped(&api, Some(made_so), CapabilityTokenChange::new(outcome, api.clock.now())).await)
}
