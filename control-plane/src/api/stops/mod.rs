//! Stopping principals, capabilities, everyone, and many agents at once.

mod bodies;
mod records;
mod restoring;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kya_core::policy::PolicyReference;
use kya_core::{AgentId, InFlight, Status, UnixSeconds};

use super::Api;
use super::describe::Created;
use super::extract::{Body, Params, Segment};
use super::handlers::page;
use super::policies;
use super::problem::Problem;
use super::requests::Stop;
use super::routes::By;
use crate::operators::Operator;
use crate::principals::PrincipalKey;
use crate::registry::Why;
use crate::store::{self, Cause, FleetAction, Outcome, StatusAction, Target};
use crate::time::{Instant, UnixMicros, second_start};
use bodies::{AddPrincipal, ListPrincipals, StopCapability, StopSelected};
use records::{
    Capabilities, CapabilityChange, Fleet, FleetChange, Principal, PrincipalChange, Principals,
    SelectionChange,
};
pub(super) use records::{DryRun, Reach, Stopped, kill_of, stopped};
pub(super) use restoring::{restore_agent, restore_capability, restore_principal, resume};

type Shared = State<Arc<Api>>;
type Answer<T> = Result<Json<T>, Problem>;

/// Ten years.
const MAX_LIFE_SECONDS: u64 = 315_360_000;

/// The second of an expiry, which must be in the future, and not too far.
pub(super) fn expiry(Instant(at): Instant, now: UnixMicros) -> Result<UnixSeconds, Problem> {
    let now = now.seconds();
    let last = UnixSeconds(now.0.saturating_add(MAX_LIFE_SECONDS));
    match at {
        at if at <= now => {
            let now = second_start(now).to_rfc3339();
            Err(Problem::unprocessable(format!("`expires_at`: must be in the future; it is {now}")))
        }
        at if at > last => Err(Problem::unprocessable(
            "`expires_at`: must be within ten years; leave it out for an agent that does not expire",
        )),
        at => Ok(at),
    }
}

/// What a stop would do.
pub(super) async fn dry_run<T>(
    api: &Api,
    target: Target,
    action: StatusAction,
) -> Answer<Stopped<T>> {
    let preview = api.registry.preview(target, action).await?;
    Ok(Json(Stopped::Dry(DryRun::from(preview))))
}

/// Whether only to look, what becomes of requests in flight, and why.
fn parts(stop: Stop, otherwise: InFlight) -> (bool, InFlight, Why) {
    let dry = stop.dry_run;
    let (in_flight, why) = stop.parts();
    (dry, in_flight.unwrap_or(otherwise), why)
}

// ---- Principals ---------------------------------------------------------------

pub(super) async fn add_principal(
    State(api): Shared,
    By(operator): By,
    Body(wanted): Body<AddPrincipal>,
) -> Result<Created<Principal>, Problem> {
    let outcome = api.registry.add_principal(wanted.name, operator.because(Why::default())).await?;
    let place = format!("/v1/principals/{}", outcome.record.id);
    Ok(Created(Some(place), Principal::from(outcome.record)))
}

pub(super) async fn list_principals(
    State(api): Shared,
    Params(wanted): Params<ListPrincipals>,
) -> Answer<Principals> {
    let (status, limit) = (wanted.status.map(|name| name.0), wanted.limit.0);
    let found = api.store.principals(status, wanted.after, limit.saturating_add(1)).await?;
    let (page, next) = page(found, limit, |principal| principal.id);
    Ok(Json(Principals { principals: page.into_iter().map(Principal::from).collect(), next }))
}

pub(super) async fn show_principal(
    State(api): Shared,
    Segment(key): Segment<PrincipalKey>,
) -> Answer<Principal> {
    Ok(Json(api.store.principal(key).await?.into()))
}

pub(super) async fn offboard_principal(
    State(api): Shared,
    By(operator): By,
    Segment(key): Segment<PrincipalKey>,
    Body(stop): Body<Stop>,
) -> Answer<Stopped<PrincipalChange>> {
    let (dry, in_flight, why) = parts(stop, InFlight::Abort);
    stop_principal(&api, key, StatusAction::Revoke(in_flight), dry, operator.because(why)).await
}

pub(super) async fn suspend_principal(
    State(api): Shared,
    By(operator): By,
    Segment(key): Segment<PrincipalKey>,
    Body(stop): Body<Stop>,
) -> Answer<Stopped<PrincipalChange>> {
    let (dry, in_flight, why) = parts(stop, InFlight::Drain);
    stop_principal(&api, key, StatusAction::Suspend(in_flight), dry, operator.because(why)).await
}

async fn stop_principal(
    api: &Api,
    key: PrincipalKey,
    action: StatusAction,
    dry: bool,
    cause: Cause,
) -> Answer<Stopped<PrincipalChange>> {
    let target = Target::Principal(key.clone());
    if dry {
        return dry_run(api, target, action).await;
    }
    let outcome = api.registry.decide_principal(key, action, cause).await?;
    let (made_so, reach) = (outcome.committed, api.registry.reach(target).await);
    Ok(stopped(api, Some(made_so), PrincipalChange::new(outcome, reach)).await)
}

