//! The filter's numbers, as metrics of the proxy.

use std::collections::BTreeMap;

use kya_core::DenyReason;

use crate::host::{Host, LogLevel, MetricId, MetricKind};

/// Metrics by name. One that the proxy refuses to make is not counted; that
/// never changes a decision.
#[derive(Debug, Default)]
pub struct Metrics {
    allow: Option<MetricId>,
    exempt: Option<MetricId>,
    deny: BTreeMap<DenyReason, MetricId>,
    applied: Option<MetricId>,
    rejected: BTreeMap<&'static str, MetricId>,
    revision: Option<MetricId>,
    workers: Option<MetricId>,
}

/// Every cause for which an update is rejected, as it stands in
/// `kya.update.rejected.<cause>`.
const CAUSES: [&str; 9] = [
    "not_an_envelope",
    "unknown_key",
    "bad_signature",
    "bad_payload",
    "not_newer",
    "gap",
    "wrong_nonce",
    "unproven",
    "not_stored",
];

impl Metrics {
    /// Makes the metrics, or finds those that another VM made.
    pub fn define(host: &impl Host) -> Self {
        let define = |kind, name: &str| {
            host.define_metric(kind, name)
                .inspect_err(|error| host.log(LogLevel::Warn, &format!("metric {name}: {error}")))
                .ok()
        };
        let counter = |name: &str| define(MetricKind::Counter, name);
        Self {
            allow: counter("kya.decision.allow"),
            exempt: counter("kya.decision.exempt"),
            deny: DenyReason::ALL
                .into_iter()
                .filter_map(|r| Some((r, counter(&format!("kya.decision.{}", r.name()))?)))
                .collect(),
            applied: counter("kya.update.applied"),
            rejected: CAUSES
                .into_iter()
                .filter_map(|c| Some((c, counter(&format!("kya.update.rejected.{c}"))?)))
                .collect(),
            revision: define(MetricKind::Gauge, "kya.revision"),
            workers: define(MetricKind::Gauge, "kya.workers"),
        }
    }

    /// A request was allowed.
    pub fn allowed(&self, host: &impl Host) {
        increment(host, self.allow);
    }

    /// A request was forwarded undecided, by its path.
    pub fn exempted(&self, host: &impl Host) {
        increment(host, self.exempt);
    }

    /// A request was denied.
    pub fn denied(&self, host: &impl Host, reason: DenyReason) {
        increment(host, self.deny.get(&reason).copied());
    }

    /// The leader accepted an update and stored it for every VM.
    pub fn update_applied(&self, host: &impl Host, revision: u64) {
        increment(host, self.applied);
        record(host, self.revision, revision);
    }

    /// An update was not believed or could not be used.
    pub fn update_rejected(&self, host: &impl Host, cause: &'static str) {
        increment(host, self.rejected.get(cause).copied());
    }

    /// How many workers hold a slot.
    pub fn workers(&self, host: &impl Host, count: usize) {
        record(host, self.workers, u64::try_from(count).unwrap_or(u64::MAX));
    }
}

fn increment(host: &impl Host, metric: Option<MetricId>) {
    if let Some(metric) = metric {
        host.increment_metric(metric, 1);
    }
}

fn record(host: &impl Host, metric: Option<MetricId>, value: u64) {
    if let Some(metric) = metric {
        host.record_metric(metric, value);
    }
}
