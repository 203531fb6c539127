use anyhow::{Result, bail};

use super::caller::Answer;
use crate::Sidecar;

// The kernel spreads connections over the workers by hash: a worker of two that
// is still missing after this many is one that does not accept.
const MOST_CALLS: usize = 400;

/// Answers from every worker of a sidecar.
#[derive(Debug, Clone)]
pub struct Reached {
    /// Every answer, in order.
    pub answers: Vec<Answer>,
    /// Connections that each worker accepted for them, by worker index.
    pub by_worker: Vec<u64>,
}

impl Reached {
    /// How many answers there were, if `expected` holds for each of them.
    ///
    /// # Errors
    /// With the first one that is different.
    pub fn all(&self, expected: impl Fn(&Answer) -> bool) -> Result<u64> {
        match self.answers.iter().find(|answer| !expected(answer)) {
            Some(answer) => bail!("an answer is not as expected: {answer:#?}"),
            None => Ok(self.answers.len() as u64),
        }
    }
}

/// Repeats `call`, which must open a new connection to `sidecar`, until Envoy's
/// own counters show that each worker has accepted `each` of them.
///
/// # Errors
/// When a worker is still missing after 400 calls, or the workers together did
/// not accept exactly one connection a call: then somebody else was talking to
/// the sidecar and the counters prove nothing.
pub async fn reach_every_worker(
    sidecar: &Sidecar,
    each: u64,
    mut call: impl AsyncFnMut() -> Result<Answer>,
) -> Result<Reached> {
    let before = sidecar.connections_by_worker().await?;
    let mut answers = Vec::new();
    loop {
        let now = sidecar.connections_by_worker().await?;
        let by_worker: Vec<u64> = now.iter().zip(&before).map(|(now, then)| now - then).collect();
        if by_worker.iter().all(|count| *count >= each) {
            let (accepted, calls) = (by_worker.iter().sum::<u64>(), answers.len() as u64);
            if accepted != calls {
                bail!("{} accepted {accepted} connections for {calls} calls", sidecar.node_id());
            }
            return Ok(Reached { answers, by_worker });
        }
        if answers.len() >= MOST_CALLS {
            bail!("{} spread {MOST_CALLS} connections as {by_worker:?}", sidecar.node_id());
        }
        answers.push(call().await?);
    }
}
