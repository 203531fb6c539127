//! The token endpoint (RFC 6749 section 4.4).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use kya_core::ActionName;
use kya_core::jwt::Scope;
use serde::Serialize;

use super::form::Form;
use super::{Answer, OAuthError, TOKEN, client};
use crate::api::Api;
use crate::api::capability_tokens::DEFAULT_TTL_SECONDS;
use crate::store::{ServiceName, TokenLimits};

/// RFC 6749 section 5.1.
#[derive(Serialize)]
pub(super) struct TokenAnswer {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
}

pub(super) async fn token(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    form: Form,
) -> Answer<Json<TokenAnswer>> {
    let issuer = super::issuer(&api)?;
    if form.needed("grant_type")? != "client_credentials" {
        return Err(OAuthError::unsupported_grant_type());
    }
    let assertion = client::agent(&api, &issuer, TOKEN, &form, peer.ip()).await?;
    let limits = limits(&form)?;
    let agent = assertion.agent_id;
    let (ttl, cause) = (u64::from(DEFAULT_TTL_SECONDS), client::because_of(agent));
    // As whatever stops nobody, it waits so that a stop waits behind few.
    let _turn = api.operators.turn().await?;
    let registry = &api.registry;
    let issued = registry.issue_capability_token(agent, limits, ttl, Some(assertion), cause).await;
    let issued = issued.inspect_err(|error| {
        if error.is_of_a_replay() {
            api.operators.stranger_refused(peer.ip());
        }
    })?;
    let now = api.clock.now().seconds();
    Ok(Json(TokenAnswer {
        access_token: issued.token.reveal().to_owned(),
        token_type: "Bearer",
        expires_in: issued.record.expires.0.saturating_sub(now.0),
        scope: issued.scope,
    }))
}

/// What the token is to be for. Services are named by `resource` (RFC 8707) or, as RFC
/// 8693 calls names that are no URIs, by `audience`.
fn limits(form: &Form) -> Result<TokenLimits, OAuthError> {
    let services = form.all("resource").chain(form.all("audience"));
    let services = services.map(|name| ServiceName::try_from(name.to_owned()));
    let services = services.collect::<Result<Vec<_>, _>>();
    let services = services.map_err(|error| OAuthError::invalid_target(error.to_string()))?;
    let actions = match form.one("scope")? {
        None | Some(Scope::EVERYTHING) => None,
        Some(text) => {
            let read = |name: &str| {
                name.parse::<ActionName>().map_err(|error| {
                    OAuthError::invalid_scope(format!(
                        "`scope` is the names of actions with a space between each two: {error}"
                    ))
                })
            };
            Some(text.split(' ').map(read).collect::<Result<Vec<_>, _>>()?)
        }
    };
    let services = (!services.is_empty()).then_some(services);
    TokenLimits::new(services, actions)
        .map_err(|error| OAuthError::invalid_request(error.to_string()))
}
