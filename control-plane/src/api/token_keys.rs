//! The issuer of capability tokens and the keys that sign them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kya_core::PublicKey;
use kya_core::jwt::Thumbprint;
use serde::{Deserialize, Serialize};

use super::Api;
use super::extract::Body;
use super::problem::Problem;
use super::records::CommittedAt;
use super::requests::TakeBack;
use super::routes::By;
use crate::registry::Why;
use crate::store::{Issuer, Outcome, TokenKey};
use crate::time::UnixMicros;

type Shared = State<Arc<Api>>;

/// Which key is meant.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    public_key: PublicKey,
}

/// Which key is meant, and why.
#[derive(Deserialize, schemars::JsonSchema)]
pub(super) struct Retire {
    public_key: PublicKey,
    #[serde(flatten)]
    why: TakeBack,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct IssuerState {
    /// The `iss` of capability tokens; `None` if none are issued.
    issuer: Option<String>,
    max_lifetime_seconds: u64,
    /// The newest first.
    keys: Vec<Key>,
    revision: u64,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Key {
    public_key: PublicKey,
    /// As tokens name it (RFC 7638).
    kid: String,
    status: &'static str,
    published_at: String,
    activated_at: Option<String>,
    retired_at: Option<String>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct IssuerChanged {
    issuer: IssuerState,
    changed: bool,
    #[serde(flatten)]
    committed: CommittedAt,
}

impl Key {
    fn new(key: &TokenKey, active: Option<PublicKey>) -> Self {
        let status = match (key.retired_at, active == Some(key.public_key)) {
            (Some(_), _) => "retired",
            (None, true) => "active",
            (None, false) => "published",
        };
        Self {
            public_key: key.public_key,
            kid: Thumbprint::of(key.public_key).to_string(),
            status,
            published_at: key.published_at.to_rfc3339(),
            activated_at: key.activated_at.map(UnixMicros::to_rfc3339),
            retired_at: key.retired_at.map(UnixMicros::to_rfc3339),
        }
    }
}

impl From<Issuer> for IssuerState {
    fn from(issuer: Issuer) -> Self {
        let active = issuer.active();
        Self {
            keys: issuer.keys.iter().map(|key| Key::new(key, active)).collect(),
            issuer: issuer.name,
            max_lifetime_seconds: issuer.max_lifetime,
            revision: issuer.revision.0,
        }
    }
}

impl From<Outcome<Issuer>> for IssuerChanged {
    fn from(outcome: Outcome<Issuer>) -> Self {
        Self {
            issuer: outcome.record.into(),
            changed: outcome.changed,
            committed: outcome.committed.into(),
        }
    }
}

/// No fields.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

pub(super) async fn list(State(api): Shared) -> Result<Json<IssuerState>, Problem> {
    Ok(Json(api.store.issuer().await?.into()))
}

pub(super) async fn announce(
    State(api): Shared,
    By(operator): By,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<IssuerChanged>, Problem> {
    let (_, outcome) = api.registry.announce_token_key(operator.because(Why::default())).await?;
    Ok(Json(outcome.into()))
}

pub(super) async fn activate(
    State(api): Shared,
    By(operator): By,
    Body(which): Body<Which>,
) -> Result<Json<IssuerChanged>, Problem> {
    let cause = operator.because(Why::default());
    Ok(Json(api.registry.activate_token_key(which.public_key, cause).await?.into()))
}

pub(super) async fn retire(
    State(api): Shared,
    By(operator): By,
    Body(Retire { public_key, why }): Body<Retire>,
) -> Result<Json<IssuerChanged>, Problem> {
    let cause = operator.because(why.into());
    Ok(Json(api.registry.retire_token_key(public_key, cause).await?.into()))
}
