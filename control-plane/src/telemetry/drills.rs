//! The figures of drills.

use prometheus::{Gauge, IntCounterVec, IntGauge, IntGaugeVec};

use super::making::Making;
use super::whole;
use crate::drill::LastDrills;
use crate::store::{Drill, DrillState};

/// How a drill ended.
const RESULTS: [DrillState; 3] = [DrillState::Passed, DrillState::Failed, DrillState::Interrupted];

/// The figures of drills.
#[derive(Debug)]
pub(crate) struct DrillMetrics {
    ended: IntCounterVec,
    running: IntGauge,
    last: IntGaugeVec,
    last_ended: IntGauge,
    last_p99: Gauge,
}

impl DrillMetrics {
    pub(super) fn new(making: Making<'_>) -> Result<Self, prometheus::Error> {
        let last_p99 = Gauge::new(
            "kya_drill_last_rejection_p99_seconds",
            "99th percentile of the last rejection in the last drill that has any; 0 without one.",
        )?;
        making.0.register(Box::new(last_p99.clone()))?;
        let last = making.gauges(
            (
                "kya_drill_last_result",
                "1 for passed or failed, whichever the last drill that was not interrupted did, and for interrupted if the last one was; else 0.",
            ),
            &["result"],
        )?;
        for result in RESULTS {
            last.get_metric_with_label_values(&[result.name()])?;
        }
        Ok(Self {
            ended: making.counters(
                (
                    "kya_drills_total",
                    "Drills that this server has ended, by result: passed, failed, interrupted.",
                ),
                &["result"],
                &RESULTS.map(DrillState::name),
            )?,
            running: making.gauge("kya_drill_running", "1 while a drill is open, 0 if none is.")?,
            last,
            last_ended: making.gauge(
                "kya_drill_last_ended_timestamp_seconds",
                "When the last drill ended, in seconds since 1970; 0 if there was none.",
            )?,
            last_p99,
        })
    }

    pub(crate) fn ended(&self, how: DrillState) {
        self.ended.with_label_values(&[how.name()]).inc();
    }

    /// What is in the database.
    pub(crate) fn found(&self, found: &LastDrills) {
        self.running.set(i64::from(found.is_open));
        for result in RESULTS {
            let of = |drill: &Option<Drill>| drill.as_ref().is_some_and(|it| it.state == result);
            let is_it = of(&found.concluded) || of(&found.ended);
            self.last.with_label_values(&[result.name()]).set(i64::from(is_it));
        }
        let Some(last) = &found.ended else { return };
        self.last_ended.set(last.ended_at.map_or(0, |at| whole(at.seconds().0)));
        self.last_p99.set(last.last_rejection_p99_ms().map_or(0.0, |millis| millis / 1_000.0));
    }
}
