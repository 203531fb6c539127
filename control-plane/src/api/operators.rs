//! Operators: who may use this API.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Api;
use super::describe::Created;
use super::extract::{Body, Params, Segment};
use super::handlers::page;
use super::problem::{Code, Problem};
use super::requests::{Bounded, Limit, TakeBack};
use super::routes::By;
use crate::operators::{OperatorError, OperatorName, Permission, Role};
use crate::store::OperatorRecord;
use crate::time::{UnixMicros, second_start};

/// Ten years. A key without an expiry may be revoked all the same.
const MAX_TTL_SECONDS: u32 = 315_360_000;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddOperator {
    name: OperatorName,
    role: Role,
    ttl_seconds: Option<Bounded<1, MAX_TTL_SECONDS>>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListOperators {
    after: Option<OperatorName>,
    #[serde(default)]
    limit: Limit,
}

/// An operator as JSON. Of the built-in one much is not known, and absent.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Operator")]
struct Listed {
    name: OperatorName,
    role: Role,
    status: &'static str,
    created_at: String,
    created_by: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    revoked_by: Option<String>,
    revoked_reason: Option<String>,
    incident_id: Option<String>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Operators {
    operators: Vec<Listed>,
    next: Option<OperatorName>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct AddedOperator {
    key: String,
    #[serde(flatten)]
    operator: Listed,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct OperatorChange {
    operator: Listed,
    changed: bool,
}

/// Who asks, and what they may do.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct WhoAmI {
    name: OperatorName,
    role: Role,
    built_in: bool,
    permissions: Vec<&'static str>,
}

impl Listed {
    fn new(operator: OperatorRecord, now: UnixMicros) -> Self {
        let status = match operator.revoked {
            Some(_) => "revoked",
            None if operator.is_expired(now) => "expired",
            None => "active",
        };
        let (mut revoked_at, mut revoked_by) = (None, None);
        let (mut revoked_reason, mut incident_id) = (None, None);
        if let Some(revoked) = operator.revoked {
            (revoked_at, revoked_by) = (Some(revoked.at.to_rfc3339()), Some(revoked.by));
            (revoked_reason, incident_id) = (revoked.reason, revoked.incident_id);
        }
        Self {
            name: operator.name,
            role: operator.role,
            status,
            created_at: operator.created_at.to_rfc3339(),
            created_by: operator.created_by,
            expires_at: operator.expires.map(|expires| second_start(expires).to_rfc3339()),
            revoked_at,
            revoked_by,
            revoked_reason,
            incident_id,
        }
    }
}

pub(super) async fn add(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Body(wanted): Body<AddOperator>,
) -> Result<Created<AddedOperator>, Problem> {
    let ttl = wanted.ttl_seconds.map(|ttl| u64::from(ttl.0));
    let (key, added) = api.operators.add(&operator, wanted.name, wanted.role, ttl).await?;
    let added = Listed::new(added, api.clock.now());
    Ok(Created(None, AddedOperator { key: key.reveal().to_owned(), operator: added }))
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Params(wanted): Params<ListOperators>,
) -> Result<Json<Operators>, Problem> {
    let limit = wanted.limit.0;
    let found = api.store.operators(wanted.after, limit.saturating_add(1)).await?;
    let (found, next) = page(found, limit, |operator| operator.name.clone());
    let now = api.clock.now();
    let operators = found.into_iter().map(|operator| Listed::new(operator, now)).collect();
    Ok(Json(Operators { operators, next }))
}

pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Segment(name): Segment<OperatorName>,
    Body(back): Body<TakeBack>,
) -> Result<Json<OperatorChange>, Problem> {
    let outcome = api.operators.revoke(&operator, name, back.into()).await?;
    let operator = Listed::new(outcome.record, api.clock.now());
    Ok(Json(OperatorChange { operator, changed: outcome.changed }))
}

pub(super) async fn whoami(By(operator): By) -> Json<WhoAmI> {
    Json(WhoAmI {
        name: operator.name().clone(),
        role: operator.role(),
        built_in: operator.is_built_in(),
        permissions: operator.role().permissions().map(Permission::name).collect(),
    })
}

impl From<OperatorError> for Problem {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Registry(error) => error.into(),
            refused => Self::new(Code::Conflict, refused.to_string()),
        }
    }
}
