//! Challenges on demand, and the proof that comes of one; and what is proved at
//! the moment about every proxy.

use std::time::{Duration, Instant};

use kya_core::{Position, wire};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::Push;
use super::armed::{Bounds, State, Verdict, Yardstick};
use super::challenges::Challenge;
use super::departed::Departed;
use super::nodes::{Key, Node, Transport};
use crate::time::UnixMicros;

/// Connected proxies that are named to whoever asks for one that is not.
const NAMED: usize = 20;

/// What came of a challenge.
#[derive(Debug)]
pub struct Proof {
    /// Which challenge it was: what a later one proves, it proves too.
    pub(crate) number: u64,
    /// What was asked, 32 random bytes.
    pub nonce: [u8; 32],
    /// When, on both clocks.
    pub asked: (Instant, UnixMicros),
    /// The newest position that was handed to the streams when it ended.
    pub newest: Position,
    /// What each proxy has proved that was challenged.
    pub nodes: Vec<(Node, Verdict)>,
    /// How many of those that were challenged have left since.
    pub left: usize,
    /// The proxies that were connected once and were not challenged, or have left.
    pub disconnected: Vec<Departed>,
}

/// Why nobody was challenged.
#[derive(Debug, Error)]
pub enum ChallengeError {
    /// There is no proxy of this name, but there may be these.
    #[error("{}", not_connected(.node_id, .since, .connected, .more))]
    NotConnected {
        /// Who was to be challenged.
        node_id: String,
        /// When it left, if it was connected.
        since: Option<UnixMicros>,
        /// Some of those that are connected.
        connected: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Entropy(#[from] getrandom::Error),
}

impl Proof {
    /// True when somebody was challenged, and each of them has proved with it that
    /// it is armed. It says nothing about whoever is not connected.
    pub fn is_armed(&self) -> bool {
        self.left == 0
            && !self.nodes.is_empty()
            && self.nodes.iter().all(|(_, verdict)| verdict.state == State::Armed)
    }
}

impl Push {
    /// Challenges the proxy of this `node.id`, or every connected one, and returns
    /// as soon as each has proved that it is armed, and otherwise when `patience`
    /// is over or `hurry` is called.
    pub(crate) async fn challenge(
        &self,
        node_id: Option<&str>,
        patience: Duration,
        hurry: &CancellationToken,
    ) -> Result<Proof, ChallengeError> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut changes = self.nodes.subscribe();
        let whom = |node: &Node| node_id.is_none_or(|node_id| node.proxy.node_id == node_id);
        let (challenge, keys) = self.challenges.ask(whom)?;
        if let Some(node_id) = node_id.filter(|_| keys.is_empty()) {
            return Err(self.not_connected(node_id));
        }
        loop {
            // Mark before looking, so that a change in between is not missed.
            changes.borrow_and_update();
            let proof = self.look(&keys, &challenge);
            if proof.is_armed() || proof.nodes.is_empty() {
                return Ok(proof);
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return Ok(proof) },
                () = tokio::time::sleep_until(deadline) => break,
                () = hurry.cancelled() => break,
            }
        }
        // Time has passed, and the challenge was sent, without a change.
        Ok(self.look(&keys, &challenge))
    }

    /// What is proved about every proxy that is connected, in the order of
    /// [`Nodes::list`](super::Nodes::list), and who is not any longer.
    pub(crate) fn verdicts(&self) -> (Vec<(Node, Verdict)>, Vec<Departed>) {
        let yardstick = self.yardstick();
        self.nodes.inspect(|nodes, departed| {
            let judged = nodes.map(|node| (node.clone(), yardstick.judge(node, None)));
            (judged.collect(), departed)
        })
    }

    /// Challenges a proxy whose stream has just begun, unless it is already.
    pub(super) fn challenge_newcomer(&self, key: Key) {
        if let Err(error) = self.challenges.ask_first(key) {
            tracing::error!(%error, "no random bytes: a proxy is not challenged");
        }
    }

    /// The challenge that is to be sent to a proxy now.
    pub(super) fn next_challenge(&self, key: Key) -> Option<wire::SignedUpdate> {
        let patience = |transport| Bounds::of(&self.limits, transport).answer();
        let (challenge, missed) = self.nodes.send_challenge(key, patience)?;
        self.metrics.sent_challenge(missed);
        Some(challenge.signed.clone())
    }

    /// The same for one that has just pulled. A stream carries its own.
    pub(super) fn challenge_pulling(&self, key: Key) -> Option<wire::SignedUpdate> {
        if self.nodes.transport(key) != Some(Transport::Pull) {
            return None;
        }
        self.challenge_newcomer(key);
        self.next_challenge(key)
    }

    fn look(&self, keys: &[Key], challenge: &Challenge) -> Proof {
        let Challenge { number, nonce, asked, .. } = *challenge;
        let yardstick = self.yardstick();
        self.nodes.inspect_keyed(|nodes, disconnected| {
            let challenged = nodes.filter(|(key, _)| keys.binary_search(key).is_ok());
            let nodes: Vec<_> = challenged
                .map(|(_, node)| (node.clone(), yardstick.judge(node, Some(number))))
                .collect();
            let left = keys.len().saturating_sub(nodes.len());
            let newest = yardstick.newest;
            Proof { number, nonce: nonce.0, asked, newest, nodes, left, disconnected }
        })
    }

    fn not_connected(&self, node_id: &str) -> ChallengeError {
        self.nodes.inspect(|nodes, departed| {
            let mut names: Vec<_> = nodes.map(|node| node.proxy.node_id.clone()).collect();
            names.sort_unstable();
            names.dedup();
            let more = names.len().saturating_sub(NAMED);
            names.truncate(NAMED);
            let left = departed.into_iter().find(|departed| departed.node_id == node_id);
            ChallengeError::NotConnected {
                node_id: node_id.to_owned(),
                since: left.map(|departed| departed.since),
                connected: names,
                more,
            }
        })
    }

    pub(super) fn yardstick(&self) -> Yardstick<'_> {
        Yardstick {
            limits: &self.limits,
            newest: self.published(),
            timeline: &self.timeline,
            now: Instant::now(),
        }
    }
}

fn not_connected(
    node_id: &str,
    since: &Option<UnixMicros>,
    connected: &[String],
    more: &usize,
) -> String {
    let left = since.map_or_else(String::new, |at| format!(" since {}", at.to_rfc3339()));
    let there = match (connected, more) {
        ([], _) => "no proxy is".to_owned(),
        (names, 0) => format!("connected: {}", names.join(", ")),
        (names, more) => format!("connected: {} and {more} more", names.join(", ")),
    };
    format!("no proxy is connected as `{node_id}`{left}; {there}")
}
