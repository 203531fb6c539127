//! The OAuth surface, as any OAuth library speaks it: tokens for agents that sign
//! assertions (RFC 7523), introspection (RFC 7662), revocation (RFC 7009), and the
//! metadata by which both sides find all that (RFC 8414, RFC 7517).
//!
//! Errors here are those of OAuth (RFC 6749 section 5.2) and not problems.

mod client;
mod error;
mod form;
mod introspect;
mod metadata;
mod revoke;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::{Api, layers};
use error::OAuthError;

const TOKEN: &str = "/oauth/token";
const INTROSPECT: &str = "/oauth/introspect";
const REVOKE: &str = "/oauth/revoke";
const JWKS: &str = "/.well-known/jwks.json";
const METADATA: &str = "/.well-known/oauth-authorization-server";

type Answer<T> = Result<T, OAuthError>;

/// What the issuer is called. A stranger may ask for that as often as they like, so that the
/// store is not asked.
fn issuer(api: &Api) -> Answer<String> {
    api.push.issuer().name.clone().ok_or_else(OAuthError::not_configured)
}

/// The routes. Who may use them is decided by what a request presents, in each.
pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route(TOKEN, post(token::token))
        .route(INTROSPECT, post(introspect::introspect))
        .route(REVOKE, post(revoke::revoke))
        .route(JWKS, get(metadata::jwks))
        .route(METADATA, get(metadata::metadata))
        .method_not_allowed_fallback(layers::method_not_allowed)
}
