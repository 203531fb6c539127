//! Node registrations: who may connect, and who is connected by it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Api;
use super::describe::Created;
use super::extract::{Body, Params, Segment};
use super::fleet::{Armed, Nodes};
use super::handlers::page;
use super::problem::Problem;
use super::requests::{Bounded, Limit, TakeBack};
use super::routes::By;
use crate::nodes::{NodeName, NodePattern};
use crate::registry::Why;
use crate::store::NodeRegistration;
use crate::time::{UnixMicros, second_start};

/// Ten years. A credential without an expiry may be revoked all the same.
const MAX_TTL_SECONDS: u32 = 315_360_000;

/// Who has left is forgotten after a day, and when the server ends.
const NEVER: &str = "no proxy has connected by it within a day, or since the control plane started";

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterNode {
    name: NodeName,
    /// The name itself if there is none.
    r#match: Option<NodePattern>,
    ttl_seconds: Option<Bounded<1, MAX_TTL_SECONDS>>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListNodes {
    after: Option<NodeName>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Registration {
    name: NodeName,
    r#match: NodePattern,
    status: &'static str,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    revoked_by: Option<String>,
    revoked_reason: Option<String>,
    incident_id: Option<String>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct RegisteredNode {
    credential: String,
    #[serde(flatten)]
    registration: Registration,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct NodeChange {
    node: Registration,
    changed: bool,
}

/// The proxies that are connected, and the registrations, each with the number of
/// its streams.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct NodesAndRegistrations {
    #[serde(flatten)]
    nodes: Nodes,
    registrations: Vec<Listed>,
    next: Option<NodeName>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ListedRegistration")]
struct Listed {
    #[serde(flatten)]
    registration: Registration,
    connected: usize,
    /// Of one by which proxies may connect and none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    armed: Option<Armed>,
}

impl Registration {
    fn new(node: NodeRegistration, now: UnixMicros) -> Self {
        let status = match node.revoked_at {
            Some(_) => "revoked",
            None if node.is_expired(now) => "expired",
            None => "active",
        };
        Self {
            name: node.name,
            r#match: node.node_id,
            status,
            created_at: node.created_at.to_rfc3339(),
            expires_at: node.expires.map(|expires| second_start(expires).to_rfc3339()),
            revoked_at: node.revoked_at.map(UnixMicros::to_rfc3339),
            revoked_by: node.revoked_by,
            revoked_reason: node.revoked_reason,
            incident_id: node.incident_id,
        }
    }
}

pub(super) async fn register(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Body(wanted): Body<RegisterNode>,
) -> Result<Created<RegisteredNode>, Problem> {
    let pattern = wanted.r#match.unwrap_or_else(|| wanted.name.to_pattern());
    let ttl = wanted.ttl_seconds.map(|ttl| u64::from(ttl.0));
    let cause = operator.because(Why::default());
    let (credential, node) = api.access.register(wanted.name, pattern, ttl, cause).await?;
    let registration = Registration::new(node, api.clock.now());
    let credential = credential.reveal().to_owned();
    Ok(Created(None, RegisteredNode { credential, registration }))
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Params(wanted): Params<ListNodes>,
) -> Result<Json<NodesAndRegistrations>, Problem> {
    let head = api.store.head().await?;
    let limit = wanted.limit.0;
    let found = api.store.nodes(wanted.after, limit.saturating_add(1)).await?;
    let (registrations, next) = page(found, limit, |node| node.name.clone());
    let (connected, disconnected) = api.push.verdicts();
    let mut streams: HashMap<NodeName, usize> = HashMap::new();
    for (node, _) in &connected {
        let count = streams.entry(node.proxy.registration.clone()).or_default();
        *count = count.saturating_add(1);
    }
    let now = api.clock.now();
    let has_left =
        |name: &NodeName| disconnected.iter().any(|departed| departed.registration == *name);
    let registrations = registrations.into_iter().map(|node| {
        let connected = streams.get(&node.name).copied().unwrap_or_default();
        let never = connected == 0 && !has_left(&node.name);
        let registration = Registration::new(node, now);
        let armed = (never && registration.status == "active").then(|| Armed::unknown(NEVER));
        Listed { registration, connected, armed }
    });
    let registrations = registrations.collect();
    Ok(Json(NodesAndRegistrations {
        registrations,
        next,
        nodes: Nodes::new(head, connected, disconnected),
    }))
}

pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Segment(name): Segment<NodeName>,
    Body(back): Body<TakeBack>,
) -> Result<Json<NodeChange>, Problem> {
    let outcome = api.access.revoke(name, operator.because(back.into())).await?;
    let node = Registration::new(outcome.record, api.clock.now());
    Ok(Json(NodeChange { node, changed: outcome.changed }))
}
