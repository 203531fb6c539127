//! The HTTP API: JSON in, JSON out, problems as RFC 9457. This file has the
//! routes and the order of the layers around them.

mod approvals;
mod audit;
mod audit_page;
mod capability_tokens;
mod challenges;
mod conditional;
mod delegation;
mod describe;
mod drills;
mod enforcement;
mod events;
mod extract;
mod fleet;
mod handlers;
mod health;
mod idempotency;
mod keys;
mod kills;
mod layers;
mod nodes;
mod oauth;
pub mod openapi;
mod operators;
mod policies;
mod problem;
mod records;
mod requests;
mod routes;
mod schedules;
mod status;
mod stops;
#[cfg(test)]
mod testing;
mod token_keys;
mod unguarded;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use kya_core::audit::event::MAX_BATCH_BYTES;
use kya_core::policy::MAX_DOCUMENT_BYTES;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::audit::Trail;
use crate::drill::Drills;
use crate::nodes::NodeAccess;
use crate::operators::{OperatorAccess, Permission};
use crate::push::Push;
use crate::registry::Registry;
use crate::rotation::KeyRotation;
use crate::servers::Servers;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::time::Clock;
use crate::tls::Tls;
use idempotency::Again;
use routes::Routes;
use unguarded::Unguarded;

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
    pub(crate) operators: Arc<OperatorAccess>,
    pub(crate) rotation: Arc<KeyRotation>,
    pub(crate) trail: Arc<Trail>,
    pub(crate) drills: Arc<Drills>,
    pub(crate) servers: Arc<Servers>,
    /// The certificates of the listeners, where they have any.
    pub(crate) certificates: Vec<Arc<Tls>>,
    /// Called when the server wants requests to end.
    pub(crate) draining: CancellationToken,
}

/// What the paths of everything but probes begin with.
const PREFIX: &str = "/v1";

/// Every route for operators, with the permission that it takes.
fn for_operators() -> Routes {
    let waiting = Routes::new()
        .get(
            "/revisions/{revision}/acknowledgements",
            Permission::ReadRegistry,
            handlers::acknowledgements,
        )
        .get("/kills/{kill_id}", Permission::ReadAudit, kills::show)
        .get("/kills/{kill_id}/receipt", Permission::ReadAudit, kills::receipt)
        .post("/challenges", Permission::ChallengeNodes, challenges::challenge)
        .post("/agents/revoke", Permission::StopAgents, stops::revoke_agents)
        .post("/agents/suspend", Permission::StopAgents, stops::suspend_agents)
        .post("/tokens/revoke", Permission::RevokeTokens, delegation::revoke_tokens)
        .within(WAITING_REQUEST_TIMEOUT);
    stopping()
        .merge(about_policies())
        .merge(delegating())
        .merge(capability_tokens())
        .merge(drilling())
        .merge(trail())
        .make("/agents", Permission::RegisterAgents, Again::Same, handlers::register_agent)
        .get("/agents", Permission::ReadRegistry, handlers::list_agents)
        .get("/agents/{agent_id}", Permission::ReadRegistry, handlers::show_agent)
        .post("/agents/{agent_id}/revoke", Permission::StopAgents, handlers::revoke_agent)
        .post("/agents/{agent_id}/suspend", Permission::StopAgents, handlers::suspend_agent)
        .post("/agents/{agent_id}/restore", Permission::RestoreAgents, stops::restore_agent)
        .make("/tokens", Permission::IssueTokens, Again::Names("token_id"), handlers::issue_token)
        .get("/tokens", Permission::ReadRegistry, handlers::list_tokens)
        .post("/tokens/{token_id}/revoke", Permission::RevokeTokens, handlers::revoke_token)
        .make("/nodes", Permission::RegisterNodes, Again::Names("name"), nodes::register)
        .get("/nodes", Permission::ReadNodes, nodes::list)
        .post("/nodes/{name}/revoke", Permission::RevokeNodes, nodes::revoke)
        .get("/keys", Permission::ReadKeys, keys::list)
        .post("/keys/announce", Permission::RotateKeys, keys::announce)
        .post("/keys/activate", Permission::RotateKeys, keys::activate)
        .stop("/keys/retire", Permission::RotateKeys, keys::retire)
        .post("/keys/compact", Permission::RotateKeys, keys::compact)
        .make("/operators", Permission::ManageOperators, Again::Names("name"), operators::add)
        .get("/operators", Permission::ReadOperators, operators::list)
        .stop("/operators/{name}/revoke", Permission::ManageOperators, operators::revoke)
        .get("/events", Permission::ReadEvents, events::list)
        .get("/kills", Permission::ReadAudit, kills::list)
        .get("/status", Permission::ReadRegistry, status::show)
        .get("/whoami", Permission::ReadSelf, operators::whoami)
        .within(REQUEST_TIMEOUT)
        .merge(waiting)
}

