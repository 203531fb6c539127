//! Whether a token counts (RFC 7662), by everything that was committed before it was
//! asked, and for which actions that are not stopped. What a request would do is no part of
//! that: `POST /v1/verify` decides requests.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use kya_core::AgentId;
use kya_core::jwt::{Actor, Claims};
use serde::Serialize;

use super::form::Form;
use super::{Answer, INTROSPECT, client};
use crate::api::Api;
use crate::operators::Permission;
use crate::push::{Active, Counting};
use crate::store::{ServiceName, Token};

/// RFC 7662 section 2.2. Of a token that does not count nothing is told, not even why.
#[derive(Serialize, Default)]
pub(super) struct Introspection {
    active: bool,
    #[serde(flatten)]
    token: Option<Told>,
}

#[derive(Serialize)]
struct Told {
    token_type: &'static str,
    iss: String,
    sub: Actor,
    client_id: AgentId,
    /// Left out of a token that is for all services.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aud: Vec<String>,
    /// Without the actions that are stopped now.
    scope: String,
    exp: u64,
    iat: u64,
    nbf: u64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Act>>,
}

/// RFC 8693 section 4.1.
#[derive(Serialize)]
struct Act {
    sub: Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Act>>,
}

pub(super) async fn introspect(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    form: Form,
) -> Answer<Json<Introspection>> {
    let issuer = super::issuer(&api)?;
    let place = (issuer.as_str(), INTROSPECT);
    let asking =
        client::asking(&api, place, &headers, &form, peer.ip(), Permission::Verify).await?;
    // The hint changes nothing: what kind of token it is shows (RFC 7662 section 2.1).
    let token = form.needed("token")?.to_owned();
    let told = match api.push.active(token).await? {
        None => None,
        Some(Active { token: Counting::Capability(capability), scope }) => {
            Some(Told::of_claims(capability.claims(), scope))
        }
        Some(Active { token: Counting::Opaque(digest), scope }) => {
            let record = api.store.token_by_digest(digest).await?;
            record.map(|record| Told::of_record(&issuer, &record, scope))
        }
    };
    let told = told.filter(|told| asking.may_know_of(told.client_id));
    Ok(Json(Introspection { active: told.is_some(), token: told }))
}

impl Told {
    fn of_claims(claims: &Claims, scope: String) -> Self {
        let before = |act, sub: &Actor| Some(Box::new(Act { sub: *sub, act }));
        Self {
            token_type: "Bearer",
            iss: claims.issuer.clone(),
            sub: claims.subject.unwrap_or(Actor::Agent(claims.agent)),
            client_id: claims.agent,
            aud: claims.audience.clone(),
            scope,
            exp: claims.expires.0,
            iat: claims.issued.0,
            nbf: claims.not_before.0,
            jti: claims.id.to_string(),
            act: claims.actors.iter().rev().fold(None, before),
        }
    }

    fn of_record(issuer: &str, token: &Token, scope: String) -> Self {
        let issued = token.issued_at.seconds().0;
        Self {
            token_type: "Bearer",
            iss: issuer.to_owned(),
            sub: Actor::Agent(token.agent_id),
            client_id: token.agent_id,
            aud: token.limits.services().iter().map(ServiceName::to_string).collect(),
            scope,
            exp: token.expires.0,
            iat: issued,
            nbf: issued,
            jti: token.id.to_string(),
            act: None,
        }
    }
}
