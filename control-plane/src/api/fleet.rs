//! Connected proxies and their acknowledgements as JSON.

use serde::Serialize;

use super::records::CommittedAt;
use crate::push::{Acknowledged, Acknowledgements, Node, Pending};
use crate::store::Committed;
use crate::time::UnixMicros;

#[derive(Serialize)]
pub(super) struct Nodes {
    revision: u64,
    epoch: u64,
    nodes: Vec<ConnectedNode>,
}

#[derive(Serialize)]
struct ConnectedNode {
    node_id: String,
    cluster: String,
    filter_version: String,
    peer: String,
    connected_at: String,
    workers: Vec<Worker>,
}

#[derive(Serialize)]
struct Worker {
    slot: u32,
    instance: String,
    epoch: u64,
    revision: u64,
    applied_at: String,
    behind: u64,
}

impl Nodes {
    pub(super) fn new(head: Committed, nodes: Vec<Node>) -> Self {
        let newest = head.position.revision.0;
        let nodes = nodes.into_iter().map(|node| ConnectedNode::new(newest, node)).collect();
        Self { revision: newest, epoch: head.position.epoch, nodes }
    }
}

impl ConnectedNode {
    fn new(newest: u64, node: Node) -> Self {
        let workers = node.workers.iter().filter_map(|(slot, worker)| {
            let applied = worker.newest()?;
            Some(Worker {
                slot: *slot,
                instance: instance(worker.instance),
                epoch: applied.position.epoch,
                revision: applied.position.revision.0,
                applied_at: micros(applied.applied_unix_nanos).to_rfc3339(),
                behind: newest.saturating_sub(applied.position.revision.0),
            })
        });
        Self {
            workers: workers.collect(),
            node_id: node.proxy.node_id,
            cluster: node.proxy.cluster,
            filter_version: node.proxy.filter_version,
            peer: node.proxy.peer.to_string(),
            connected_at: node.proxy.connected_at.to_rfc3339(),
        }
    }
}

#[derive(Serialize)]
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
}

#[derive(Serialize)]
struct Acknowledgement {
    #[serde(flatten)]
    worker: WorkerName,
    revision: u64,
    applied_unix_ms: f64,
    after_ms: f64,
}

#[derive(Serialize)]
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
        }
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

fn instance(instance: u64) -> String {
    format!("{instance:016x}")
}

fn micros(nanos: u64) -> UnixMicros {
    UnixMicros(nanos / 1_000)
}
