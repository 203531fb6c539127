//! The filter's numbers, as metrics of the proxy.

use std::cell::Cell;
use std::collections::BTreeMap;

use kya_core::DenyReason;

use crate::audit::Counts;
use crate::host::{Host, LogLevel, MetricId, MetricKind};
use crate::work::in_flight::Cut;

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
    passed: BTreeMap<DenyReason, MetricId>,
    cut: BTreeMap<&'static str, MetricId>,
    untracked: Option<MetricId>,
    pull: [Option<MetricId>; 2],
    introspections: Option<MetricId>,
    cache_hits: Option<MetricId>,
    /// Hits that were not counted yet: a call to the proxy costs as much as one.
    hits: Cell<u32>,
    state_age: Option<MetricId>,
    clock_ahead: Option<MetricId>,
    clock_behind: Option<MetricId>,
    audit: [Option<MetricId>; 5],
    unacknowledged: Option<MetricId>,
}

/// Reasons for which a request may pass that cannot be decided, as they stand in
/// `kya.decision.passed.<reason>`.
const PASSED: [DenyReason; 3] =
    [DenyReason::Internal, DenyReason::Unsynced, DenyReason::TokenUnknown];

/// Every cause for which an update is rejected, as it stands in
/// `kya.update.rejected.<cause>`.
const CAUSES: [&str; 11] = [
    "not_an_envelope",
    "unknown_key",
    "bad_signature",
    "bad_payload",
    "not_newer",
    "gap",
    "wrong_nonce",
    "unproven",
    "not_stored",
    "bad_chunk",
    "unasked",
];

/// What is counted of the audit trail, as it stands in `kya.audit.<name>`.
const AUDIT: [&str; 5] = ["recorded", "dropped", "acknowledged", "resent", "failed"];

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
            passed: PASSED
                .into_iter()
                .filter_map(|r| Some((r, counter(&format!("kya.decision.passed.{}", r.name()))?)))
                .collect(),
            cut: ["answered", "reset", "failed"]
                .into_iter()
                .filter_map(|how| Some((how, counter(&format!("kya.in_flight.{how}"))?)))
                .collect(),
            untracked: counter("kya.in_flight.untracked"),
            pull: ["kya.pull.answered", "kya.pull.failed"].map(counter),
            introspections: counter("kya.introspections"),
            cache_hits: counter("kya.cache.hits"),
            hits: Cell::default(),
            state_age: define(MetricKind::Gauge, "kya.state_age_millis"),
            clock_ahead: define(MetricKind::Gauge, "kya.clock.ahead_millis"),
            clock_behind: define(MetricKind::Gauge, "kya.clock.behind_millis"),
            audit: AUDIT.map(|name| counter(&format!("kya.audit.{name}"))),
            unacknowledged: define(MetricKind::Gauge, "kya.audit.unacknowledged"),
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

    /// A request passed that could not be decided.
    pub fn passed(&self, host: &impl Host, reason: DenyReason) {
        increment(host, self.passed.get(&reason).copied());
    }

    /// A request in flight was cut off.
    pub fn cut(&self, host: &impl Host, how: Cut) {
        let how = match how {
            Cut::Answered => "answered",
            Cut::Reset => "reset",
            Cut::Failed => "failed",
        };
        increment(host, self.cut.get(how).copied());
    }

    /// A request was allowed that could not be cut off later: there are too many.
    pub fn untracked(&self, host: &impl Host) {
        increment(host, self.untracked);
    }

    /// A pull was answered, by something that proves what it says or not.
    pub fn pulled(&self, host: &impl Host, proven: bool) {
        let [answered, failed] = self.pull;
        increment(host, if proven { answered } else { failed });
    }

    /// The control plane is asked about a token.
    pub fn introspected(&self, host: &impl Host) {
        increment(host, self.introspections);
    }

    /// A token was found among those that were looked up last.
    pub fn cache_hit(&self) {
        self.hits.set(self.hits.get().saturating_add(1));
    }

    /// Counts what was only noted until now.
    pub fn flush(&self, host: &impl Host) {
        if let (Some(metric), hits @ 1..) = (self.cache_hits, self.hits.take()) {
            host.increment_metric(metric, hits.into());
        }
    }

    /// What has become of events for the audit trail since this was said last. The
    /// gauge is one of the whole proxy, so each worker moves it by its own part.
    pub fn audited(&self, host: &impl Host, counts: Counts) {
        let Counts { recorded, dropped, acknowledged, resent, refused } = counts;
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let all = [recorded, dropped, acknowledged, resent, refused];
        for (metric, count) in self.audit.iter().zip(all) {
            if let (Some(metric), 1..) = (*metric, count) {
                host.increment_metric(metric, signed(count));
            }
        }
        let more = signed(recorded).saturating_sub(signed(acknowledged));
        if let (Some(metric), true) = (self.unacknowledged, more != 0) {
            host.increment_metric(metric, more);
        }
    }

    /// How old the state is, in milliseconds; nothing is shown before the first.
    pub fn state_age(&self, host: &impl Host, age: Option<u64>) {
        if let Some(age) = age {
            record(host, self.state_age, age);
        }
    }

    /// How far the proxy's clock is ahead of the control plane's, or behind.
    pub fn clock_ahead(&self, host: &impl Host, millis: i64) {
        record(host, self.clock_ahead, millis.max(0).unsigned_abs());
        record(host, self.clock_behind, millis.min(0).unsigned_abs());
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
