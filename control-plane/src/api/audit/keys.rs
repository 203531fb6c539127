//! The keys that sign checkpoints.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::api::extract::Body;
use crate::api::problem::{Code, Problem};
use crate::audit::RotationError;
use crate::text::Reason;

/// The keys, the first one first. The last one signs.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditKeys")]
pub(in crate::api) struct Keys {
    keys: Vec<Key>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditKey")]
struct Key {
    /// The record that names it.
    seq: u64,
    /// As C2SP signed-note writes it: `name+id+base64`.
    verifier_key: String,
    signs: bool,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Rotate {
    #[expect(dead_code, reason = "so that nobody replaces a key by a stray request")]
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
    Ok(Json(Keys { keys: keys.collect() }))
}

pub(in crate::api) async fn rotate(
    State(api): State<Arc<Api>>,
    Body(Rotate { .. }): Body<Rotate>,
) -> Result<Json<Keys>, Problem> {
    api.trail.rotate_key().await?;
    keys(State(api)).await
}

impl From<RotationError> for Problem {
    fn from(error: RotationError) -> Self {
        let told = error.to_string();
        match error {
            RotationError::Store(error) => error.into(),
            RotationError::NotAppended(error) => error.into(),
            RotationError::NotHere | RotationError::Changed => Self::new(Code::Conflict, told),
            RotationError::Key(_) => {
                tracing::error!(error = told, "audit keys");
                Self::new(Code::Unavailable, "the key cannot be replaced now; see the server's log")
            }
        }
    }
}
