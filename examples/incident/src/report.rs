use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

/// What became of each step.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Those that were taken: all of [`STEPS`](crate::STEPS), or up to the one that failed.
    pub steps: Vec<Step>,
    /// Why the last one failed.
    #[serde(skip)]
    pub failure: Option<String>,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct Step {
    /// One of [`STEPS`](crate::STEPS).
    pub name: &'static str,
    /// Whether everything that it checks was as it has to be.
    pub ok: bool,
    /// How long it took with all its checks, in milliseconds.
    pub ms: f64,
}

/// A step has failed, and the report says why.
#[derive(Debug)]
pub(crate) struct Failed;

impl Report {
    /// Whether every step was taken, and each is ok.
    pub fn is_ok(&self) -> bool {
        self.steps.iter().map(|step| step.name).eq(crate::STEPS)
            && self.steps.iter().all(|step| step.ok)
    }

    /// Takes a step.
    pub(crate) async fn step<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T, Failed> {
        let start = Instant::now();
        let outcome = work.await;
        // To the microsecond.
        let ms = start.elapsed().as_micros() as f64 / 1000.0;
        self.steps.push(Step { name, ok: outcome.is_ok(), ms });
        outcome.map_err(|error| {
            self.failure = Some(format!("{name}: {error:#}"));
            Failed
        })
    }
}
