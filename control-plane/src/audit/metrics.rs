//! The figures of the audit trail.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};
use serde::Deserialize;

use crate::store::audit::NewLine;
use crate::telemetry::{Making, whole};
use crate::time::UnixMicros;

/// The figures of the audit trail of one server.
#[derive(Debug)]
pub(crate) struct AuditMetrics {
    records: IntCounterVec,
    appends: Histogram,
    failures: IntCounter,
    size: IntGauge,
    waiting: IntGauge,
    signs: IntGauge,
    batches: IntCounterVec,
    lag: Histogram,
    dropped: IntCounter,
    gaps: IntCounter,
    gap_events: IntCounter,
    lost: IntCounter,
    lost_requests: IntCounter,
    checkpoint_at: IntGauge,
    unsigned: IntGauge,
    acts_waiting: IntGauge,
    acts_late: IntGauge,
    anchored: IntCounterVec,
    anchor_lag: IntGauge,
}

/// What records say that is counted.
#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    events: u64,
    #[serde(default)]
    unended: u64,
}

impl AuditMetrics {
    pub(crate) fn new(making: Making<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            records: making.counters(
                (
                    "kya_audit_records_total",
                    "Records that this server has appended to the audit trail, by type.",
                ),
                &["type"],
                &[],
            )?,
            appends: making.histogram(
                (
                    "kya_audit_append_seconds",
                    "How long it took to append what was waiting, the disk included.",
                ),
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0],
            )?,
            failures: making.counter(
                "kya_audit_append_failures_total",
                "Times that what was waiting could not be appended.",
            )?,
            size: making.gauge(
                "kya_audit_size",
                "Number of the last record of the audit trail, as far as this server knows.",
            )?,
            waiting: making
                .gauge("kya_audit_waiting_events", "Events that wait to be appended.")?,
            signs: making.gauge(
                "kya_audit_signs",
                "1 if the key that signs checkpoints of the audit trail is here, 0 if not.",
            )?,
            batches: making.counters(
                (
                    "kya_audit_batches_total",
                    "Batches of workers, by outcome: taken, malformed, busy, unavailable, or refused: too_many_workers, ahead, other_registration, conflict.",
                ),
                &["outcome"],
                &[],
            )?,
            lag: making.histogram(
                (
                    "kya_audit_lag_seconds",
                    "From the last event of a batch, by the clock of its proxy put right, until it is in the trail.",
                ),
                &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0],
            )?,
            dropped: making.counter(
                "kya_audit_dropped_events_total",
                "Events for which workers had no room, as records that this server has appended say.",
            )?,
            gaps: making.counter(
                "kya_audit_gaps_total",
                "Records that this server has appended of events that never came.",
            )?,
            gap_events: making
                .counter("kya_audit_gap_events_total", "Events that these are of.")?,
            lost: making.counter(
                "kya_audit_workers_lost_total",
                "Workers that this server has recorded as gone without having said so.",
            )?,
            lost_requests: making.counter(
                "kya_audit_requests_lost_total",
                "Requests that these had in flight, of whose end nobody will report.",
            )?,
            checkpoint_at: making.gauge(
                "kya_audit_checkpoint_timestamp_seconds",
                "When the newest checkpoint of the audit trail was signed, in seconds since 1970; 0 if none was.",
            )?,
            unsigned: making.gauge(
                "kya_audit_unsigned_seconds",
                "For how long there has been a record that no checkpoint is of; 0 if all are signed.",
            )?,
            acts_waiting: making.gauge(
                "kya_audit_acts_waiting",
                "Acts of operators that are committed and not in the audit trail.",
            )?,
            acts_late: making.gauge(
                "kya_audit_acts_waiting_seconds",
                "Age of the oldest of these; 0 if none waits.",
            )?,
            anchored: making.counters(
                (
                    "kya_audit_anchored_total",
                    "Checkpoints that were put to the anchor's address, by outcome: stored, failed.",
                ),
                &["outcome"],
                &[],
            )?,
            anchor_lag: making.gauge(
                "kya_audit_anchor_lag_seconds",
                "For how long there has been a checkpoint that did not arrive at the anchor's address.",
            )?,
        })
    }

    /// A record was appended.
    pub(crate) fn record(&self, line: &NewLine) {
        self.records.with_label_values(&[line.kind]).inc();
        if !matches!(line.kind, "dropped" | "gap" | "worker_lost") {
            return;
        }
        let none = Counted { events: 0, unended: 0 };
        let Counted { events, unended } = serde_json::from_str(&line.record).unwrap_or(none);
        match line.kind {
            "dropped" => self.dropped.inc_by(events),
            "gap" => {
                self.gaps.inc();
                self.gap_events.inc_by(events);
            }
            _ => {
                self.lost.inc();
                self.lost_requests.inc_by(unended);
            }
        }
    }

    /// What was waiting was appended, and the trail has so many records then.
    pub(crate) fn appended(&self, took: Duration, size: u64) {
        self.appends.observe(took.as_secs_f64());
        self.size.set(whole(size));
    }

    pub(crate) fn append_failed(&self) {
        self.failures.inc();
    }

    pub(crate) fn waiting(&self, events: usize) {
        self.waiting.set(whole(events));
    }

    /// When the newest checkpoint was signed, if one was, and for how long something is not.
    pub(crate) fn signed(&self, checkpoint: Option<UnixMicros>, unsigned: Duration) {
        self.checkpoint_at.set(checkpoint.map_or(0, |at| whole(at.seconds().0)));
        self.unsigned.set(whole(unsigned.as_secs()));
    }

    /// So many acts wait, the first for so long.
    pub(crate) fn acts(&self, waiting: u64, late: Duration) {
        self.acts_waiting.set(whole(waiting));
        self.acts_late.set(whole(late.as_secs()));
    }

    pub(crate) fn signs(&self, here: bool) {
        self.signs.set(i64::from(here));
    }

    pub(crate) fn batch(&self, outcome: &str) {
        self.batches.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn anchored(&self, stored: bool) {
        let outcome = if stored { "stored" } else { "failed" };
        self.anchored.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn anchor_lag(&self, lag: Duration) {
        self.anchor_lag.set(whole(lag.as_secs()));
    }

    pub(crate) fn lag(&self, lag: Duration) {
        self.lag.observe(lag.as_secs_f64());
    }
}
