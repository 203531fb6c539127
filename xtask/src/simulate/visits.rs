//! Proxies that connect, and leave as soon as they have what they came for.

use anyhow::{Context as _, Result};
use kya_fleet::client::{Heard, Proxy};
use kya_fleet::state::{Has, Snapshot};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// What was heard and not looked at yet: more than a control plane keeps deltas.
const WAITING: usize = 16_384;

/// What it took from a Hello to a state that is new enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Visit {
    /// How long, in ms.
    pub(crate) ms: f64,
    /// Deltas that came.
    pub(crate) deltas: usize,
    /// Chunks that were fetched; nothing where it went on from what it had.
    pub(crate) chunks: Option<usize>,
    /// Bytes of all of these, and of the manifest.
    pub(crate) bytes: usize,
}

/// Connects with what it has, stays until it has `revision`, and leaves.
pub(super) async fn visit(proxy: &Proxy, has: &mut Has, revision: u64) -> Result<Visit> {
    let (said, mut hears) = mpsc::channel(WAITING);
    let following = proxy.follow_from(has, move |heard| {
        // Nobody listens any more who has all that is wanted; and without room the visit does
        // not end, which is an error of whoever waits for it.
        let _ = said.try_send(heard);
    });
    let waiting = async {
        let mut taken = Taken::default();
        while let Some(heard) = hears.recv().await {
            if let Some(visit) = taken.hear(heard, revision) {
                return Ok(visit);
            }
        }
        anyhow::bail!("the stream ended")
    };
    tokio::select! {
        biased;
        ended = following => Err(ended.err().context("the stream ended")?),
        visited = waiting => visited,
    }
}

/// What has come so far.
#[derive(Debug, Default)]
struct Taken {
    greeted_unix_ms: f64,
    visit: Visit,
}

impl Taken {
    /// All of it, once it has `wanted`.
    fn hear(&mut self, heard: Heard, wanted: u64) -> Option<Visit> {
        let (revision, at) = match heard {
            Heard::Greeting { unix_ms } => {
                self.greeted_unix_ms = unix_ms;
                return None;
            }
            Heard::State { revision, unix_ms, snapshot, .. } => {
                self.visit.chunks = snapshot.map(|snapshot| snapshot.chunks);
                self.visit.bytes += snapshot.map_or(0, |Snapshot { bytes, .. }| bytes);
                (revision, unix_ms)
            }
            Heard::Delta { revision, unix_ms, bytes, .. } => {
                self.visit.deltas += 1;
                self.visit.bytes += bytes;
                (revision, unix_ms)
            }
        };
        self.visit.ms = at - self.greeted_unix_ms;
        (revision >= wanted).then_some(self.visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_lasts_from_the_hello_to_what_is_wanted() {
        let mut taken = Taken::default();
        assert_eq!(taken.hear(Heard::Greeting { unix_ms: 10.0 }, 7), None);
        let state = Heard::State { epoch: 1, revision: 5, unix_ms: 11.0, snapshot: None };
        assert_eq!(taken.hear(state, 7), None);
        let delta = |revision, unix_ms| Heard::Delta { epoch: 1, revision, bytes: 9, unix_ms };
        assert_eq!(taken.hear(delta(6, 12.0), 7), None);
        let visit = taken.hear(delta(7, 13.5), 7).unwrap();
        assert_eq!(visit, Visit { ms: 3.5, deltas: 2, chunks: None, bytes: 18 });

        let mut taken = Taken::default();
        let snapshot = Some(Snapshot { chunks: 3, bytes: 100 });
        let state = Heard::State { epoch: 1, revision: 9, unix_ms: 4.0, snapshot };
        let visit = taken.hear(state, 7).unwrap();
        assert_eq!(visit, Visit { ms: 4.0, deltas: 0, chunks: Some(3), bytes: 100 });
    }
}
