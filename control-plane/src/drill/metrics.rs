//! The figures of scheduled drills. Each has the name of its schedule, of which there are at
//! most [`MAX_SCHEDULES`](crate::store::schedules::MAX_SCHEDULES).

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use serde_json::Value;

use super::schedule::overdue_since;
use crate::store::schedules::{Schedule, ScheduleName};
use crate::store::{Drill, DrillState};
use crate::time::UnixMicros;

/// How a run may end, by its drill or without one.
const OUTCOMES: [&str; 6] = ["passed", "failed", "interrupted", "missed", "skipped", "refused"];
/// Why the drill of a canary did not pass.
const REASONS: [&str; 5] =
    ["not_rejected", "allowed_after_ack", "never_allowed", "slow", "interrupted"];

/// The figures of the scheduled drills of one server.
#[derive(Debug)]
pub(crate) struct ScheduleMetrics {
    overdue: IntGaugeVec,
    passed: IntGaugeVec,
    runs: IntCounterVec,
    last_rejection: HistogramVec,
    failures: IntCounterVec,
    /// Names that have series.
    shown: Mutex<BTreeSet<String>>,
}

impl ScheduleMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let of = &["schedule"];
        let metrics = Self {
            overdue: IntGaugeVec::new(
                Opts::new("kya_drill_overdue", "1 if no drill of the schedule passed when one was owed."),
                of,
            )?,
            passed: IntGaugeVec::new(
                Opts::new(
                    "kya_drill_last_passed_timestamp_seconds",
                    "When the last drill of the schedule ended that passed, in seconds since 1970; 0 if none did.",
                ),
                of,
            )?,
            runs: IntCounterVec::new(
                Opts::new(
                    "kya_drill_scheduled_runs_total",
                    "Times at which a drill of the schedule was due, by what this server made of them.",
                ),
                &["schedule", "outcome"],
            )?,
            last_rejection: HistogramVec::new(
                HistogramOpts::new(
                    "kya_canary_last_rejection_seconds",
                    "From a stop of a continuous canary to the last rejection that everybody had to come to.",
                )
                .buckets(vec![
                    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
                ]),
                of,
            )?,
            failures: IntCounterVec::new(
                Opts::new(
                    "kya_canary_failures_total",
                    "Stops of a continuous canary that were not as they have to be, by reason.",
                ),
                &["schedule", "reason"],
            )?,
            shown: Mutex::default(),
        };
        registry.register(Box::new(metrics.overdue.clone()))?;
        registry.register(Box::new(metrics.passed.clone()))?;
        registry.register(Box::new(metrics.runs.clone()))?;
        registry.register(Box::new(metrics.last_rejection.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        Ok(metrics)
    }

    /// Shows the schedules that there are, and no others.
    pub(super) fn shows(&self, schedules: &[Schedule], now: UnixMicros) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let there: BTreeSet<_> = schedules.iter().map(|it| it.name.as_str().to_owned()).collect();
        for name in shown.difference(&there).map(String::as_str) {
            let _ = self.overdue.remove_label_values(&[name]);
            let _ = self.passed.remove_label_values(&[name]);
            let _ = self.last_rejection.remove_label_values(&[name]);
            for outcome in OUTCOMES {
                let _ = self.runs.remove_label_values(&[name, outcome]);
            }
            for reason in REASONS {
                let _ = self.failures.remove_label_values(&[name, reason]);
            }
        }
        *shown = there;
        for schedule in schedules {
            let name = schedule.name.as_str();
            let overdue = overdue_since(schedule, now).is_some();
            self.overdue.with_label_values(&[name]).set(overdue.into());
            let passed = schedule.passed_at.map_or(0, |at| at.seconds().0);
            let passed = i64::try_from(passed).unwrap_or(i64::MAX);
            self.passed.with_label_values(&[name]).set(passed);
        }
    }

    /// A time at which a drill was due has come to this.
    pub(super) fn ran(&self, schedule: &ScheduleName, outcome: &str) {
        self.runs.with_label_values(&[schedule.as_str(), outcome]).inc();
    }

    /// A drill has ended that was due.
    pub(super) fn ended(&self, schedule: &ScheduleName, canary: bool, drill: &Drill) {
        self.ran(schedule, drill.state.name());
        if !canary {
            return;
        }
        let name = schedule.as_str();
        let result = drill.result.as_ref().unwrap_or(&Value::Null);
        for reason in failures(drill.state, result) {
            self.failures.with_label_values(&[name, reason]).inc();
        }
        if let Some(millis) = last_rejection_ms(result) {
            self.last_rejection.with_label_values(&[name]).observe(millis / 1000.0);
        }
    }
}

/// How long it took until everybody rejected; `None` if not everybody did.
fn last_rejection_ms(result: &Value) -> Option<f64> {
    let none = |member: &str| result[member].as_array().is_some_and(Vec::is_empty);
    let all = none("never_rejected") && none("never_allowed");
    all.then(|| result["last_rejection_ms"]["max"].as_f64()).flatten()
}

/// What was not as it has to be, of a drill with one sample.
fn failures(state: DrillState, result: &Value) -> Vec<&'static str> {
    let some = |member: &str| result[member].as_array().is_some_and(|names| !names.is_empty());
    match state {
        DrillState::Passed => return Vec::new(),
        DrillState::Interrupted => return vec!["interrupted"],
        _ => {}
    }
    let found = [
        ("not_rejected", some("never_rejected")),
        ("allowed_after_ack", result["allowed_after_ack"].as_u64() > Some(0)),
        ("never_allowed", some("never_allowed")),
    ];
    let found: Vec<_> = found.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
    match found.is_empty() {
        true => vec!["slow"],
        false => found,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(never_rejected: &[&str], never_allowed: &[&str], allowed_after_ack: u64) -> Value {
        json!({
            "never_rejected": never_rejected,
            "never_allowed": never_allowed,
            "allowed_after_ack": allowed_after_ack,
            "last_rejection_ms": { "max": 7.5 },
        })
    }

    #[test]
    fn a_stop_that_not_everybody_heard_of_is_a_failure_and_no_latency() {
        let of = |result: &Value| (failures(DrillState::Failed, result), last_rejection_ms(result));
        assert_eq!(
            of(&result(&["deaf"], &[], 3)),
            (vec!["not_rejected", "allowed_after_ack"], None)
        );
        assert_eq!(of(&result(&[], &["gone"], 0)), (vec!["never_allowed"], None));
        assert_eq!(of(&result(&[], &[], 1)), (vec!["allowed_after_ack"], Some(7.5)));
        assert_eq!(of(&result(&[], &[], 0)), (vec!["slow"], Some(7.5)));
        let fine = result(&[], &[], 0);
        assert_eq!(failures(DrillState::Passed, &fine), [""; 0]);
        let nothing = json!({ "passed": false, "failures": ["it ended"] });
        assert_eq!(failures(DrillState::Interrupted, &nothing), ["interrupted"]);
        assert_eq!(last_rejection_ms(&nothing), None);
        assert!(REASONS.contains(&"slow") && REASONS.contains(&"interrupted"));
    }
}
