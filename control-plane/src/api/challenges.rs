//! Challenges on demand, and what they prove, as JSON.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Api;
use super::extract::Body;
use super::fleet::{Armed, Disconnected, hex, instance, millis};
use super::problem::{Code, Problem};
use super::requests::Bounded;
use crate::nodes::NodeName;
use crate::push::{ChallengeError, Node, Proof, State as Proved, Verdict};

/// What the answers of a fleet take, and less than a person's patience.
const DEFAULT_WAIT_MS: u32 = 5_000;
const MAX_WAIT_MS: u32 = 30_000;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewChallenge {
    /// Envoy's `node.id`. Every connected proxy if there is none.
    node_id: Option<String>,
    wait_ms: Option<Bounded<0, MAX_WAIT_MS>>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct ProofReport {
    nonce: String,
    challenged_at: String,
    revision: u64,
    epoch: u64,
    armed: bool,
    challenged: usize,
    left: usize,
    nodes: Vec<ProvedNode>,
    disconnected: Vec<Disconnected>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct ProvedNode {
    node_id: String,
    registration: NodeName,
    armed: Armed,
    filter_version: String,
    configuration_hash: Option<String>,
    clock_ahead_ms: Option<i64>,
    /// The oldest that one of its workers decides by; absent while one has not
    /// said.
    revision: Option<u64>,
    workers: Vec<ProvedWorker>,
}

/// What a worker has answered; nothing if it has not.
#[derive(Serialize, schemars::JsonSchema)]
struct ProvedWorker {
    slot: u32,
    instance: String,
    epoch: Option<u64>,
    revision: Option<u64>,
    state_age_ms: Option<u64>,
    answered_after_ms: Option<f64>,
}

pub(super) async fn challenge(
    State(api): State<Arc<Api>>,
    Body(wanted): Body<NewChallenge>,
) -> Result<Json<ProofReport>, Problem> {
    let wait = wanted.wait_ms.map_or(DEFAULT_WAIT_MS, |wait| wait.0);
    let patience = Duration::from_millis(u64::from(wait));
    let proof = api.push.challenge(wanted.node_id.as_deref(), patience, &api.draining).await?;
    Ok(Json(proof.into()))
}

impl From<Proof> for ProofReport {
    fn from(proof: Proof) -> Self {
        let armed = proof.is_armed();
        let challenged = proof.nodes.len().saturating_add(proof.left);
        let asked = proof.number;
        Self {
            nonce: hex(proof.nonce),
            challenged_at: proof.asked.1.to_rfc3339(),
            revision: proof.newest.revision.0,
            epoch: proof.newest.epoch,
            armed,
            challenged,
            left: proof.left,
            nodes: proof.nodes.into_iter().map(|node| ProvedNode::new(node, asked)).collect(),
            disconnected: proof.disconnected.into_iter().map(Into::into).collect(),
        }
    }
}

impl ProvedNode {
    fn new((node, verdict): (Node, Verdict), asked: u64) -> Self {
        let workers = node.workers.iter().map(|(slot, worker)| {
            let answer = worker.answer.filter(|answer| answer.number >= asked);
            // What it decides by now: it may have moved on since it answered.
            let newest = worker.newest().filter(|_| answer.is_some());
            ProvedWorker {
                slot: *slot,
                instance: instance(worker.instance),
                epoch: newest.map(|applied| applied.position.epoch),
                revision: newest.map(|applied| applied.position.revision.0),
                state_age_ms: answer.map(|answer| millis(answer.state_age)),
                answered_after_ms: answer.map(|answer| answer.after().as_secs_f64() * 1_000.0),
            }
        });
        let workers: Vec<_> = workers.collect();
        let oldest = workers.iter().map(|worker| worker.revision).min().flatten();
        Self {
            revision: oldest,
            workers,
            armed: verdict.into(),
            node_id: node.proxy.node_id,
            registration: node.proxy.registration,
            filter_version: node.proxy.filter_version,
            configuration_hash: node.proxy.configuration_hash.map(hex),
            clock_ahead_ms: node.clock_ahead_millis,
        }
    }
}

impl From<ChallengeError> for Problem {
    fn from(error: ChallengeError) -> Self {
        match error {
            ChallengeError::NotConnected { .. } => Self::new(Code::NotFound, error.to_string()),
            ChallengeError::Entropy(_) => {
                tracing::error!(%error, "challenge");
                Self::new(Code::Unavailable, "no random bytes; see the server's log")
            }
        }
    }
}

impl From<Verdict> for Armed {
    fn from(verdict: Verdict) -> Self {
        Self {
            state: verdict.state.as_str(),
            why: verdict.why,
            challenged_at: verdict.challenged_at.map(|at| at.to_rfc3339()),
            answered_at: verdict.answered_at.map(|at| at.to_rfc3339()),
        }
    }
}

impl Armed {
    /// Of a proxy that is not connected.
    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Verdict { state: Proved::Unknown, why: Some(why.into()), ..Verdict::default() }.into()
    }
}
