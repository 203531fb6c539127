//! The keys that sign checkpoints.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::api::extract::Body;
use crate::api::problem::{Code, Problem};
use crate::api::routes::By;
use crate::audit::{Because, RotationError};
use crate::operators::Operator;
use crate::store::audit::KeyRow;
use crate::text::Reason;

/// The keys, the first one first. The last one signs.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditKeys")]
pub(in crate::api) struct Keys {
    keys: Vec<Key>,
    /// The one that is to sign next, if one was announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    announced: Option<Key>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditKey")]
struct Key {
    /// The record that names or announces it.
    seq: u64,
    /// As C2SP signed-note writes it: `name+id+base64`.
    verifier_key: String,
    signs: bool,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Rotate {
    /// It is in the record.
    reason: Reason,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Recover {
    /// The id of the key that is lost, 8 hexadecimal digits: the middle part of the verifier
    /// key that signs.
    lost: String,
    /// It is in the record.
    reason: Reason,
}

pub(in crate::api) async fn keys(State(api): State<Arc<Api>>) -> Result<Json<Keys>, Problem> {
    let rows = api.trail.store().keys().await?;
    let last = rows.len();
    let keys = (1..).zip(rows).map(|(place, row)| Key {
        seq: row.seq,
        verifier_key: row.verifier_key,
        signs: place == last,
    });
    let announced = api.trail.store().announced().await?;
    let announced =
        announced.map(|KeyRow { seq, verifier_key }| Key { seq, verifier_key, signs: false });
    Ok(Json(Keys { keys: keys.collect(), announced }))
}

fn because(operator: &Operator, reason: Reason) -> Because {
    Because { actor: operator.name().to_string(), reason: reason.into() }
}

pub(in crate::api) async fn announce(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Body(Rotate { reason }): Body<Rotate>,
) -> Result<Json<Keys>, Problem> {
    api.trail.announce_key(&because(&operator, reason)).await?;
    keys(State(api)).await
}

pub(in crate::api) async fn activate(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Body(Rotate { reason }): Body<Rotate>,
) -> Result<Json<Keys>, Problem> {
    api.trail.activate_key(&because(&operator, reason)).await?;
    keys(State(api)).await
}

pub(in crate::api) async fn rotate(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Body(Rotate { reason }): Body<Rotate>,
) -> Result<Json<Keys>, Problem> {
    api.trail.rotate_key(&because(&operator, reason)).await?;
    keys(State(api)).await
}

/// For a key whose file is lost at every server.
pub(in crate::api) async fn recover(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Body(Recover { lost, reason }): Body<Recover>,
) -> Result<Json<Keys>, Problem> {
    api.trail.recover_key(&lost, &because(&operator, reason)).await?;
    keys(State(api)).await
}

impl From<RotationError> for Problem {
    fn from(error: RotationError) -> Self {
        let told = error.to_string();
        match error {
            RotationError::Store(error) => error.into(),
            RotationError::NotAppended(error) => error.into(),
            RotationError::NotHere
            | RotationError::NotAnnounced
            | RotationError::Here
            | RotationError::OtherKey(_)
            | RotationError::Changed => Self::new(Code::Conflict, told),
            RotationError::Key(_) => {
                tracing::error!(error = told, "audit keys");
                Self::new(Code::Unavailable, "the key cannot be replaced now; see the server's log")
            }
        }
    }
}
