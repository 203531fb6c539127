//! Drills: beginning, following and stopping them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kya_core::DrillId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Api;
use super::audit::export_turn;
use super::describe::Begun;
use super::extract::{Body, Params, Segment};
use super::handlers::page;
use super::problem::{Code, Problem};
use super::requests::Limit;
use super::routes::By;
use crate::drill::{DrillError, DrillRequest};
use crate::operators::Permission;
use crate::registry::Why;
use crate::store;

type Shared = State<Arc<Api>>;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListDrills {
    /// A drill: those before it.
    before: Option<DrillId>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowDrill {
    /// Also every sample with its probes, which are many.
    #[serde(default)]
    samples: bool,
}

/// Nothing is said with it.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StopDrill {}

/// A drill.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Drill {
    drill_id: DrillId,
    /// `running`, `stopping`, `passed`, `failed` or `interrupted`.
    state: &'static str,
    started_at: String,
    ended_at: Option<String>,
    started_by: String,
    /// What was asked for.
    request: Value,
    /// Samples that are over.
    samples_done: u32,
    /// What was found, when it has ended: figures in milliseconds since the stop, by party
    /// and of all.
    result: Option<Value>,
    /// Every sample, if it was asked for: each probe as `[due, sent, answered, outcome, ended, ending]`,
    /// in microseconds since the stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    samples: Option<Box<RawValue>>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Drills {
    drills: Vec<Drill>,
    next: Option<DrillId>,
}

impl From<store::Drill> for Drill {
    fn from(drill: store::Drill) -> Self {
        Self {
            drill_id: drill.id,
            state: drill.state.name(),
            started_at: drill.started_at.to_rfc3339(),
            ended_at: drill.ended_at.map(|at| at.to_rfc3339()),
            started_by: drill.cause.actor,
            request: drill.request,
            samples_done: drill.done,
            result: drill.result,
            samples: None,
        }
    }
}

impl From<DrillError> for Problem {
    fn from(error: DrillError) -> Self {
        match error {
            DrillError::Refused(why) => Self::unprocessable(why),
            DrillError::NotNow(why) => Self::new(Code::Conflict, why),
            DrillError::Store(error) => error.into(),
            DrillError::Registry(error) => error.into(),
        }
    }
}

pub(super) async fn begin(
    State(api): Shared,
    By(operator): By,
    Body(request): Body<DrillRequest>,
) -> Result<Begun<Drill>, Problem> {
    let drill = api.drills.begin(request, operator.because(Why::default())).await?;
    Ok(Begun(format!("/v1/drills/{}", drill.id), drill.into()))
}

pub(super) async fn list(
    State(api): Shared,
    Params(wanted): Params<ListDrills>,
) -> Result<Json<Drills>, Problem> {
    let limit = wanted.limit.0;
    let found = api.store.drills(wanted.before, limit.saturating_add(1)).await?;
    let (found, next) = page(found, limit, |drill| drill.id);
    Ok(Json(Drills { drills: found.into_iter().map(Drill::from).collect(), next }))
}

pub(super) async fn show(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<DrillId>,
    Params(wanted): Params<ShowDrill>,
) -> Result<Json<Drill>, Problem> {
    let mut shown = found(id, api.store.drill(id).await?)?;
    if wanted.samples {
        // They are megabytes, and as much evidence as the trail.
        api.operators.permit(&operator, Permission::ReadAudit, operator.address())?;
        let _turn = export_turn(&api, &operator)?;
        let samples = api.store.drill_samples(id).await?;
        shown.samples = samples.and_then(|text| RawValue::from_string(text).ok());
    }
    Ok(Json(shown))
}

pub(super) async fn stop(
    State(api): Shared,
    By(operator): By,
    Segment(id): Segment<DrillId>,
    Body(StopDrill {}): Body<StopDrill>,
) -> Result<Json<Drill>, Problem> {
    Ok(Json(found(id, api.drills.stop(id, operator.because(Why::default())).await?)?))
}

fn found(id: DrillId, drill: Option<store::Drill>) -> Result<Drill, Problem> {
    let missing = || Problem::new(Code::NotFound, format!("there is no drill {id}"));
    drill.map(Drill::from).ok_or_else(missing)
}
