//! The figures of the databases.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};

use super::making::Making;

/// What is asked of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A change of the registry, until it is on disk.
    Commit,
    /// Whatever is read of the registry for an answer.
    Read,
    /// Who asks.
    Credential,
    /// What is to be pushed.
    Publish,
    /// Records for the audit trail, until they are on disk.
    Append,
}

impl Operation {
    const ALL: [Self; 5] =
        [Self::Commit, Self::Read, Self::Credential, Self::Publish, Self::Append];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Read => "read",
            Self::Credential => "credential",
            Self::Publish => "publish",
            Self::Append => "append",
        }
    }
}

/// The figures of the databases.
#[derive(Debug)]
pub(crate) struct StoreMetrics {
    took: HistogramVec,
    errors: IntCounterVec,
}

impl StoreMetrics {
    pub(super) fn new(making: Making<'_>) -> Result<Self, prometheus::Error> {
        let took = making.histograms(
            (
                "kya_store_seconds",
                "How long the database took, the wait for a connection included, by operation: commit, read, credential, publish, append.",
            ),
            &["operation"],
            &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0],
        )?;
        for operation in Operation::ALL {
            took.get_metric_with_label_values(&[operation.as_str()])?;
        }
        let errors = making.counters(
            (
                "kya_store_errors_total",
                "Times that the database failed, as opposed to refused, by operation.",
            ),
            &["operation"],
            &Operation::ALL.map(Operation::as_str),
        )?;
        Ok(Self { took, errors })
    }

    pub(crate) fn done(&self, operation: Operation, took: Duration, failed: bool) {
        let label = [operation.as_str()];
        self.took.with_label_values(&label).observe(took.as_secs_f64());
        if failed {
            self.errors.with_label_values(&label).inc();
        }
    }
}
