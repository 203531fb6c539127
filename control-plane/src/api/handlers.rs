//! One function a route under `/v1`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use kya_core::{AgentId, InFlight, Revision, TokenId};

use super::Api;
use super::conditional::unless_known;
use super::describe::{Created, NotModified, Shaped};
use super::extract::{Body, Params, Segment};
use super::fleet::AcknowledgementReport;
use super::problem::{Code, Problem};
use super::records::{Agent, AgentChange, Agents, IssuedToken, Token, TokenChange, Tokens};
use super::requests::{IssueToken, ListAgents, ListTokens, RegisterAgent, RevokeToken, Stop, Wait};
use super::routes::By;
use super::stops::{self, Stopped, stopped};
use crate::operators::Operator;
use crate::registry::{AgentDetails, Why};
use crate::store::{self, AgentFilter, Cause, StatusAction, Target, TokenLimits};
use crate::time::UnixMicros;

type Shared = State<Arc<Api>>;

pub(super) async fn register_agent(
    State(api): Shared,
    By(operator): By,
    Body(wanted): Body<RegisterAgent>,
) -> Result<Created<Agent>, Problem> {
    register(&api, &operator, wanted).await
}

/// Registers an agent, whichever way it was asked for.
pub(super) async fn register(
    api: &Api,
    operator: &Operator,
    wanted: RegisterAgent,
) -> Result<Created<Agent>, Problem> {
    let now = api.clock.now();
    let expires = wanted.expires_at.map(|at| stops::expiry(at, now)).transpose()?;
    let RegisterAgent { name, public_key, owner, parent_id: parent, labels, policy, .. } = wanted;
    let policy = policy.map(|reference| reference.0);
    let details = AgentDetails { owner, parent, labels, expires, policy };
    let cause = operator.because(Why::default());
    let public_key = public_key.map(|key| key.0);
    let outcome = api.registry.register_agent(name, public_key, details, cause).await?;
    Ok(registered(outcome.record, now))
}

/// 201, and where the agent is.
pub(super) fn registered(agent: store::Agent, now: UnixMicros) -> Created<Agent> {
    Created(Some(format!("/v1/agents/{}", agent.id)), Agent::new(agent, now))
}

pub(super) async fn list_agents(
    State(api): Shared,
    Params(wanted): Params<ListAgents>,
) -> Result<Json<Agents>, Problem> {
    let ListAgents { status, owner, selector, policy, parent_id: parent, .. } = wanted;
    let (after, limit) = (wanted.after, wanted.limit);
    let sort = wanted.sort.map(|name| name.0).unwrap_or_default();
    let (status, policy) = (status.map(|name| name.0), policy.map(|reference| reference.0));
    let filter = AgentFilter { status, owner, selector, policy, parent, sort };
    let found = api.store.agents(filter, after, limit.0.saturating_add(1)).await?;
    let (page, next) = page(found, limit.0, |agent| agent.id);
    let now = api.clock.now();
    let agents = page.into_iter().map(|agent| Agent::new(agent, now)).collect();
    Ok(Json(Agents { agents, next }))
}

pub(super) async fn show_agent(
    State(api): Shared,
    Segment(id): Segment<AgentId>,
    headers: HeaderMap,
) -> Result<Shaped<(Json<Agent>, NotModified)>, Problem> {
    unless_known(&headers, Agent::new(api.store.agent(id).await?, api.clock.now()))
}

pub(super) async fn revoke_agent(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<AgentId>,
    Body(stop): Body<Stop>,
) -> Result<Json<Stopped<AgentChange>>, Problem> {
    let dry_run = stop.dry_run;
    let (in_flight, why) = stop.parts();
    let revoke = StatusAction::Revoke(in_flight.unwrap_or(InFlight::Abort));
    if dry_run {
        return stops::dry_run(&api, Target::Agent(id), revoke).await;
    }
    decide(&api, id, revoke, operator.because(why)).await
}

