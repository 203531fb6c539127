//! Who has applied a revision, and who has not.

use std::collections::BTreeSet;
use std::time::Duration;

use kya_core::{Position, Revision};

use super::departed::Departed;
use super::nodes::{Node, Nodes, Transport};
use super::timeline::Timeline;
use crate::store::Committed;

/// What is known of one revision's arrival at the workers.
#[derive(Debug, Clone, Default)]
pub struct Acknowledgements {
    /// The revision, and when it was committed.
    pub committed: Committed,
    /// Proxies with an open stream, or that pulled a short while ago and named
    /// workers.
    pub proxies: usize,
    /// Those that have reported workers, all of which have acknowledged.
    pub proxies_acknowledged: usize,
    /// The workers that have.
    pub acknowledged: Vec<Acknowledged>,
    /// The workers that have not.
    pub pending: Vec<Pending>,
    /// Envoy's `node.id` of the proxies with an open stream that have not acknowledged.
    /// One that pulls is not among them: it cannot within seconds.
    pub unheard: BTreeSet<String>,
    /// The proxies that were connected and are not, of which nothing is known.
    pub disconnected: Vec<Departed>,
}

/// A worker that has applied the revision, or a later one.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// Who.
    pub worker: Pending,
    /// What it had applied when it was first heard to have applied this.
    pub revision: Revision,
    /// When it applied that, by the proxy's clock, in nanoseconds since 1970.
    pub applied_unix_nanos: u64,
    /// From the commit to the arrival of its report here.
    pub after: Duration,
}

/// A worker.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Envoy's `node.id`.
    pub node_id: String,
    /// Its slot within the proxy.
    pub slot: u32,
    /// Random identity of the VM that holds the slot.
    pub instance: u64,
}

impl Acknowledgements {
    pub(super) fn look(committed: Committed, nodes: &Nodes, timeline: &Timeline) -> Self {
        nodes.inspect(|open, disconnected| {
            let mut found = Self { committed, disconnected, ..Self::default() };
            open.for_each(|node| found.add(node, timeline));
            found
        })
    }

    /// True when every connected proxy says that it decides by nothing older: at
    /// least one is connected, each has named its workers, and none is pending.
    ///
    /// A proxy that pulls is connected from the first pull in which it names workers
    /// until it has not pulled for 90 s ([`super::Limits::pull_patience`]). It can
    /// acknowledge only in the pull after the one that brought the revision, so
    /// that a kill is complete up to a minute later where proxies pull.
    ///
    /// It says nothing about a proxy that is not connected. One that has lost its
    /// connection goes on deciding by the last state that it received; those that
    /// this server has seen leave are in `disconnected`.
    pub fn complete(&self) -> bool {
        self.proxies > 0 && self.proxies == self.proxies_acknowledged
    }

    /// From the commit to the last acknowledgement so far.
    pub fn elapsed(&self) -> Option<Duration> {
        self.acknowledged.iter().map(|acknowledged| acknowledged.after).max()
    }

    fn add(&mut self, node: &Node, timeline: &Timeline) {
        let wanted: Position = self.committed.position;
        let pending_before = self.pending.len();
        for (slot, worker) in &node.workers {
            let (slot, instance) = (*slot, worker.instance);
            let name = Pending { node_id: node.proxy.node_id.clone(), slot, instance };
            match worker.acknowledged(wanted) {
                Some(applied) => self.acknowledged.push(Acknowledged {
                    worker: name,
                    revision: applied.position.revision,
                    applied_unix_nanos: applied.applied_unix_nanos,
                    after: timeline.since(self.committed, applied.arrived),
                }),
                None => self.pending.push(name),
            }
        }
        self.proxies = self.proxies.saturating_add(1);
        // A proxy that has not named a single worker has proved nothing.
        if self.pending.len() == pending_before && !node.workers.is_empty() {
            self.proxies_acknowledged = self.proxies_acknowledged.saturating_add(1);
        } else if node.proxy.transport != Transport::Pull {
            self.unheard.insert(node.proxy.node_id.clone());
        }
    }
}
