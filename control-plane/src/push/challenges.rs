//! Challenges: every connected proxy is asked, at each beat and on demand, to
//! show that each of its workers is alive and reads what is pushed. Here they are
//! made, and what one proxy was asked is kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kya_core::{Nonce, Position, wire};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::nodes::{Key, Node, Nodes};
use super::ring::Ring;
use super::signing::Signing;
use crate::time::{Clock, UnixMicros};

/// Challenges remembered for each proxy, newest last. An answer to another one
/// is none.
const REMEMBERED: usize = 8;

/// A question, signed once for everybody whom it is asked.
#[derive(Debug)]
pub(super) struct Challenge {
    /// A later one has a higher number.
    pub(super) number: u64,
    pub(super) nonce: Nonce,
    /// When it was signed, on both clocks.
    pub(super) asked: (Instant, UnixMicros),
    pub(super) signed: wire::SignedUpdate,
}

/// A worker's answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Which challenge: a later one has a higher number.
    pub(crate) number: u64,
    /// When the challenge was signed, on the monotonic and on the wall clock.
    pub asked: (Instant, UnixMicros),
    /// When the answer arrived.
    pub arrived: (Instant, UnixMicros),
    /// What the worker decided by when it answered.
    pub position: Position,
    /// How old that was then, by its own word.
    pub state_age: Duration,
}

impl Answer {
    /// From the challenge to the arrival of this.
    pub fn after(&self) -> Duration {
        self.arrived.0.saturating_duration_since(self.asked.0)
    }
}

/// Makes challenges, and hands them to the proxies.
#[derive(Debug)]
pub(super) struct Challenges {
    pub(super) nodes: Arc<Nodes>,
    pub(super) ring: Arc<Ring>,
    pub(super) signing: Signing,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) next: AtomicU64,
}

impl Challenges {
    /// Challenges every connected proxy at each beat, for ever.
    pub(super) async fn run(&self, beat: Duration) {
        let mut beats = interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            if let Err(error) = self.ask(|_| true) {
                tracing::error!(%error, "no random bytes: the proxies are not challenged");
            }
        }
    }

    /// Challenges the proxies that `whom` picks, and says which those are.
    pub(super) fn ask(
        &self,
        whom: impl Fn(&Node) -> bool,
    ) -> Result<(Arc<Challenge>, Vec<Key>), getrandom::Error> {
        let challenge = Arc::new(self.make()?);
        let asked = self.nodes.ask(&challenge, |_, node| whom(node));
        Ok((challenge, asked))
    }

    /// Challenges a proxy that has never been.
    pub(super) fn ask_first(&self, key: Key) -> Result<(), getrandom::Error> {
        let challenge = Arc::new(self.make()?);
        self.nodes.ask(&challenge, |other, node| other == key && node.asked.is_never());
        Ok(())
    }

    fn make(&self) -> Result<Challenge, getrandom::Error> {
        let mut nonce = Nonce([0; 32]);
        getrandom::fill(&mut nonce.0)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let asked = (Instant::now(), self.clock.now());
        let signed = self.signing.challenge(self.ring.newest(), asked.1.millis(), nonce);
        Ok(Challenge { number, nonce, asked, signed })
    }
}

impl Challenge {
    /// What a worker says that has read it.
    fn word(&self) -> Option<u64> {
        self.nonce.0.first_chunk().map(|first| u64::from_le_bytes(*first))
    }
}

/// What one proxy was asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// The newest, which may not be on its way yet.
    newest: watch::Sender<Option<Arc<Challenge>>>,
    /// Those that were sent.
    sent: VecDeque<Sent>,
}

#[derive(Debug, Clone)]
struct Sent {
    challenge: Arc<Challenge>,
    /// Every worker has answered it, or it was counted as missed.
    settled: bool,
}

impl Asked {
    /// Has the proxy challenged. One that was not sent yet is replaced.
    pub(super) fn ask(&self, challenge: &Arc<Challenge>) {
        self.newest.send_replace(Some(Arc::clone(challenge)));
    }