/// Those of policies.
fn about_policies() -> Routes {
    let (read, write) = (Permission::ReadRegistry, Permission::WritePolicies);
    Routes::new()
        .post("/policies", write, policies::apply)
        .with_bodies_of(MAX_DOCUMENT_BYTES)
        .get("/policies", read, policies::list)
        .get("/policies/{policy}", read, policies::show)
        .get("/policies/{policy}/versions", read, policies::versions)
        .get("/policies/{policy}/diff", read, policies::compare)
        .post("/policies/{policy}/rollback", write, policies::roll_back)
        .post("/policies/{policy}/revoke", Permission::StopAgents, policies::revoke)
        .post("/agents/{agent_id}/policy", write, policies::assign)
}

/// Those of capabilities, principals and the fleet.
fn stopping() -> Routes {
    let (read, stop) = (Permission::ReadRegistry, Permission::StopAgents);
    let restore = Permission::RestoreAgents;
    Routes::new()
        .get("/agents/{agent_id}/capabilities", read, stops::list_capabilities)
        .post("/agents/{agent_id}/capabilities/revoke", stop, stops::revoke_capability)
        .post("/agents/{agent_id}/capabilities/suspend", stop, stops::suspend_capability)
        .post("/agents/{agent_id}/capabilities/restore", restore, stops::restore_capability)
        .make("/principals", Permission::RegisterAgents, Again::Same, stops::add_principal)
        .get("/principals", read, stops::list_principals)
        .get("/principals/{principal}", read, stops::show_principal)
        .post("/principals/{principal}/offboard", stop, stops::offboard_principal)
        .post("/principals/{principal}/suspend", stop, stops::suspend_principal)
        .post("/principals/{principal}/restore", restore, stops::restore_principal)
        .get("/fleet", read, stops::show_fleet)
        .post("/fleet/halt", stop, stops::halt)
        .post("/fleet/resume", restore, stops::resume)
        .get("/approvals", read, approvals::list)
        .post("/approvals/{approval_id}/approve", restore, approvals::approve)
        .post("/approvals/{approval_id}/reject", stop, approvals::reject)
}

/// Those of who acts for whom, and who takes whose place; and of decisions.
fn delegating() -> Routes {
    Routes::new()
        .make(
            "/agents/{agent_id}/replace",
            Permission::RegisterAgents,
            Again::Same,
            delegation::replace,
        )
        .make(
            "/agents/{agent_id}/sub-agents",
            Permission::RegisterAgents,
            Again::Same,
            delegation::sub_agent,
        )
        .get("/agents/{agent_id}/tree", Permission::ReadRegistry, delegation::tree)
        .post("/verify", Permission::Verify, verify::verify)
}

