//! Policies: applying, reading, comparing, rolling back and revoking them, and which
//! agents are under them.

mod bodies;
mod records;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use kya_core::policy::PolicyReference;
use kya_core::{AgentId, InFlight};

use super::Api;
use super::describe::{Created, NotModified, Shaped};
use super::extract::{Body, Params, Segment};
use super::handlers::page;
use super::problem::Problem;
use super::records::AgentChange;
use super::requests::Stop;
use super::routes::By;
use super::stops::{self, Stopped, stopped};
use crate::registry::Why;
use crate::store::{self, AgentFilter, Expected, StatusAction, Target};
use bodies::{ApplyPolicy, AssignPolicy, Compare, ListPolicies, ListVersions, RollBack, Show};
pub(super) use bodies::{PolicyBody, Precondition};
pub(super) use records::checked;
use records::{Comparison, Policies, Policy, PolicyChange, Preview, Previewed, Reviewed, Versions};

type Shared = State<Arc<Api>>;
type Answer<T> = Result<Json<T>, Problem>;

/// Agents that a dry run names.
const NAMED: u32 = 20;

pub(super) async fn apply(
    State(api): Shared,
    By(operator): By,
    Params(wanted): Params<ApplyPolicy>,
    Precondition(expected): Precondition,
    PolicyBody(policy): PolicyBody,
) -> Result<Shaped<(Created<PolicyChange>, Json<Previewed>)>, Problem> {
    if wanted.dry_run {
        return Ok(Shaped::new(Json(preview(&api, &policy, expected).await?)));
    }
    let cause = operator.because(wanted.into());
    let outcome = api.registry.apply_policy(policy, expected, cause).await?;
    let is_new = outcome.changed && outcome.record.version == kya_core::PolicyVersion::FIRST;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location: [(HeaderName, String); 1] =
        [(header::LOCATION, format!("/v1/policies/{}", outcome.record.id))];
    let tag = tag(&outcome.record);
    Ok(Shaped::new((status, location, tag, Json(PolicyChange::new(outcome)?))))
}

/// What applying a policy would change. Nothing is written.
async fn preview(
    api: &Api,
    policy: &kya_core::Policy,
    expected: Option<Expected>,
) -> Result<Preview, Problem> {
    let reference = PolicyReference::Name(policy.name().clone());
    let newest = match api.store.policy(reference.clone(), None).await {
        Ok(newest) => Some(newest),
        Err(store::StoreError::Policy(store::PolicyError::NoSuchPolicy(_))) => None,
        Err(error) => return Err(error.into()),
    };
    if let (Some(Expected::Version(version)), Some(newest)) = (expected, &newest)
        && newest.version != version
    {
        let (name, newest) = (newest.name.clone(), newest.version);
        return Err(
            store::StoreError::from(store::PolicyError::NotAsExpected { name, newest }).into()
        );
    }
    let Some(newest) = newest else { return Ok(Preview::of_new(policy)) };
    let before = records::checked(&newest)?;
    let reviewed = reviewed(api, reference).await?;
    Ok(Preview::of_change(&newest, &before, policy, reviewed))
}

/// Who is under a policy.
async fn reviewed(api: &Api, reference: PolicyReference) -> Result<Reviewed, Problem> {
    let reach = api.store.reach(Target::Policy(reference.clone())).await?;
    let filter = AgentFilter { policy: Some(reference), ..AgentFilter::default() };
    let first = api.store.agents(filter, None, NAMED).await?;
    Ok(Reviewed::new(reach, first, api.clock.now()))
}

pub(super) async fn list(
    State(api): Shared,
    Params(wanted): Params<ListPolicies>,
) -> Answer<Policies> {
    let limit = wanted.limit.0;
    let found = api.store.policies(wanted.after, limit.saturating_add(1)).await?;
    let (page, next) = page(found, limit, |policy| policy.id);
    let policies = page.into_iter().map(Policy::new).collect::<Result<_, _>>()?;
    Ok(Json(Policies { policies, next }))
}

