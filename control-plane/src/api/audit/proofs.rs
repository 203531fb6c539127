//! Checkpoints, and proofs that what is shown belongs to them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kya_core::audit::merkle::{BadProof, NodeHash};
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::api::extract::Params;
use crate::api::problem::{Code, Problem};
use crate::audit::TreeError;
use crate::store::audit::CheckpointRow;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct WhichCheckpoint {
    /// Of how many records; the newest if it does not say.
    size: Option<u64>,
}

/// A checkpoint.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditCheckpoint")]
pub(in crate::api) struct Shown {
    size: u64,
    signed_at: String,
    /// The signed note (C2SP signed-note, with the body of tlog-checkpoint).
    note: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct WhichRecord {
    seq: u64,
    /// Size of the checkpoint; of the newest if it does not say.
    size: Option<u64>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct WhichTwo {
    /// Size of the earlier checkpoint.
    from: u64,
    /// Size of the later one; of the newest if it does not say.
    to: Option<u64>,
}

/// A proof as RFC 6962 section 2.1 has it.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditProof")]
pub(in crate::api) struct Proof {
    /// Number of the record, or size of the earlier checkpoint.
    of: u64,
    size: u64,
    /// Each in base64.
    hashes: Vec<String>,
    /// The checkpoint of this size, if one was signed.
    checkpoint: Option<Shown>,
}

pub(in crate::api) async fn checkpoint(
    State(api): State<Arc<Api>>,
    Params(WhichCheckpoint { size }): Params<WhichCheckpoint>,
) -> Result<Json<Shown>, Problem> {
    let found = api.trail.store().checkpoint(size).await?;
    let none = match size {
        Some(size) => format!("no checkpoint was signed when the trail had {size} records"),
        None => "no checkpoint was signed yet: ask again in a moment".to_owned(),
    };
    found.map(Shown::from).map(Json).ok_or_else(|| Problem::new(Code::NotFound, none))
}

pub(in crate::api) async fn inclusion(
    State(api): State<Arc<Api>>,
    Params(WhichRecord { seq, size }): Params<WhichRecord>,
) -> Result<Json<Proof>, Problem> {
    let size = newest_unless(&api, size).await?;
    let hashes = api.trail.inclusion(seq, size).await?;
    proof(&api, seq, size, &hashes).await
}

pub(in crate::api) async fn consistency(
    State(api): State<Arc<Api>>,
    Params(WhichTwo { from, to }): Params<WhichTwo>,
) -> Result<Json<Proof>, Problem> {
    let to = newest_unless(&api, to).await?;
    let hashes = api.trail.consistency(from, to).await?;
    proof(&api, from, to, &hashes).await
}

async fn newest_unless(api: &Api, size: Option<u64>) -> Result<u64, Problem> {
    match size {
        Some(size) => Ok(size),
        None => Ok(api.trail.store().head().await?.checkpoint.0),
    }
}

async fn proof(api: &Api, of: u64, size: u64, hashes: &[NodeHash]) -> Result<Json<Proof>, Problem> {
    let checkpoint = api.trail.store().checkpoint(Some(size)).await?.map(Shown::from);
    let hashes = hashes.iter().map(NodeHash::to_string).collect();
    Ok(Json(Proof { of, size, hashes, checkpoint }))
}

impl From<CheckpointRow> for Shown {
    fn from(row: CheckpointRow) -> Self {
        Self { size: row.size, signed_at: row.signed.to_rfc3339(), note: row.note }
    }
}

impl From<TreeError> for Problem {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Proof(error @ BadProof::Range(..)) => {
                Self::new(Code::NotFound, error.to_string())
            }
            TreeError::Proof(error) => Self::unprocessable(error.to_string()),
            TreeError::Store(error) => error.into(),
        }
    }
}