/// Those of drills.
fn drilling() -> Routes {
    let (read, run) = (Permission::ReadRegistry, Permission::RunDrills);
    Routes::new()
        .post("/drills", run, drills::begin)
        .get("/drills", read, drills::list)
        .get("/drills/{drill_id}", read, drills::show)
        .post("/drills/{drill_id}/stop", Permission::StopAgents, drills::stop)
        .post("/drill-schedules", run, schedules::add)
        .get("/drill-schedules", read, schedules::list)
        .get("/drill-schedules/{name}", read, schedules::show)
        .post("/drill-schedules/{name}/pause", run, schedules::pause)
        .post("/drill-schedules/{name}/resume", run, schedules::resume)
        .post("/drill-schedules/{name}/remove", run, schedules::remove)
}

/// Those of the audit trail.
fn trail() -> Routes {
    let read = Permission::ReadAudit;
    let exports = Routes::new()
        .get("/audit/export", read, audit::export)
        .post("/audit/archive", Permission::ArchiveAudit, audit::archive)
        .within(audit::ARCHIVE_TIMEOUT);
    Routes::new()
        .get("/audit/records", read, audit::list)
        .get("/audit/records/{seq}", read, audit::show)
        .get("/audit/checkpoint", read, audit::checkpoint)
        .get("/audit/keys", read, audit::keys)
        .post("/audit/keys/announce", Permission::RotateKeys, audit::announce)
        .post("/audit/keys/activate", Permission::RotateKeys, audit::activate)
        .post("/audit/keys/rotate", Permission::RotateKeys, audit::rotate)
        .post("/audit/keys/recover", Permission::RotateKeys, audit::recover)
        .get("/audit/proofs/inclusion", read, audit::inclusion)
        .get("/audit/proofs/consistency", read, audit::consistency)
        .get("/audit/tail", read, audit::tail)
        .merge(exports)
}

/// Those of proxies, below [`PREFIX`].
fn for_proxies() -> Unguarded {
    Unguarded::new()
        .post("/enforcement/pull", enforcement::pull)
        .post("/enforcement/introspect", enforcement::introspect)
        .post_large("/enforcement/audit", MAX_BATCH_BYTES, audit::report)
}

/// Those that take no key: nothing that they answer is about an agent.
fn for_everyone() -> Unguarded {
    Unguarded::new()
        .get("/healthz", health::alive)
        .get("/readyz", health::ready)
        .get("/metrics", health::metrics)
        .get("/openapi.json", openapi::serve)
        .get("/docs", openapi::serve_page)
        .get("/docs/style.css", openapi::serve_style)
        .get("/audit/verify", audit_page::serve)
}

/// Those of capability tokens and the keys that sign them.
fn capability_tokens() -> Routes {
    let read = Permission::ReadRegistry;
    Routes::new()
        .make(
            "/capability-tokens",
            Permission::IssueTokens,
            Again::Names("token_id"),
            capability_tokens::issue,
        )
        .get("/capability-tokens", read, capability_tokens::list)
        .get("/capability-tokens/{token_id}", read, capability_tokens::show)
        .post(
            "/capability-tokens/{token_id}/revoke",
            Permission::RevokeTokens,
            capability_tokens::revoke,
        )
        .get("/token-keys", Permission::ReadKeys, token_keys::list)
        .post("/token-keys/announce", Permission::RotateKeys, token_keys::announce)
        .post("/token-keys/activate", Permission::RotateKeys, token_keys::activate)
        .stop("/token-keys/retire", Permission::RotateKeys, token_keys::retire)
}

/// Every route.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let guarded = for_operators().guarded(&api.operators);
    // For proxies, which are no operators.
    let enforcement = for_proxies()
        .into_router()
        .layer(from_fn_with_state(REQUEST_TIMEOUT, layers::time_out))
        .method_not_allowed_fallback(layers::method_not_allowed);
    Router::new()
        .nest(PREFIX, guarded.merge(enforcement))
        .merge(for_everyone().into_router())
        .merge(oauth::router().layer(from_fn_with_state(REQUEST_TIMEOUT, layers::time_out)))
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(DefaultBodyLimit::max(extract::MAX_BODY_BYTES))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn(layers::no_store))
        .layer(from_fn_with_state(Arc::clone(&api), layers::count))
        .with_state(api)
}
