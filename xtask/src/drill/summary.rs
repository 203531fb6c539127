use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::distribution::histogram;

/// What `cargo xtask drill --json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// How many there were.
    relying_parties: usize,
    /// How often the canary was stopped.
    samples: usize,
    /// From the stop to the first rejection by whichever Envoy was first.
    first_rejection_ms: Option<Percentiles>,
    /// From the stop until every Envoy that rejects did so for good.
    last_rejection_ms: Option<Percentiles>,
    /// From the stop until every worker and every simulated client had acknowledged it.
    receipt_complete_ms: Option<Percentiles>,
    /// Requests that were allowed though they were sent after that.
    allowed_after_ack: u64,
    /// Names of those that rejected in no sample.
    never_rejected: Vec<String>,
    passed: bool,
    failures: Vec<String>,
    /// Requests to each Envoy in a second.
    rate: u64,
    /// Requests that could not be sent when they were due, of how many.
    missed: u64,
    probes: u64,
    /// Requests that were in flight at a stop, and how they ended.
    in_flight: Value,
    /// Samples that not every worker acknowledged.
    unacknowledged: u64,
    /// Processes that ran or waited for a processor, over a minute, when it was over.
    load_average: Option<f64>,
    /// Where all of it is.
    report: String,
    #[serde(skip)]
    settled_ms: Vec<f64>,
    #[serde(skip)]
    acknowledged_ms: Vec<f64>,
}

/// In milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

/// What a drill has found, as far as it is of use here.
#[derive(Debug, Deserialize)]
struct Found {
    passed: bool,
    failures: Vec<String>,
    samples: usize,
    first_rejection_ms: Option<Percentiles>,
    last_rejection_ms: Option<Percentiles>,
    receipt_complete_ms: Option<Percentiles>,
    allowed_after_ack: u64,
    in_flight: Value,
    unacknowledged: u64,
    never_rejected: Vec<String>,
    relying_parties: Vec<Party>,
}

#[derive(Debug, Deserialize)]
struct Party {
    probes: u64,
    missed: u64,
}

impl Summary {
    /// Of what `kya -o json drill show --samples` has printed.
    pub(super) fn of(document: &Value, report: &Path) -> Result<Self> {
        let found = Found::deserialize(&document["result"]).context("what the drill has found")?;
        let samples = document["samples"].as_array().context("the drill has no samples")?;
        let millis = |micros: i64| micros as f64 / 1000.0;
        let settled = |sample: &Value| {
            let parties = sample["parties"].as_array()?.iter();
            parties.filter_map(|party| party["figures"]["settled_us"].as_i64()).max()
        };
        let acknowledged = |sample: &Value| sample["acknowledged_us"].as_i64();
        let sum = |of: fn(&Party) -> u64| found.relying_parties.iter().map(of).sum();
        Ok(Self {
            relying_parties: found.relying_parties.len(),
            missed: sum(|party| party.missed),
            probes: sum(|party| party.probes),
            samples: found.samples,
            first_rejection_ms: found.first_rejection_ms,
            last_rejection_ms: found.last_rejection_ms,
            receipt_complete_ms: found.receipt_complete_ms,
            allowed_after_ack: found.allowed_after_ack,
            never_rejected: found.never_rejected,
            passed: found.passed,
            failures: found.failures,
            rate: document["request"]["rate"].as_u64().unwrap_or_default(),
            in_flight: found.in_flight,
            unacknowledged: found.unacknowledged,
            load_average: load_average(),
            report: report.display().to_string(),
            settled_ms: samples.iter().filter_map(settled).map(millis).collect(),
            acknowledged_ms: samples.iter().filter_map(acknowledged).map(millis).collect(),
        })
    }

    /// The distributions, for a terminal.
    pub(super) fn pictures(&self) -> String {
        let load = self.load_average.map_or("unknown".to_owned(), |load| load.to_string());
        format!(
            "\nlast rejection, ms after the stop\n{}\nreceipt complete, ms after the stop\n{}\n\
             {} of {} probes could not be sent when they were due; load average {load}",
            histogram(&self.settled_ms),
            histogram(&self.acknowledged_ms),
            self.missed,
            self.probes,
        )
    }
}

/// By Linux.
fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_object_has_the_names_that_scripts_read() {
        let spread = json!({ "count": 2, "p50": 1.5, "p90": 2.0, "p99": 2.0, "max": 2.0 });
        let party = |settled: i64| json!({ "figures": { "settled_us": settled }, "probes": [] });
        let document = json!({
            "request": { "rate": 1000 },
            "result": {
                "passed": true, "failures": [], "samples": 2, "first_rejection_ms": spread,
                "last_rejection_ms": spread, "receipt_complete_ms": null,
                "allowed_after_ack": 0, "in_flight": { "at_stop": 3, "cut": 2 },
                "unacknowledged": 2, "never_rejected": [],
                "relying_parties": [{ "probes": 10, "missed": 1 }, { "probes": 20, "missed": 2 }],
            },
            "samples": [
                { "acknowledged_us": 900, "parties": [party(1000), party(1500)] },
                { "acknowledged_us": null, "parties": [party(2000), party(1)] },
            ],
        });
        let summary = Summary::of(&document, Path::new("out/drill.json")).unwrap();
        let shown = serde_json::to_value(&summary).unwrap();
        assert_eq!((&shown["relying_parties"], &shown["samples"]), (&json!(2), &json!(2)));
        for name in ["first_rejection_ms", "last_rejection_ms"] {
            let expected = json!({ "p50": 1.5, "p90": 2.0, "p99": 2.0, "max": 2.0 });
            assert_eq!(shown[name], expected, "{name}");
        }
        assert_eq!(shown["receipt_complete_ms"], Value::Null);
        assert_eq!(
            (&shown["allowed_after_ack"], &shown["never_rejected"]),
            (&json!(0), &json!([]))
        );
        assert_eq!((&shown["missed"], &shown["probes"]), (&json!(3), &json!(30)));
        assert_eq!((summary.settled_ms, summary.acknowledged_ms), (vec![1.5, 2.0], vec![0.9]));
        assert!(Summary::of(&json!({}), Path::new("x")).is_err());
    }
}