// ---- Capabilities -------------------------------------------------------------

pub(super) async fn list_capabilities(
    State(api): Shared,
    Segment(id): Segment<AgentId>,
) -> Answer<Capabilities> {
    Ok(Json(api.store.capabilities(id).await?.into()))
}

pub(super) async fn revoke_capability(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<AgentId>,
    Body(stop): Body<StopCapability>,
) -> Answer<Stopped<CapabilityChange>> {
    let revoke = StatusAction::Revoke(stop.in_flight(InFlight::Abort));
    stop_capability(&api, &operator, id, revoke, stop).await
}

pub(super) async fn suspend_capability(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<AgentId>,
    Body(stop): Body<StopCapability>,
) -> Answer<Stopped<CapabilityChange>> {
    let suspend = StatusAction::Suspend(stop.in_flight(InFlight::Drain));
    stop_capability(&api, &operator, id, suspend, stop).await
}

async fn stop_capability(
    api: &Api,
    operator: &Operator,
    id: AgentId,
    action: StatusAction,
    stop: StopCapability,
) -> Answer<Stopped<CapabilityChange>> {
    let (dry, name, why) = stop.parts();
    if dry {
        return dry_run(api, Target::Capability(id, name), action).await;
    }
    let outcome = api.registry.decide_capability(id, name, action, operator.because(why)).await?;
    let made_so = outcome.committed;
    let Json(change) = others(api, outcome).await?;
    Ok(stopped(api, Some(made_so), change).await)
}

/// The change, with the other actions that the agent goes on with: those that its policy
/// names and permits, and those about which something was decided.
async fn others(api: &Api, outcome: Outcome<store::Capability>) -> Answer<CapabilityChange> {
    let id = outcome.record.agent_id;
    let known = api.store.capabilities(id).await?;
    let policy = match api.store.agent(id).await?.policy {
        Some(policy) => Some(api.store.policy(PolicyReference::Id(policy.id), None).await?),
        None => None,
    };
    let policy = policy.as_ref().map(policies::checked).transpose()?;
    Ok(Json(CapabilityChange::new(outcome, &known, policy.as_ref())))
}

// ---- Everyone -----------------------------------------------------------------

pub(super) async fn show_fleet(State(api): Shared) -> Answer<Fleet> {
    Ok(Json(api.store.fleet().await?.into()))
}

pub(super) async fn halt(
    State(api): Shared,
    By(operator): By,
    Body(stop): Body<Stop>,
) -> Answer<Stopped<FleetChange>> {
    let (dry, in_flight, why) = parts(stop, InFlight::Abort);
    if dry {
        return dry_run(&api, Target::Fleet, StatusAction::Suspend(in_flight)).await;
    }
    let halt = FleetAction::Halt(in_flight);
    let outcome = api.registry.decide_fleet(halt, operator.because(why)).await?;
    let (made_so, reach) = (outcome.committed, api.registry.reach(Target::Fleet).await);
    Ok(stopped(&api, Some(made_so), FleetChange::new(outcome, reach)).await)
}

// ---- Many agents --------------------------------------------------------------

pub(super) async fn revoke_agents(
    State(api): Shared,
    By(operator): By,
    Body(stop): Body<StopSelected>,
) -> Answer<Stopped<SelectionChange>> {
    let revoke = StatusAction::Revoke(stop.in_flight(InFlight::Abort));
    stop_agents(&api, &operator, revoke, Status::Revoked, stop).await
}

pub(super) async fn suspend_agents(
    State(api): Shared,
    By(operator): By,
    Body(stop): Body<StopSelected>,
) -> Answer<Stopped<SelectionChange>> {
    let suspend = StatusAction::Suspend(stop.in_flight(InFlight::Drain));
    stop_agents(&api, &operator, suspend, Status::Suspended, stop).await
}

async fn stop_agents(
    api: &Api,
    operator: &Operator,
    action: StatusAction,
    status: Status,
    stop: StopSelected,
) -> Answer<Stopped<SelectionChange>> {
    let (dry, selector, why) = stop.parts();
    if dry {
        return dry_run(api, Target::Agents(selector), action).await;
    }
    let cause = operator.because(why);
    let many = api.registry.decide_agents(selector.clone(), action, cause).await?;
    Ok(stopped(api, many.committed, SelectionChange::new(&selector, status, many)).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_in_the_future_and_within_ten_years() {
        let now = UnixMicros(1_000_999_999);
        let expiry = |second| expiry(Instant(UnixSeconds(second)), now).ok();
        assert_eq!(expiry(1_000), None);
        assert_eq!(expiry(1_001), Some(UnixSeconds(1_001)));
        assert_eq!(expiry(1_000 + MAX_LIFE_SECONDS), Some(UnixSeconds(1_000 + MAX_LIFE_SECONDS)));
        assert_eq!(expiry(1_001 + MAX_LIFE_SECONDS), None);
        assert_eq!(expiry(u64::MAX), None);
    }
}
