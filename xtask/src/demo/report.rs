//! What a kill did, in numbers.

use kya_envoy::Acknowledgements;
use kya_envoy::traffic::{Outcome, Sample};
use serde::Serialize;

/// Everything that was seen.
#[derive(Debug)]
pub(super) struct Facts {
    /// The sidecars.
    pub(super) nodes: Vec<String>,
    /// All their workers.
    pub(super) workers: usize,
    /// The sidecar at the end of each lane.
    pub(super) lanes: Vec<String>,
    /// Every request of the agent.
    pub(super) samples: Vec<Sample>,
    /// Who has acknowledged the revocation.
    pub(super) acks: Acknowledgements,
}

impl Facts {
    /// `unix_ms` as milliseconds after the commit.
    pub(super) fn after_commit(&self, unix_ms: f64) -> f64 {
        unix_ms - self.acks.committed_unix_ms
    }

    /// The requests that went to `node`.
    pub(super) fn of_node(&self, node: &str) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |s| self.lanes.get(s.lane).is_some_and(|n| n == node))
    }

    /// The first answer of `node` that was a denial.
    pub(super) fn first_denial(&self, node: &str) -> Option<&Sample> {
        self.of_node(node)
            .filter(|sample| sample.outcome == Outcome::Denied)
            .min_by(|a, b| a.answered_unix_ms.total_cmp(&b.answered_unix_ms))
    }
}

/// The outcome, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    sidecars: usize,
    workers: usize,
    /// Allowed requests that were sent before the commit.
    requests_allowed_before: usize,
    revoke_committed_unix_ms: f64,
    /// Commit to the first denial anywhere, in ms.
    first_denial_ms: Option<f64>,
    /// Commit to the first denial of the slowest sidecar, in ms; `null` if one
    /// of them denied nothing.
    last_denial_ms: Option<f64>,
    /// A row for each worker that has acknowledged.
    pub(super) acks: Vec<Ack>,
    /// Allowed requests that were sent after the last worker had applied the
    /// revocation; `null` while a worker has not.
    pub(super) allowed_after_last_ack: Option<usize>,
    /// Denied ones: what the zero above is measured on.
    pub(super) denied_after_last_ack: Option<usize>,
    /// Requests without a decision, such as a refused connection.
    failed: usize,
}

/// One worker's acknowledgement; times are in ms after the commit.
#[derive(Debug, Serialize)]
pub(super) struct Ack {
    pub(super) node_id: String,
    pub(super) worker: u32,
    /// When the worker began to decide by it.
    pub(super) applied_ms: f64,
    /// When the control plane heard of it.
    pub(super) acknowledged_ms: f64,
}

impl Report {
    pub(super) fn new(facts: &Facts) -> Self {
        let denials: Vec<Option<f64>> = facts
            .nodes
            .iter()
            .map(|node| facts.first_denial(node))
            .map(|denial| denial.map(|d| facts.after_commit(d.answered_unix_ms)))
            .collect();
        let mut acks: Vec<Ack> = facts
            .acks
            .acknowledgements
            .iter()
            .map(|ack| Ack {
                node_id: ack.node_id.clone(),
                worker: ack.slot,
                applied_ms: rounded(facts.after_commit(ack.applied_unix_ms)),
                acknowledged_ms: rounded(ack.after_ms),
            })
            .collect();
        acks.sort_by(|a, b| (&a.node_id, a.worker).cmp(&(&b.node_id, b.worker)));

        let all_applied = facts
            .acks
            .last_applied_unix_ms()
            .filter(|_| facts.acks.complete && acks.len() == facts.workers);
        let after = |outcome: fn(Outcome) -> bool| {
            let last = all_applied?;
            let sent_after = facts.samples.iter().filter(|sample| sample.sent_unix_ms > last);
            Some(sent_after.filter(|sample| outcome(sample.outcome)).count())
        };
        let commit = facts.acks.committed_unix_ms;
        let count = |wanted: &dyn Fn(&Sample) -> bool| {
            facts.samples.iter().filter(|sample| wanted(sample)).count()
        };
        Self {
            sidecars: facts.nodes.len(),
            workers: facts.workers,
            requests_allowed_before: count(&|s| {
                s.sent_unix_ms < commit && s.outcome == Outcome::Allowed
            }),
            revoke_committed_unix_ms: rounded(commit),
            first_denial_ms: denials.iter().flatten().copied().reduce(f64::min).map(rounded),
            last_denial_ms: denials
                .iter()
                .copied()
                .collect::<Option<Vec<f64>>>()
                .and_then(|all| all.into_iter().reduce(f64::max))
                .map(rounded),
            acks,
            allowed_after_last_ack: after(|outcome| outcome == Outcome::Allowed),
            denied_after_last_ack: after(|outcome| outcome == Outcome::Denied),
            failed: count(&|s| s.outcome == Outcome::Failed),
        }
    }

    /// Why the kill did not hold; nothing if it did.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        if self.requests_allowed_before == 0 {
            failures.push("nothing was allowed before the revocation".to_owned());
        }
        if self.last_denial_ms.is_none() {
            failures.push("a sidecar denied nothing".to_owned());
        }
        match self.allowed_after_last_ack {
            None => failures.push(format!(
                "only {} of {} workers have acknowledged",
                self.acks.len(),
                self.workers
            )),
            Some(0) => {}
            Some(allowed) => {
                failures
                    .push(format!("{allowed} requests were allowed after the last worker knew"));
            }
        }
        failures
    }
}

/// To the microsecond, which is what the clocks have.
fn rounded(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
