//! What proxies have reported to the control plane in memory.

use std::collections::BTreeMap;

use crate::audit::event::{Batch, Decision, Event, Happened};
use crate::wire;

/// What proxies have reported, by the instance of each worker.
#[derive(Debug, Default)]
pub struct Trail {
    workers: BTreeMap<u64, Reported>,
    /// Batches that have come, those included that brought nothing new.
    pub batches: Vec<Batch>,
}

/// What one worker has reported.
#[derive(Debug, Default)]
pub struct Reported {
    /// Every event once, in the order of its number.
    pub events: Vec<Event>,
    /// It has said that nothing follows.
    pub closed: bool,
    /// Events that never came, though later ones did.
    pub lost: u64,
}

impl Trail {
    /// Takes a batch as the protocol asks: what is known is passed over.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn take(&mut self, body: &[u8]) -> wire::AuditReceipt {
        let batch = Batch::read(body).unwrap_or_else(|error| panic!("{error}"));
        let reported = self.workers.entry(batch.instance).or_default();
        let next = reported.next();
        reported.lost += batch.first.saturating_sub(next);
        let fresh = batch.events.iter().filter(|event| event.number >= next).cloned();
        reported.events.extend(fresh);
        reported.closed |= batch.last;
        let (node_id, instance) = (batch.node.clone(), batch.instance);
        let receipt = wire::AuditReceipt { node_id, instance, next: reported.next() };
        self.batches.push(batch);
        receipt
    }

    /// What each worker has reported.
    pub fn workers(&self) -> impl Iterator<Item = (u64, &Reported)> {
        self.workers.iter().map(|(instance, reported)| (*instance, reported))
    }

    /// Every event of every worker.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.workers.values().flat_map(|reported| &reported.events)
    }

    /// Every decision of every worker.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.events().filter_map(|event| match &event.happened {
            Happened::Decision(decision) => Some(decision.as_ref()),
            _ => None,
        })
    }
}

impl Reported {
    /// The number that is expected.
    pub fn next(&self) -> u64 {
        self.events.last().map_or(1, |event| event.number + 1)
    }
}
