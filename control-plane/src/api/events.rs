//! The log of what was done, by whom, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Api;
use super::extract::Params;
use super::handlers::page;
use super::problem::Problem;
use super::requests::Limit;
use crate::store::Event;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListEvents {
    /// A sequence: those after it.
    #[serde(default)]
    after: u64,
    #[serde(default)]
    limit: Limit,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Events {
    events: Vec<Listed>,
    next: Option<u64>,
}

/// An event. `revision` and `epoch` are those of the change; of one that is no change
/// of authority, the newest ones then.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Event")]
struct Listed {
    sequence: u64,
    at: String,
    epoch: u64,
    revision: u64,
    actor: String,
    action: String,
    subject: String,
    reason: Option<String>,
    incident_id: Option<String>,
    /// Address that the request came from.
    address: Option<String>,
    /// What the subject was like before, where that is said.
    before: Option<Value>,
    /// What it was like after.
    after: Option<Value>,
}

impl From<Event> for Listed {
    fn from(event: Event) -> Self {
        Self {
            sequence: event.sequence,
            at: event.committed.at.to_rfc3339(),
            epoch: event.committed.position.epoch,
            revision: event.committed.position.revision.0,
            actor: event.cause.actor,
            action: event.action,
            subject: event.subject,
            reason: event.cause.reason,
            incident_id: event.cause.incident_id,
            address: event.cause.address,
            before: event.before,
            after: event.after,
        }
    }
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Params(wanted): Params<ListEvents>,
) -> Result<Json<Events>, Problem> {
    let limit = wanted.limit.0;
    let found = api.store.events_after(wanted.after, limit.saturating_add(1)).await?;
    let (found, next) = page(found, limit, |event| event.sequence);
    Ok(Json(Events { events: found.into_iter().map(Listed::from).collect(), next }))
}
