use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::lane::Lane;
use crate::clock::unix_ms;

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It reached the service.
    Allowed,
    /// The answer was 403: the agent has no standing.
    Denied,
    /// No decision came back: a connection error, or any other status.
    Failed,
}

impl Outcome {
    /// Of a request that was answered with `status`, or not at all.
    pub(super) fn of(status: Option<u16>) -> Self {
        match status {
            Some(200..=299) => Self::Allowed,
            Some(403) => Self::Denied,
            _ => Self::Failed,
        }
    }
}

/// One request of a load.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Index of its lane.
    pub lane: usize,
    /// When it was sent, in milliseconds since 1970.
    pub sent_unix_ms: f64,
    /// When its answer was there, in milliseconds since 1970.
    pub answered_unix_ms: f64,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What became of it.
    pub outcome: Outcome,
}

/// An agent that keeps making requests in the background.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts one line of requests for each of `lanes`, with `token`, pausing
    /// for `pause` after each answer.
    pub fn start(lanes: &[Lane], token: &str, pause: Duration) -> Self {
        let (stop, stopped) = watch::channel(false);
        let samples = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for (index, lane) in lanes.iter().enumerate() {
            let (lane, token) = (lane.clone(), token.to_owned());
            let (samples, stopped) = (Arc::clone(&samples), stopped.clone());
            tasks.spawn(async move {
                while !*stopped.borrow() {
                    let sample = send(index, &lane, &token).await;
                    samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                    tokio::time::sleep(pause).await;
                }
            });
        }
        Self { stop, samples, tasks }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is no sample yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples from number `from` on, in the order of their answers.
    pub fn samples_from(&self, from: usize) -> Vec<Sample> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.get(from..).unwrap_or_default().to_vec()
    }

    /// Ends the load; every request that was sent is waited for.
    pub async fn stop(mut self) -> Result<Vec<Sample>> {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        Ok(self.samples_from(0))
    }
}

async fn send(index: usize, lane: &Lane, token: &str) -> Sample {
    let sent_unix_ms = unix_ms();
    let status = lane.request(token).await.ok().map(|status| status.as_u16());
    let answered_unix_ms = unix_ms();
    Sample { lane: index, sent_unix_ms, answered_unix_ms, status, outcome: Outcome::of(status) }
}
