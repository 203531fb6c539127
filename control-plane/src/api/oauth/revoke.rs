//! Tokens that are given back (RFC 7009). An agent gives back its own; an operator takes
//! back any.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use kya_core::Credential;

use super::client::Asking;
use super::form::Form;
use super::{Answer, REVOKE, client};
use crate::api::Api;
use crate::operators::Permission;
use crate::store::Cause;

const REASON: &str = "given back at the revocation endpoint";

pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    form: Form,
) -> Answer<StatusCode> {
    let issuer = super::issuer(&api)?;
    let place = (issuer.as_str(), REVOKE);
    let asking =
        client::asking(&api, place, &headers, &form, peer.ip(), Permission::RevokeTokens).await?;
    let token = form.needed("token")?.to_owned();
    let (actor, role) = match &asking {
        Asking::Operator(operator) => {
            (operator.name().to_string(), Some(operator.role().name().to_owned()))
        }
        Asking::Agent(agent) => (agent.to_string(), None),
    };
    let address = Some(peer.ip().to_canonical().to_string());
    let cause = Cause { actor, reason: Some(REASON.to_owned()), incident_id: None, address, role };
    match Credential::of(token.as_bytes()) {
        Credential::Opaque(digest) => {
            let token = api.store.token_by_digest(digest).await?;
            if let Some(token) = token.filter(|token| asking.may_know_of(token.agent_id)) {
                api.registry.revoke_token(token.id, cause).await?;
            }
        }
        // Whether it counts now does not matter: what stops it may end. One that nobody
        // here has signed is nobody's to revoke.
        Credential::Capability(_) => {
            if let Some(capability) = api.push.signed(token).await?
                && asking.may_know_of(capability.claims().agent)
            {
                let claims = capability.claims();
                let over = claims.expires <= api.clock.now().seconds();
                match api.registry.revoke_capability_token(claims.id, cause).await {
                    // It is forgotten, and counts no more.
                    Err(error) if over && error.is_of_no_such_token() => {}
                    revoked => drop(revoked?),
                }
            }
        }
        Credential::Missing | Credential::Multiple | Credential::Malformed => {}
    }
    // RFC 7009 section 2.2: also of a token that there is not.
    Ok(StatusCode::OK)
}