/// The version is the strong validator of the document (RFC 9110 section 8.8.3).
pub(super) async fn show(
    State(api): Shared,
    Segment(reference): Segment<PolicyReference>,
    Params(wanted): Params<Show>,
    headers: HeaderMap,
) -> Result<Shaped<(Json<Policy>, NotModified)>, Problem> {
    let policy = api.store.policy(reference, wanted.version).await?;
    let tag = tag(&policy);
    let known = headers.get_all(header::IF_NONE_MATCH);
    if known.iter().any(|known| bodies::names(known, policy.version)) {
        return Ok(Shaped::new((StatusCode::NOT_MODIFIED, tag)));
    }
    Ok(Shaped::new((tag, Json(Policy::new(policy)?))))
}

pub(super) async fn versions(
    State(api): Shared,
    Segment(reference): Segment<PolicyReference>,
    Params(wanted): Params<ListVersions>,
) -> Answer<Versions> {
    let limit = wanted.limit.0;
    let more = limit.saturating_add(1);
    let found = api.store.policy_versions(reference, wanted.before, more).await?;
    let (page, next) = page(found, limit, |policy| policy.version);
    let versions = page.into_iter().map(Policy::new).collect::<Result<_, _>>()?;
    Ok(Json(Versions { versions, next }))
}

pub(super) async fn compare(
    State(api): Shared,
    Segment(reference): Segment<PolicyReference>,
    Params(wanted): Params<Compare>,
) -> Answer<Comparison> {
    let to = api.store.policy(reference.clone(), wanted.to).await?;
    let from = match wanted.from {
        Some(version) => version,
        // The one before, if there is one.
        None => {
            kya_core::PolicyVersion::new(to.version.get().saturating_sub(1)).unwrap_or(to.version)
        }
    };
    let from = api.store.policy(reference, Some(from)).await?;
    Ok(Json(Comparison::new(&from, &to)?))
}

pub(super) async fn roll_back(
    State(api): Shared,
    By(operator): By,
    Segment(reference): Segment<PolicyReference>,
    Precondition(expected): Precondition,
    Body(wanted): Body<RollBack>,
) -> Result<Shaped<Json<Previewed>>, Problem> {
    let (version, dry_run, why) = wanted.parts();
    if dry_run {
        let before = api.store.policy(reference, Some(version)).await?;
        let policy = records::checked(&before)?;
        return Ok(Shaped::new(Json(Previewed::Dry(preview(&api, &policy, expected).await?))));
    }
    let cause = operator.because(why);
    let outcome = api.registry.roll_back_policy(reference, version, expected, cause).await?;
    let tag = tag(&outcome.record);
    Ok(Shaped::new((tag, Json(Previewed::Done(PolicyChange::new(outcome)?)))))
}

pub(super) async fn revoke(
    State(api): Shared,
    By(operator): By,
    Segment(reference): Segment<PolicyReference>,
    Body(stop): Body<Stop>,
) -> Answer<Stopped<PolicyChange>> {
    let dry = stop.dry_run;
    let (in_flight, why) = stop.parts();
    let in_flight = in_flight.unwrap_or(InFlight::Abort);
    let target = Target::Policy(reference.clone());
    if dry {
        return stops::dry_run(&api, target, StatusAction::Revoke(in_flight)).await;
    }
    let cause = operator.because(why);
    let outcome = api.registry.revoke_policy(reference, in_flight, cause).await?;
    let (made_so, reach) = (outcome.committed, api.registry.reach(target).await);
    Ok(stopped(&api, Some(made_so), PolicyChange::new(outcome)?.reaching(reach)).await)
}

pub(super) async fn assign(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<AgentId>,
    Body(wanted): Body<AssignPolicy>,
) -> Answer<AgentChange> {
    let (policy, why) = wanted.parts();
    let outcome = api.registry.assign_policy(id, policy, operator.because(why)).await?;
    Ok(Json(AgentChange::new(outcome, &api).await))
}

fn tag(policy: &store::Policy) -> [(HeaderName, HeaderValue); 1] {
    let tag = format!("\"{}\"", policy.version);
    [(header::ETAG, HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\"")))]
}

impl From<ApplyPolicy> for Why {
    fn from(apply: ApplyPolicy) -> Self {
        Self { reason: apply.reason, incident_id: apply.incident_id }
    }
}
