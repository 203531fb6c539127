//! What workers report, taken in.

use std::time::Instant;

use kya_core::wire::WorkerReport;

use super::Push;
use super::hello::Malformed;
use super::nodes::{Key, ReportError};

impl Push {
    /// Takes the report of a proxy, or says what is wrong with it.
    pub(super) fn take_report(
        &self,
        node: Key,
        node_id: &str,
        report: &WorkerReport,
    ) -> Result<(), Malformed> {
        let arrived = (Instant::now(), self.clock.now());
        let newest = self.published();
        let taken = self.nodes.report(node, report, newest, arrived)?;
        self.metrics.challenges_answered(taken.answered);
        taken
            .moved
            .into_iter()
            .filter_map(|revision| self.timeline.measured(revision, arrived.0))
            .for_each(|after| self.metrics.acknowledged(after));
        for (slot, reported) in taken.impossible {
            self.metrics.impossible_report();
            if self.impossible.passes() {
                tracing::warn!(
                    node_id,
                    slot,
                    ?reported,
                    ?newest,
                    "ignored what a worker reports: that position was never sent; further ones are counted"
                );
            }
        }
        Ok(())
    }
}

impl From<ReportError> for Malformed {
    fn from(error: ReportError) -> Self {
        Self(error.to_string())
    }
}
