//! How long a database takes and how often it fails, for whoever counts that.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use super::StoreError;
use crate::telemetry::{Metrics, Operation};

/// Where it is counted; nowhere, unless somebody says.
#[derive(Debug, Default)]
pub(super) struct Figures(Option<Arc<Metrics>>);

impl Figures {
    pub(super) fn of(metrics: Arc<Metrics>) -> Self {
        Self(Some(metrics))
    }

    /// Does it, and counts it.
    pub(super) async fn count<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let Some(metrics) = &self.0 else { return work.await };
        let began = Instant::now();
        let done = work.await;
        let failed = done.as_ref().is_err_and(StoreError::is_a_failure);
        metrics.store.done(operation, began.elapsed(), failed);
        done
    }
}
