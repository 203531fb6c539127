//! What is said on one stream: the answer to its Hello, then every revision in
//! order, heartbeats, and answers.

use std::future::pending;
use std::pin::Pin;

use kya_core::wire::SignedUpdate;
use kya_core::{Nonce, Position, Revision};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use super::Push;
use super::hello::Greeting;
use super::manifests::SigningPlace;
use super::nodes::Connected;
use super::outbound::Lanes;
use super::publisher::Confirmed;

/// Deltas taken from the ring at a time.
const BATCH: usize = 64;

/// Questions of a proxy, each asked after everything that was committed by then
/// had been published.
pub(super) struct Questions {
    /// Each wants a manifest.
    pub(super) resyncs: mpsc::Receiver<Nonce>,
    /// Each wants a heartbeat.
    pub(super) probes: mpsc::Receiver<Nonce>,
}

/// Says it all.
pub(super) struct Speaker<'a> {
    push: &'a Push,
    lanes: &'a Lanes,
    connected: &'a Connected,
    questions: Questions,
    /// Position of the last message.
    cursor: Position,
    /// Serial of the last `Keys` update that was sent.
    keys: u64,
    /// When the Hello was answered: what was committed before was not pushed to this stream.
    began: Option<std::time::Instant>,
}

/// What it takes to send a manifest.
struct Places {
    waiting: OwnedSemaphorePermit,
    signing: SigningPlace,
}

/// A manifest that waits for its turn.
type Turn<'a> = Pin<Box<dyn Future<Output = Result<(Nonce, Places), Status>> + Send + 'a>>;

impl<'a> Speaker<'a> {
    pub(super) fn new(
        push: &'a Push,
        lanes: &'a Lanes,
        connected: &'a Connected,
        questions: Questions,
    ) -> Self {
        Self {
            push,
            lanes,
            connected,
            questions,
            cursor: Position::default(),
            keys: 0,
            began: None,
        }
    }

