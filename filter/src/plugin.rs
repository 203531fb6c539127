//! What the roles of a VM work with: the proxy, the configuration, the cache.

use crate::cache::Cache;
use crate::config::{Config, Transport};
use crate::host::{Host, QueueId};
use crate::metrics::Metrics;

/// What the roles of a VM work with.
#[derive(Debug)]
pub struct Plugin<H> {
    /// The proxy.
    pub host: H,
    /// What the operator said.
    pub config: Config,
    /// What the VMs share.
    pub cache: Cache,
    /// The counters.
    pub metrics: Metrics,
}

impl<H: Host> Plugin<H> {
    /// Puts a message into another VM's queue, where queues are used. One that is
    /// lost is made up for by the next tick.
    pub fn enqueue(&self, queue: QueueId, message: &[u8]) {
        if self.config.transport != Transport::Http {
            let _ = self.host.enqueue(queue, message);
        }
    }
}
