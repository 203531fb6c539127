//! Many proxies in one process.

use std::env;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use kya_fleet::client::{Heard, Proxy};
use kya_fleet::state::Has;

use super::arrivals::Arrivals;
use super::back_off::BackOff;
use super::crowd::{Crowd, Turn};
use super::{Said, say, stdin};

/// The variable that holds the node credential.
pub(crate) const CREDENTIAL: &str = "KYA_NODE_CREDENTIAL";

/// Options of `xtask simulate streams`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the control plane listens for proxies.
    #[arg(long)]
    address: String,
    /// How many proxies.
    #[arg(long)]
    count: usize,
    /// Whether each reports that it has applied what it got.
    #[arg(long)]
    acknowledge: bool,
    /// Whether each connects again when its stream has ended, when the filter would, with
    /// what it has.
    #[arg(long)]
    reconnect: bool,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let credential = credential()?;
    let all =
        Arc::new(All { deltas: Arrivals::of(options.count), states: Arrivals::of(options.count) });
    stdin::until_the_end(options.count, async {
        let mut crowd = Crowd::of(options.count);
        for number in 0..options.count {
            let proxy = Proxy {
                address: options.address.clone(),
                credential: credential.clone(),
                number,
                instance: 1,
                acknowledges: options.acknowledge,
                fetches: options.reconnect,
            };
            let (all, reconnects) = (Arc::clone(&all), options.reconnect);
            crowd.join(move |turn| follow(proxy, all, turn, reconnects));
        }
        crowd.stay().await
    })
}

/// What proxies connect by.
pub(super) fn credential() -> Result<String> {
    env::var(CREDENTIAL).with_context(|| format!("{CREDENTIAL} is to hold the credential"))
}

/// What all of them are to have.
#[derive(Debug)]
struct All {
    /// Each revision.
    deltas: Arrivals,
    /// A state of each epoch.
    states: Arrivals,
}

/// One proxy. It ends with its stream, unless it connects again.
async fn follow(proxy: Proxy, all: Arc<All>, turn: Turn, reconnects: bool) -> Result<()> {
    let (mut has, mut back_off) = (Has::default(), BackOff::new());
    let known = Mutex::new(None);
    loop {
        let began = Instant::now();
        let heard = |heard| {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            for arrived in all.note(&mut known, heard) {
                say(&arrived);
            }
            if matches!(heard, Heard::State { .. }) {
                turn.is_there();
            }
        };
        let ended = proxy.follow_from(&mut has, heard).await;
        if !reconnects {
            return ended;
        }
        let next = back_off.next(began.elapsed(), Instant::now());
        tokio::time::sleep_until(next.into()).await;
    }
}

impl All {
    /// Notes what one of them has heard, which knew of this epoch and revision before. What
    /// there is to say about all.
    fn note(&self, known: &mut Option<(u64, u64)>, heard: Heard) -> Vec<Said> {
        match heard {
            Heard::Greeting { .. } => Vec::new(),
            Heard::State { epoch, revision, unix_ms, .. } => {
                let before = known.replace((epoch, revision));
                let is_new = before.is_none_or(|(of, _)| of != epoch);
                let state = is_new.then(|| self.states.note(epoch, 0, unix_ms)).flatten();
                // What came while it was away is in its state.
                let missed = before.map_or(0..0, |(_, from)| from + 1..revision + 1);
                let missed = missed.filter_map(|missed| self.deltas.note(missed, 0, unix_ms));
                missed.map(Said::Delta).chain(state.map(Said::State)).collect()
            }
            Heard::Delta { epoch, revision, bytes, unix_ms } => {
                *known = Some((epoch, revision));
                self.deltas.note(revision, bytes, unix_ms).map(Said::Delta).into_iter().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(epoch: u64, revision: u64, unix_ms: f64) -> Heard {
        Heard::State { epoch, revision, unix_ms, snapshot: None }
    }

    fn delta(revision: u64, unix_ms: f64) -> Heard {
        Heard::Delta { epoch: 2, revision, bytes: 9, unix_ms }
    }

    #[test]
    fn a_revision_has_arrived_whether_as_a_delta_or_in_a_state() {
        let all = All { deltas: Arrivals::of(2), states: Arrivals::of(2) };
        let (mut one, mut other) = (None, None);
        assert!(all.note(&mut one, state(1, 5, 1.0)).is_empty());
        let said = all.note(&mut other, state(1, 5, 2.0));
        assert!(matches!(said[..], [Said::State(it)] if it.id == 1 && it.last_unix_ms == 2.0));

        // One comes back before the change, and the other after it.
        assert!(all.note(&mut one, state(2, 5, 3.0)).is_empty());
        assert!(all.note(&mut one, delta(6, 4.0)).is_empty());
        let said = all.note(&mut other, state(2, 6, 7.0));
        let [Said::Delta(delta), Said::State(state)] = said[..] else { panic!("{said:?}") };
        assert_eq!((delta.id, delta.first_unix_ms, delta.last_unix_ms), (6, 4.0, 7.0));
        assert_eq!((state.id, state.first_unix_ms, state.last_unix_ms), (2, 3.0, 7.0));
    }

    #[test]
    fn a_proxy_that_comes_back_twice_counts_once() {
        let all = All { deltas: Arrivals::of(2), states: Arrivals::of(2) };
        let mut one = None;
        for _ in 0..3 {
            assert!(all.note(&mut one, state(1, 5, 1.0)).is_empty());
        }
        assert_eq!(all.note(&mut None, state(1, 5, 1.0)).len(), 1);
    }
}
