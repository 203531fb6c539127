//! The figures of the audit trail.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

/// The figures of the audit trail of one server.
#[derive(Debug)]
pub(crate) struct AuditMetrics {
    records: IntCounterVec,
    appends: Histogram,
    size: IntGauge,
    waiting: IntGauge,
    signs: IntGauge,
    batches: IntCounterVec,
    lag: Histogram,
    anchored: IntCounterVec,
    anchor_lag: IntGauge,
}

impl AuditMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds = || vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
        let metrics = Self {
            records: IntCounterVec::new(
                Opts::new(
                    "kya_audit_records_total",
                    "Records that this server has appended to the audit trail, by type.",
                ),
                &["type"],
            )?,
            appends: Histogram::with_opts(
                HistogramOpts::new(
                    "kya_audit_append_seconds",
                    "How long it took to append what was waiting, the disk included.",
                )
                .buckets(seconds()),
            )?,
            size: IntGauge::new(
                "kya_audit_size",
                "Number of the last record of the audit trail, as far as this server knows.",
            )?,
            waiting: IntGauge::new(
                "kya_audit_waiting_events",
                "Events that waited to be appended when the last one came.",
            )?,
            signs: IntGauge::new(
                "kya_audit_signs",
                "1 if the key that signs checkpoints of the audit trail is here, 0 if not.",
            )?,
            batches: IntCounterVec::new(
                Opts::new(
                    "kya_audit_batches_total",
                    "Batches of workers, by outcome: taken, malformed, busy, unavailable, or refused: too_many_workers, ahead, other_registration, conflict.",
                ),
                &["outcome"],
            )?,
            lag: Histogram::with_opts(
                HistogramOpts::new(
                    "kya_audit_lag_seconds",
                    "From the last event of a batch, by the clock of its proxy put right, until it is in the trail.",
                )
                .buckets(vec![0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0]),
            )?,
            anchored: IntCounterVec::new(
                Opts::new(
                    "kya_audit_anchored_total",
                    "Checkpoints that were put to the anchor's address, by outcome: stored, failed.",
                ),
                &["outcome"],
            )?,
            anchor_lag: IntGauge::new(
                "kya_audit_anchor_lag_seconds",
                "For how long there has been a checkpoint that did not arrive at the anchor's address.",
            )?,
        };
        registry.register(Box::new(metrics.anchored.clone()))?;
        registry.register(Box::new(metrics.anchor_lag.clone()))?;
        registry.register(Box::new(metrics.records.clone()))?;
        registry.register(Box::new(metrics.appends.clone()))?;
        registry.register(Box::new(metrics.size.clone()))?;
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.signs.clone()))?;
        registry.register(Box::new(metrics.batches.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn record(&self, kind: &str) {
        self.records.with_label_values(&[kind]).inc();
    }

    /// What was waiting was appended, and the trail has so many records then.
    pub(crate) fn appended(&self, took: Duration, size: u64) {
        self.appends.observe(took.as_secs_f64());
        self.size.set(i64::try_from(size).unwrap_or(i64::MAX));
    }

    pub(crate) fn waiting(&self, events: usize) {
        self.waiting.set(i64::try_from(events).unwrap_or(i64::MAX));
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
        self.anchor_lag.set(i64::try_from(lag.as_secs()).unwrap_or(i64::MAX));
    }

    pub(crate) fn lag(&self, lag: Duration) {
        self.lag.observe(lag.as_secs_f64());
    }
}