    /// Changes when there is a challenge to send.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<Challenge>>> {
        self.newest.subscribe()
    }

    fn is_never(&self) -> bool {
        self.newest.borrow().is_none()
    }

    /// The challenge that is to be sent now, if it was not sent before, and how
    /// many were missed: not answered by every worker within `patience`.
    pub(super) fn send(&mut self, patience: Duration) -> Option<(Arc<Challenge>, usize)> {
        let newest = self.newest.borrow().clone()?;
        if self.latest().is_some_and(|latest| latest.number >= newest.number) {
            return None;
        }
        let mut missed = 0usize;
        for sent in self.sent.iter_mut().filter(|sent| !sent.settled) {
            sent.settled =
                newest.asked.0.saturating_duration_since(sent.challenge.asked.0) > patience;
            missed = missed.saturating_add(usize::from(sent.settled));
        }
        if self.sent.len() >= REMEMBERED
            && let Some(forgotten) = self.sent.pop_front()
        {
            missed = missed.saturating_add(usize::from(!forgotten.settled));
        }
        self.sent.push_back(Sent { challenge: Arc::clone(&newest), settled: false });
        Some((newest, missed))
    }

    /// The latest that was sent.
    pub(super) fn latest(&self) -> Option<&Challenge> {
        self.sent.back().map(|sent| &*sent.challenge)
    }

    /// The first that was sent after that of this number.
    pub(super) fn first_after(&self, answered: Option<u64>) -> Option<&Challenge> {
        let open = |sent: &&Sent| answered.is_none_or(|number| sent.challenge.number > number);
        self.sent.iter().find(open).map(|sent| &*sent.challenge)
    }

    /// The challenge that a worker says it has read.
    pub(super) fn by_word(&self, word: u64) -> Option<Arc<Challenge>> {
        let named = |sent: &&Sent| sent.challenge.word() == Some(word);
        self.sent.iter().find(named).map(|sent| Arc::clone(&sent.challenge))
    }

    /// Every worker has answered this one, or a later one. Says how many that
    /// settles.
    pub(super) fn settle(&mut self, number: u64) -> usize {
        let open = |sent: &&mut Sent| !sent.settled && sent.challenge.number <= number;
        self.sent.iter_mut().filter(open).map(|sent| sent.settled = true).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// The challenge of a second, after a beginning.
    fn challenge(began: Instant, second: u64) -> Arc<Challenge> {
        let mut nonce = Nonce([0; 32]);
        nonce.0[..8].copy_from_slice(&(second + 1000).to_le_bytes());
        let asked = (began + Duration::from_secs(second), UnixMicros(0));
        let signed = wire::SignedUpdate::default();
        Arc::new(Challenge { number: second, nonce, asked, signed })
    }

    fn send(asked: &mut Asked, challenge: &Arc<Challenge>) -> Option<(u64, usize)> {
        asked.ask(challenge);
        asked.send(PATIENCE).map(|(challenge, missed)| (challenge.number, missed))
    }

    #[test]
    fn each_challenge_is_sent_once_and_one_that_waits_is_replaced() {
        let (began, mut asked) = (Instant::now(), Asked::default());
        assert!(asked.is_never() && asked.send(PATIENCE).is_none());
        asked.ask(&challenge(began, 1));
        assert_eq!(send(&mut asked, &challenge(began, 2)), Some((2, 0)));
        assert!(!asked.is_never() && asked.send(PATIENCE).is_none());
        assert!(asked.by_word(1001).is_none(), "it was never sent");
        assert_eq!(asked.by_word(1002).map(|challenge| challenge.number), Some(2));
    }

    #[test]
    fn what_is_not_answered_in_time_is_missed_once_and_an_answer_settles_all_before() {
        let (began, mut asked) = (Instant::now(), Asked::default());
        let sent = [0, 10, 20, 30, 40].map(|at| send(&mut asked, &challenge(began, at)));
        assert_eq!(sent.map(|sent| sent.unwrap().1), [0, 0, 0, 1, 1]);
        assert_eq!(asked.settle(30), 2, "those of 20 and 30");
        assert_eq!(asked.settle(30), 0);
        assert_eq!(asked.first_after(Some(30)).map(|open| open.number), Some(40));
        assert_eq!(asked.first_after(None).map(|open| open.number), Some(0));
        assert_eq!(send(&mut asked, &challenge(began, 61)), Some((61, 1)));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_forgotten_unanswered_is_missed() {
        let (began, mut asked) = (Instant::now(), Asked::default());
        let missed: usize =
            (0..12).map(|at| send(&mut asked, &challenge(began, at)).unwrap().1).sum();
        assert_eq!((asked.sent.len(), missed), (REMEMBERED, 12 - REMEMBERED));
        assert!(asked.by_word(1003).is_none() && asked.by_word(1004).is_some());
    }
}
