//! The HTTP API: JSON in, JSON out, problems as RFC 9457. This file has the
//! routes and the order of the layers around them.

mod challenges;
mod enforcement;
mod extract;
mod fleet;
mod handlers;
mod health;
mod keys;
mod layers;
mod nodes;
mod problem;
mod records;
mod requests;
mod stops;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::keys::AdminKey;
use crate::nodes::NodeAccess;
use crate::push::Push;
use crate::registry::Registry;
use crate::rotation::KeyRotation;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::time::Clock;

/// How long a request may take, from its last header to its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// The same for a request that waits on purpose, at most 30 s, or stops many agents.
const WAITING_REQUEST_TIMEOUT: Duration = Duration::from_secs(45);

/// What the handlers work with.
pub(crate) struct Api {
    pub(crate) registry: Registry,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) push: Arc<Push>,
    pub(crate) access: Arc<NodeAccess>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) admin_key: AdminKey,
    pub(crate) rotation: Arc<KeyRotation>,
    /// Called when the server wants requests to end.
    pub(crate) draining: CancellationToken,
}

/// Every route.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let waiting = Router::new()
        .route("/revisions/{revision}/acknowledgements", get(handlers::acknowledgements))
        .route("/challenges", post(challenges::challenge))
        .route("/agents/revoke", post(stops::revoke_agents))
        .route("/agents/suspend", post(stops::suspend_agents))
        .layer(from_fn_with_state(WAITING_REQUEST_TIMEOUT, layers::time_out));
    let quick = Router::new()
        .route("/agents", post(handlers::register_agent).get(handlers::list_agents))
        .route("/agents/{agent_id}", get(handlers::show_agent))
        .route("/agents/{agent_id}/revoke", post(handlers::revoke_agent))
        .route("/agents/{agent_id}/suspend", post(handlers::suspend_agent))
        .route("/agents/{agent_id}/restore", post(handlers::restore_agent))
        .route("/agents/{agent_id}/capabilities", get(stops::list_capabilities))
        .route("/agents/{agent_id}/capabilities/revoke", post(stops::revoke_capability))
        .route("/agents/{agent_id}/capabilities/suspend", post(stops::suspend_capability))
        .route("/agents/{agent_id}/capabilities/restore", post(stops::restore_capability))
        .route("/principals", post(stops::add_principal).get(stops::list_principals))
        .route("/principals/{principal}", get(stops::show_principal))
        .route("/principals/{principal}/offboard", post(stops::offboard_principal))
        .route("/principals/{principal}/suspend", post(stops::suspend_principal))
        .route("/principals/{principal}/restore", post(stops::restore_principal))
        .route("/fleet", get(stops::show_fleet))
        .route("/fleet/halt", post(stops::halt))
        .route("/fleet/resume", post(stops::resume))
        .route("/tokens", post(handlers::issue_token).get(handlers::list_tokens))
        .route("/tokens/{token_id}/revoke", post(handlers::revoke_token))
        .route("/nodes", post(nodes::register).get(nodes::list))
        .route("/nodes/{name}/revoke", post(nodes::revoke))
        .route("/keys", get(keys::list))
        .route("/keys/announce", post(keys::announce))
        .route("/keys/activate", post(keys::activate))
        .route("/keys/retire", post(keys::retire))
        .route("/keys/compact", post(keys::compact))
        .layer(from_fn_with_state(REQUEST_TIMEOUT, layers::time_out));
    // The fallbacks are inside, so that a stranger learns no route from them.
    let guarded = quick
        .merge(waiting)
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&api), layers::authenticate));
    // For proxies, who have no admin key.
    let enforcement = Router::new()
        .route("/enforcement/pull", post(enforcement::pull))
        .route("/enforcement/introspect", post(enforcement::introspect))
        .layer(from_fn_with_state(REQUEST_TIMEOUT, layers::time_out))
        .method_not_allowed_fallback(layers::method_not_allowed);
    Router::new()
        .nest("/v1", guarded.merge(enforcement))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(DefaultBodyLimit::max(extract::MAX_BODY_BYTES))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn(layers::no_store))
        .layer(from_fn_with_state(Arc::clone(&api), layers::count))
        .with_state(api)
}
