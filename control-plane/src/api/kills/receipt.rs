//! The receipt of a kill: what its workers have acknowledged, and who was not there.

use std::collections::BTreeMap;

use kya_core::audit::{Receipt, ReceiptFlights, ReceiptProxy, ReceiptWorker, Timestamp};

use super::{Looked, is_complete};
use crate::api::Api;
use crate::audit::kills::{Progress, Standing};
use crate::nodes::NodePattern;
use crate::store::audit::Flights;
use crate::store::{Kill, StoreError};
use crate::time::UnixMicros;

/// Registrations that are looked at together.
const PAGE: u32 = 1000;
/// Most proxies that were not there and are named.
const NAMED: usize = 1000;

/// Who may connect and was not there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NotThere {
    /// Their names.
    names: Vec<String>,
    /// There are others.
    more: bool,
}

impl NotThere {
    /// Of all registrations that count, those of which no proxy was there.
    pub(super) async fn find(api: &Api, looked: &Looked) -> Result<Self, StoreError> {
        let (now, mut found, mut after) = (api.clock.now(), Self::default(), None);
        loop {
            let page = api.store.nodes(after, PAGE).await?;
            let is_last = u32::try_from(page.len()) != Ok(PAGE);
            after = page.last().map(|last| last.name.clone());
            let counts = |it: &&crate::store::NodeRegistration| {
                it.revoked_at.is_none() && !it.is_expired(now)
            };
            for registration in page.iter().filter(counts) {
                if !looked.was_there(&registration.node_id) {
                    found.add(registration.name.as_str());
                }
            }
            if is_last || found.more {
                return Ok(found);
            }
        }
    }

    fn add(&mut self, name: &str) {
        match self.names.len() < NAMED {
            true => self.names.push(name.to_owned()),
            false => self.more = true,
        }
    }
}

impl Looked {
    fn was_there(&self, pattern: &NodePattern) -> bool {
        let there = |it: &Standing| pattern.matches(&it.worker.key.node);
        self.known.as_ref().is_some_and(|(_, progress)| progress.workers.iter().any(there))
    }

    /// What is signed.
    pub(super) fn receipt(self, not_there: NotThere, origin: String, now: UnixMicros) -> Receipt {
        let Self { kill, known, rows } = self;
        let complete = known.as_ref().is_some_and(|(row, progress)| {
            // That nobody has refused is no proof.
            is_complete(row, progress) && !progress.workers.is_empty()
        });
        let progress = known.map(|(_, progress)| progress).unwrap_or_default();
        let proxies = proxies(&progress, &kill);
        let after = proxies.iter().flat_map(|it| &it.workers);
        Receipt {
            origin,
            kill_id: kill.id.to_string(),
            committed_at: Timestamp(kill.committed.at.0),
            epoch: kill.committed.position.epoch,
            revision: kill.committed.position.revision.0,
            issued_at: Timestamp(now.0),
            complete,
            workers_there: progress.workers.len() as u64,
            acknowledged: progress.acknowledged(),
            last_acknowledged_after_us: after.filter_map(|it| it.acknowledged_after_us).max(),
            proxies,
            not_connected: not_there.names,
            more_not_connected: not_there.more,
            in_flight: flights(&progress),
            records: rows.iter().map(|row| row.seq).collect(),
            act: kill.act,
            subject: kill.subject,
            actor: kill.cause.actor,
            role: kill.cause.role,
            reason: kill.cause.reason,
            incident_id: kill.cause.incident_id,
        }
    }
}

fn proxies(progress: &Progress, kill: &Kill) -> Vec<ReceiptProxy> {
    let mut proxies = BTreeMap::<&str, Vec<&Standing>>::new();
    for standing in &progress.workers {
        proxies.entry(&standing.worker.key.node).or_default().push(standing);
    }
    let proxy = |(proxy, workers): (&str, Vec<&Standing>)| ReceiptProxy {
        proxy: proxy.to_owned(),
        acknowledged: workers.iter().all(|it| it.is_acknowledged()),
        workers: workers.into_iter().map(|it| worker(it, kill)).collect(),
    };
    proxies.into_iter().map(proxy).collect()
}

fn worker(standing: &Standing, kill: &Kill) -> ReceiptWorker {
    let applied = standing.worker.applied.as_ref();
    ReceiptWorker {
        worker: standing.worker.slot,
        instance: standing.instance(),
        state: standing.stage().as_str().to_owned(),
        acknowledged_after_us: applied.map(|it| it.recorded.0.saturating_sub(kill.committed.at.0)),
        record: applied.map(|it| it.seq),
    }
}

pub(super) fn flights(progress: &Progress) -> ReceiptFlights {
    ReceiptFlights {
        requests: progress.flights(Flights::all),
        committed: progress.flights(|it| it.committed),
        rolled_back: progress.flights(|it| it.rolled_back),
        escalated: progress.flights(|it| it.escalated),
        open: progress.flights(Flights::open),
    }
}
