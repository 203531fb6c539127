//! Connected proxies and their acknowledgements as JSON.

use std::time::Duration;

use kya_core::Position;
use serde::Serialize;

use super::records::CommittedAt;
use crate::nodes::NodeName;
use crate::push::{Acknowledged, Acknowledgements, Departed, Node, Pending, Verdict, behind};
use crate::store::Committed;
use crate::time::UnixMicros;

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Nodes {
    revision: u64,
    epoch: u64,
    nodes: Vec<ConnectedNode>,
    disconnected: Vec<Disconnected>,
}

/// What is proved of a proxy.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Armed {
    pub(super) state: &'static str,
    /// Why it is not armed.
    pub(super) why: Option<String>,
    pub(super) challenged_at: Option<String>,
    pub(super) answered_at: Option<String>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Disconnected {
    node_id: String,
    registration: NodeName,
    since: String,
    /// Whether it should be there, or may run and not hear: not of one that closed its
    /// connection more than a minute ago and came by a registration for many.
    missing: bool,
    armed: Armed,
}

#[derive(Serialize, schemars::JsonSchema)]
struct ConnectedNode {
    node_id: String,
    registration: NodeName,
    cluster: String,
    filter_version: String,
    configuration_hash: Option<String>,
    transport: &'static str,
    peer: String,
    connected_at: String,
    last_seen: String,
    clock_ahead_ms: Option<i64>,
    armed: Armed,
    workers: Vec<Worker>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Worker {
    slot: u32,
    instance: String,
    epoch: u64,
    revision: u64,
    /// `None` while it has reported nothing that can be.
    applied_at: Option<String>,
    /// Revisions that it has not applied. At least one for a worker of an
    /// earlier epoch, whose revisions may be others.
    behind: u64,
    challenge: String,
    state_age_ms: u64,
    /// When it was heard to have answered the last challenge that it has answered.
    answered_at: Option<String>,
    /// What is proved of the age of its state now: what it was when it answered,
    /// and the time since it was asked.
    proved_age_ms: Option<u64>,
    cut: u64,
}

impl Nodes {
    pub(super) fn new(
        head: Committed,
        nodes: Vec<(Node, Verdict)>,
        disconnected: Vec<Departed>,
    ) -> Self {
        let newest = head.position;
        Self {
            revision: newest.revision.0,
            epoch: newest.epoch,
            nodes: nodes.into_iter().map(|node| ConnectedNode::new(newest, node)).collect(),
            disconnected: disconnected.into_iter().map(Into::into).collect(),
        }
    }
}

impl ConnectedNode {
    fn new(newest: Position, (node, verdict): (Node, Verdict)) -> Self {
        let workers = node.workers.iter().map(|(slot, worker)| {
            let applied = worker.newest();
            let position = applied.map_or(Position::default(), |applied| applied.position);
            Worker {
                slot: *slot,
                instance: instance(worker.instance),
                epoch: position.epoch,
                revision: position.revision.0,
                applied_at: applied.map(|at| micros(at.applied_unix_nanos).to_rfc3339()),
                behind: behind(position, newest),
                challenge: instance(worker.challenge),
                state_age_ms: millis(worker.state_age),
                answered_at: worker.answer.map(|answer| answer.arrived.1.to_rfc3339()),
                proved_age_ms: worker.answer.map(|answer| {
                    millis(answer.state_age.saturating_add(answer.asked.0.elapsed()))
                }),
                cut: worker.cut,
            }
        });
        Self {
            workers: workers.collect(),
            node_id: node.proxy.node_id,
            registration: node.proxy.registration,
            cluster: node.proxy.cluster,
            filter_version: node.proxy.filter_version,
            configuration_hash: node.proxy.configuration_hash.map(hex),
            transport: node.proxy.transport.as_str(),
            peer: node.proxy.peer.to_string(),
            connected_at: node.proxy.connected_at.to_rfc3339(),
            last_seen: node.last_seen.1.to_rfc3339(),
            clock_ahead_ms: node.clock_ahead_millis,
            armed: verdict.into(),
        }
    }
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct AcknowledgementReport {
    #[serde(flatten)]
    committed: CommittedAt,
    complete: bool,
    proxies: usize,
    proxies_acknowledged: usize,
    workers: usize,
    workers_acknowledged: usize,
    elapsed_ms: Option<f64>,
    acknowledgements: Vec<Acknowledgement>,
    pending: Vec<WorkerName>,
    disconnected: Vec<Disconnected>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Acknowledgement {
    #[serde(flatten)]
    worker: WorkerName,
    revision: u64,
    applied_unix_ms: f64,
    after_ms: f64,
}

#[derive(Serialize, schemars::JsonSchema)]
struct WorkerName {
    node_id: String,
    slot: u32,
    instance: String,
}

impl From<Acknowledgements> for AcknowledgementReport {
    fn from(found: Acknowledgements) -> Self {
        let workers_acknowledged = found.acknowledged.len();
        Self {
            committed: found.committed.into(),
            complete: found.complete(),
            proxies: found.proxies,
            proxies_acknowledged: found.proxies_acknowledged,
            workers: workers_acknowledged.saturating_add(found.pending.len()),
            workers_acknowledged,
            elapsed_ms: found.elapsed().map(|elapsed| elapsed.as_secs_f64() * 1_000.0),
            acknowledgements: found.acknowledged.into_iter().map(Into::into).collect(),
            pending: found.pending.into_iter().map(Into::into).collect(),
            disconnected: found.disconnected.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Departed> for Disconnected {
    fn from(departed: Departed) -> Self {
        let since = departed.since.to_rfc3339();
        let why = format!("it is not connected since {since}: {}", departed.how.in_words());
        let armed = Armed::unknown(why);
        let Departed { node_id, registration, missing, .. } = departed;
        Self { node_id, registration, since, missing, armed }
    }
}

impl From<Acknowledged> for Acknowledgement {
    fn from(acknowledged: Acknowledged) -> Self {
        Self {
            worker: acknowledged.worker.into(),
            revision: acknowledged.revision.0,
            applied_unix_ms: micros(acknowledged.applied_unix_nanos).as_millis_f64(),
            after_ms: acknowledged.after.as_secs_f64() * 1_000.0,
        }
    }
}

impl From<Pending> for WorkerName {
    fn from(worker: Pending) -> Self {
        Self { node_id: worker.node_id, slot: worker.slot, instance: instance(worker.instance) }
    }
}

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn instance(instance: u64) -> String {
    format!("{instance:016x}")
}

pub(super) fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn micros(nanos: u64) -> UnixMicros {
    UnixMicros(nanos / 1_000)
}