pub(super) async fn suspend_agent(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<AgentId>,
    Body(stop): Body<Stop>,
) -> Result<Json<Stopped<AgentChange>>, Problem> {
    let dry_run = stop.dry_run;
    let (in_flight, why) = stop.parts();
    let suspend = StatusAction::Suspend(in_flight.unwrap_or(InFlight::Drain));
    if dry_run {
        return stops::dry_run(&api, Target::Agent(id), suspend).await;
    }
    decide(&api, id, suspend, operator.because(why)).await
}

async fn decide(
    api: &Api,
    id: AgentId,
    action: StatusAction,
    cause: Cause,
) -> Result<Json<Stopped<AgentChange>>, Problem> {
    let outcome = api.registry.decide_agent(id, action, cause).await?;
    let made_so = Some(outcome.committed);
    Ok(stopped(api, made_so, AgentChange::new(outcome, api).await).await)
}

pub(super) async fn issue_token(
    State(api): Shared,
    By(operator): By,
    Body(wanted): Body<IssueToken>,
) -> Result<Created<IssuedToken>, Problem> {
    let ttl = u64::from(wanted.ttl_seconds.0);
    let cause = operator.because(Why::default());
    let limits = TokenLimits::new(wanted.services, wanted.actions)
        .map_err(|error| Problem::unprocessable(error.to_string()))?;
    let (secret, outcome) = api.registry.issue_token(wanted.agent_id, limits, ttl, cause).await?;
    let issued = IssuedToken::new(secret.reveal(), outcome.record);
    Ok(Created(None, issued))
}

pub(super) async fn list_tokens(
    State(api): Shared,
    Params(wanted): Params<ListTokens>,
) -> Result<Json<Tokens>, Problem> {
    let limit = wanted.limit.0.saturating_add(1);
    let found = api.store.tokens(wanted.agent_id, wanted.after, limit).await?;
    let (page, next) = page(found, wanted.limit.0, |token| token.id);
    let now = api.clock.now();
    Ok(Json(Tokens {
        tokens: page.into_iter().map(|token| Token::new(token, now)).collect(),
        next,
    }))
}

pub(super) async fn revoke_token(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<TokenId>,
    Body(revoke): Body<RevokeToken>,
) -> Result<Json<Stopped<TokenChange>>, Problem> {
    if revoke.dry_run {
        let action = StatusAction::Revoke(InFlight::Abort);
        return stops::dry_run(&api, Target::Token(id), action).await;
    }
    let outcome = api.registry.revoke_token(id, operator.because(revoke.into())).await?;
    let made_so = outcome.committed;
    Ok(stopped(&api, Some(made_so), TokenChange::new(outcome, api.clock.now())).await)
}

pub(super) async fn acknowledgements(
    State(api): Shared,
    Segment(revision): Segment<u64>,
    Params(wait): Params<Wait>,
) -> Result<Json<AcknowledgementReport>, Problem> {
    let committed = api.store.committed(Revision(revision)).await?.ok_or_else(|| {
        Problem::new(Code::NotFound, format!("there is no revision {revision} yet"))
    })?;
    let patience = Duration::from_millis(u64::from(wait.wait_ms.0));
    let found = api.push.acknowledgements(committed, patience, &api.draining).await;
    // Workers acknowledge positions. If the database came back without this commit, what
    // they have acknowledged since is another of its number, or one after it.
    if api.store.committed(Revision(revision)).await? != Some(committed) {
        return Err(Problem::new(
            Code::Conflict,
            format!(
                "revision {revision} is not what it was: the database was put back to before it. Nobody is known to enforce it; look, and make the change again"
            ),
        ));
    }
    Ok(Json(found.into()))
}

/// Cuts off the one record more than `limit` that was read, and says where the
/// next page begins if there was one.
pub(super) fn page<T, K>(
    mut found: Vec<T>,
    limit: u32,
    key: impl Fn(&T) -> K,
) -> (Vec<T>, Option<K>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(key);
    (found, next)
}
