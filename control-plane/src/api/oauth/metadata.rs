//! What clients and relying parties find out by themselves: where the endpoints are (RFC
//! 8414) and by which keys tokens are verified (RFC 7517). Neither is a secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use kya_core::jwt::{self, CapabilityKeys};
use serde_json::{Value, json};

use super::{Answer, INTROSPECT, JWKS, OAuthError, REVOKE, TOKEN};
use crate::api::Api;

pub(super) async fn metadata(State(api): State<Arc<Api>>) -> Answer<Json<Value>> {
    let issuer = super::issuer(&api)?;
    let at = |path: &str| format!("{issuer}{path}");
    let (methods, algorithms) = (["private_key_jwt"], ["Ed25519", "EdDSA"]);
    Ok(Json(json!({
        "issuer": issuer,
        "token_endpoint": at(TOKEN),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint": at(INTROSPECT),
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint": at(REVOKE),
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "jwks_uri": at(JWKS),
        "grant_types_supported": ["client_credentials"],
        // There is no authorization endpoint.
        "response_types_supported": [],
    })))
}

/// Every key whose tokens count: the next one before it signs, and the last one until it
/// is retired.
pub(super) async fn jwks(State(api): State<Arc<Api>>) -> Answer<impl IntoResponse> {
    let issuer = api.push.issuer();
    if issuer.name.is_none() {
        return Err(OAuthError::not_configured());
    }
    let keys = CapabilityKeys::new(issuer.published().map(|key| key.public_key));
    let set = keys.map_or_else(|_| r#"{"keys":[]}"#.to_owned(), |keys| jwt::jwks(&keys));
    Ok(([(header::CONTENT_TYPE, "application/jwk-set+json")], set))
}
