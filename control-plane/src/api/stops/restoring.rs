//! Putting back what was stopped, where that may wait for a second operator.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kya_core::AgentId;

use super::bodies::{RestoreCapability, Resume};
use super::records::{CapabilityChange, FleetChange, PrincipalChange};
use super::{Shared, others};
use crate::api::Api;
use crate::api::approvals::Approval;
use crate::api::describe::{Accepted, Shaped};
use crate::api::extract::{Body, Segment};
use crate::api::problem::Problem;
use crate::api::records::AgentChange;
use crate::api::requests::Restore;
use crate::api::routes::By;
use crate::operators::Operator;
use crate::principals::PrincipalKey;
use crate::registry::Why;
use crate::store::{Restorable, Restoration, Restored, Target};

/// What was restored, or that it waits.
pub(in crate::api) type Restoring<T> = Result<Shaped<(Json<T>, Accepted<Approval>)>, Problem>;

pub(in crate::api) async fn restore_agent(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<AgentId>,
    Body(restore): Body<Restore>,
) -> Restoring<AgentChange> {
    restored(&api, &operator, Restorable::Agent(id), restore.into()).await
}

pub(in crate::api) async fn restore_principal(
    State(api): Shared,
    By(operator): By,
    Segment(key): Segment<PrincipalKey>,
    Body(restore): Body<Restore>,
) -> Restoring<PrincipalChange> {
    restored(&api, &operator, Restorable::Principal(key), restore.into()).await
}

pub(in crate::api) async fn restore_capability(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<AgentId>,
    Body(restore): Body<RestoreCapability>,
) -> Restoring<CapabilityChange> {
    let (name, why) = restore.parts();
    restored(&api, &operator, Restorable::Capability(id, name), why).await
}

pub(in crate::api) async fn resume(
    State(api): Shared,
    By(operator): By,
    Body(stop): Body<Resume>,
) -> Restoring<FleetChange> {
    restored(&api, &operator, Restorable::Fleet, stop.into()).await
}

/// `T` is the change of what `of` is.
async fn restored<T>(api: &Api, operator: &Operator, of: Restorable, why: Why) -> Restoring<T> {
    let response = match api.registry.restore(of, operator.because(why)).await? {
        Restoration::Pending(approval) => {
            Accepted(Approval::new(approval, api.clock.now())).into_response()
        }
        Restoration::Done(restored) => answer(api, restored).await?,
    };
    Ok(Shaped::new(response))
}

async fn answer(api: &Api, restored: Restored) -> Result<Response, Problem> {
    Ok(match restored {
        Restored::Agent(outcome) => Json(AgentChange::new(*outcome, api).await).into_response(),
        Restored::Capability(outcome) => others(api, outcome).await?.into_response(),
        Restored::Principal(outcome) => {
            let key = PrincipalKey::Id(outcome.record.id);
            let reach = api.registry.reach(Target::Principal(key)).await;
            Json(PrincipalChange::new(outcome, reach)).into_response()
        }
        Restored::Fleet(outcome) => {
            let reach = api.registry.reach(Target::Fleet).await;
            Json(FleetChange::new(outcome, reach)).into_response()
        }
    })
}