    /// Runs until the transport is gone.
    pub(super) async fn speak(&mut self, greeting: &Greeting) -> Result<(), Status> {
        let mut newest = self.push.ring.subscribe();
        let mut beats = self.push.pulse.subscribe();
        let mut challenges = self.connected.challenges();
        self.greet(greeting).await?;
        self.began = Some(std::time::Instant::now());
        self.push.challenge_newcomer(self.connected.key());
        let mut next_manifest = Instant::now() + self.push.limits.manifest_interval;
        let mut turn: Option<Turn<'a>> = None;
        loop {
            newest.borrow_and_update();
            self.deltas().await?;
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return Ok(()) },
                changed = beats.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let beat = *beats.borrow_and_update();
                    self.heartbeat(beat).await?;
                }
                changed = challenges.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.challenge().await?;
                }
                Some(nonce) = self.questions.probes.recv() => self.answer(nonce).await?,
                Some(nonce) = self.questions.resyncs.recv(), if turn.is_none() => {
                    turn = Some(Box::pin(self.turn(nonce, next_manifest)));
                }
                granted = turn_comes(&mut turn) => {
                    turn = None;
                    let (nonce, places) = granted?;
                    self.manifest(nonce, places).await?;
                    next_manifest = Instant::now() + self.push.limits.manifest_interval;
                }
                () = self.lanes.closed() => return Ok(()),
            }
        }
    }

    /// Answers the Hello, so that everything after the position of the answer is
    /// what comes next.
    async fn greet(&mut self, greeting: &Greeting) -> Result<(), Status> {
        match greeting.have.filter(|have| self.push.ring.has_all_after(*have)) {
            Some(have) => {
                self.cursor = have;
                // It speaks of the newest, and what leads there follows: whoever
                // keeps that back does not make the proxy take what it has for
                // the newest.
                self.answer_at(self.push.published(), greeting.nonce).await
            }
            None => {
                let (_, places) = self.turn(greeting.nonce, Instant::now()).await?;
                self.manifest(greeting.nonce, places).await?;
                // A manifest does not say that there is nothing newer.
                let confirmed = self.push.confirmed();
                self.heartbeat(confirmed).await
            }
        }
    }

    /// Waits for everything that a manifest needs. Meanwhile deltas are sent.
    fn turn(
        &self,
        nonce: Nonce,
        not_before: Instant,
    ) -> impl Future<Output = Result<(Nonce, Places), Status>> + Send + use<'a> {
        let (push, lanes) = (self.push, self.lanes);
        async move {
            sleep_until(not_before).await;
            let waiting = lanes.place().await?;
            let signing = push.manifests.place().await?;
            Ok((nonce, Places { waiting, signing }))
        }
    }

    async fn manifest(&mut self, nonce: Nonce, places: Places) -> Result<(), Status> {
        let (position, manifest) = self.push.manifests.answer(nonce, places.signing).await?;
        self.send_keys().await?;
        self.lanes.manifest(manifest, places.waiting).await?;
        self.push.metrics.sent_manifest();
        self.cursor = position;
        Ok(())
    }

    /// Sends everything after the cursor that is published.
    async fn deltas(&mut self) -> Result<(), Status> {
        loop {
            let updates = self.push.ring.after(self.cursor, BATCH).map_err(|_| self.behind())?;
            if updates.is_empty() {
                return Ok(());
            }
            for (revision, update) in updates {
                self.say(&update).await?;
                self.push.metrics.sent_delta();
                self.measure(revision);
                self.cursor.revision = revision;
            }
        }
    }

    /// Notes how long it took to send a delta, if it was committed while the stream was open.
    fn measure(&self, revision: Revision) {
        let now = std::time::Instant::now();
        let Some(after) = self.push.timeline.measured(revision, now) else { return };
        if self.began.is_some_and(|began| now.saturating_duration_since(began) >= after) {
            self.push.metrics.pushed(after);
        }
    }

    fn behind(&self) -> Status {
        let newest = self.push.published();
        if newest.epoch != self.cursor.epoch {
            return Status::aborted(
                "the control plane has begun a new epoch; connect again for a manifest",
            );
        }
        let behind = newest.revision.0.saturating_sub(self.cursor.revision.0);
        Status::aborted(format!(
            "the proxy is {behind} revisions behind, more than are kept; connect again for a manifest"
        ))
    }

    /// Answers a probe: everything that was committed before it is sent first.
    async fn answer(&mut self, nonce: Nonce) -> Result<(), Status> {
        self.deltas().await?;
        self.answer_at(self.cursor, nonce).await
    }

    async fn answer_at(&mut self, position: Position, nonce: Nonce) -> Result<(), Status> {
        // Whoever asked has waited until the store was looked at once more.
        let at = self.push.confirmed().map(|confirmed| confirmed.at).unwrap_or_default();
        let answer = self.push.signing.answer(position, at.millis(), nonce);
        self.say(&answer).await?;
        self.push.metrics.sent_heartbeat();
        Ok(())
    }

    async fn heartbeat(&mut self, beat: Option<Confirmed>) -> Result<(), Status> {
        let Some(beat) = beat else { return Ok(()) };
        self.lanes.check()?;
        self.deltas().await?;
        let position = self.cursor;
        // What the beat says it may say only after what was committed before it.
        if position >= beat.position {
            let heartbeat = self.push.pulse.heartbeat(beat, position);
            self.say(&heartbeat).await?;
            self.push.metrics.sent_heartbeat();
        }
        Ok(())
    }

    /// Sends the newest challenge. It comes after whatever was committed before it.
    async fn challenge(&mut self) -> Result<(), Status> {
        self.deltas().await?;
        match self.push.next_challenge(self.connected.key()) {
            Some(challenge) => self.say(&challenge).await,
            None => Ok(()),
        }
    }

    /// Sends what is signed, and before it what leads to the key that signed it.
    async fn say(&mut self, update: &SignedUpdate) -> Result<(), Status> {
        self.send_keys().await?;
        self.lanes.signed(update.clone()).await
    }

    /// Sends the `Keys` updates that were not sent on this stream yet.
    async fn send_keys(&mut self) -> Result<(), Status> {
        for link in self.push.signing.chain_after(self.keys) {
            self.lanes.signed(link.update).await?;
            self.keys = link.serial;
        }
        Ok(())
    }
}

async fn turn_comes<'a>(turn: &mut Option<Turn<'a>>) -> Result<(Nonce, Places), Status> {
    match turn {
        Some(turn) => turn.as_mut().await,
        None => pending().await,
    }
}
