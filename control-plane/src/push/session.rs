//! One stream, from its Hello to its end.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kya_core::wire::{ProxyMessage, SignedUpdate, proxy_message::Message};
use kya_core::{Nonce, Revision};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::time::{sleep, sleep_until, timeout};
use tonic::{Code, Status, Streaming};

use super::Push;
use super::connection::{OpenStream, Peer};
use super::hello::{self, Greeting};
use super::nodes::{Connected, Proxy};
use crate::nodes::NodeIdentity;

type Outbound = mpsc::Sender<Result<SignedUpdate, Status>>;

/// Resyncs that wait for their turn; further ones wait in the connection.
const WAITING_RESYNCS: usize = 4;
/// How long a stream that ends waits for room to say why.
const SAY_WHY: Duration = Duration::from_secs(1);
/// By then the stream that a proxy had before it connected again has ended.
const HANDOVER: Duration = Duration::from_secs(5);
/// Deltas taken from the ring at a time.
const BATCH: usize = 64;

/// Serves a stream until either side ends it.
pub(super) async fn run(
    push: Arc<Push>,
    peer: Peer,
    identity: NodeIdentity,
    _open: OpenStream,
    inbound: Streaming<ProxyMessage>,
    outbound: Outbound,
) {
    let stop = push.stop.clone();
    let mut node_id = None;
    let ended = tokio::select! {
        ended = serve(&push, &peer, &identity, inbound, &outbound, &mut node_id) => ended,
        why = identity.ended() => Err(why.into()),
        () = stop.cancelled() => Err(Status::unavailable("the control plane is shutting down")),
    };
    let Err(status) = ended else { return };
    if is_ordinary_end(&status) {
        tracing::debug!(node_id, peer = %peer.address, %status, "stream ended");
    } else {
        let (code, why) = (status.code(), status.message());
        tracing::warn!(node_id, peer = %peer.address, ?code, "closed the stream of a proxy: {why}");
    }
    // A proxy that does not read will not read why either.
    let patience = match status.code() {
        Code::ResourceExhausted => Duration::ZERO,
        _ => SAY_WHY,
    };
    let said = outbound.send_timeout(Err(status), patience).await;
    if matches!(said, Err(SendTimeoutError::Timeout(_))) {
        peer.cut();
    }
}

/// True when the proxy went away, or the server does, and nobody has done wrong.
fn is_ordinary_end(status: &Status) -> bool {
    // What has a cause is of the connection: the session's own refusals have none.
    matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown)
        || status.source().is_some()
}

/// Names the proxy in `node_id` as soon as it is known.
async fn serve(
    push: &Push,
    peer: &Peer,
    identity: &NodeIdentity,
    mut inbound: Streaming<ProxyMessage>,
    outbound: &Outbound,
    node_id: &mut Option<String>,
) -> Result<(), Status> {
    let patience = push.limits.hello_timeout;
    let first = match timeout(patience, inbound.message()).await {
        Err(_) => return Err(Status::deadline_exceeded(format!("no Hello within {patience:?}"))),
        Ok(message) => message?,
    };
    let Some(first) = first else {
        return Err(Status::invalid_argument("the stream ended before its Hello"));
    };
    *node_id = hello::claimed_name(&first).map(str::to_owned);
    let greeting = Greeting::from_message(first)?;
    identity.admits(&greeting.node_id)?;
    let proxy = Proxy {
        registration: identity.name().clone(),
        node_id: greeting.node_id,
        cluster: greeting.cluster,
        filter_version: greeting.filter_version,
        peer: peer.address,
        connected_at: push.clock.now(),
    };
    tracing::info!(
        node_id = proxy.node_id,
        cluster = proxy.cluster,
        filter_version = proxy.filter_version,
        peer = %proxy.peer,
        "proxy connected"
    );
    let node_id = proxy.node_id.clone();
    let connected = push.nodes.connect(proxy);
    let (ask, asked) = mpsc::channel(WAITING_RESYNCS);
    let mut speaker = Speaker { push, outbound, asked, cursor: Revision::default() };
    let ended = tokio::select! {
        ended = listen(push, &connected, &node_id, inbound, ask) => ended,
        ended = speaker.speak(greeting.nonce) => ended,
        never = warn_of_namesake(&connected, &node_id, peer) => match never {},
    };
    tracing::info!(node_id, "proxy disconnected");
    ended
}

/// Two proxies of one name are one in every list, so that each hides what the
/// other has not done.
async fn warn_of_namesake(connected: &Connected, node_id: &str, peer: &Peer) -> Infallible {
    sleep(HANDOVER).await;
    if let Some(other) = connected.older_namesake() {
        let peer = peer.address;
        tracing::warn!(
            %peer,
            %other,
            "another proxy is connected as {node_id}: give each Envoy its own node.id"
        );
    }
    pending().await
}

/// Takes what the proxy says until it says no more.
async fn listen(
    push: &Push,
    connected: &Connected,
    node_id: &str,
    mut inbound: Streaming<ProxyMessage>,
    ask: mpsc::Sender<Nonce>,
) -> Result<(), Status> {
    while let Some(message) = inbound.message().await? {
        match message.message {
            Some(Message::Workers(report)) => {
                let arrived = (Instant::now(), push.clock.now());
                let newest = push.newest_sent();
                let taken = connected
                    .report(&report, newest, arrived)
                    .map_err(|error| Status::invalid_argument(error.to_string()))?;
                taken
                    .moved
                    .into_iter()
                    .filter_map(|revision| push.timeline.measured(revision, arrived.0))
                    .for_each(|after| push.metrics.acknowledged(after));
                for (slot, reported) in taken.impossible {
                    push.metrics.impossible_report();
                    if push.impossible.passes() {
                        tracing::warn!(
                            node_id,
                            slot,
                            ?reported,
                            ?newest,
                            "ignored what a worker reports: that position was never sent; further ones are counted"
                        );
                    }
                }
            }
            Some(Message::Resync(resync)) => {
                // Fails only when the stream is ending anyway.
                let _ = ask.send(hello::nonce(resync.nonce)?).await;
            }
            Some(Message::Hello(_)) => {
                return Err(Status::invalid_argument("Hello is the first message, and only that"));
            }
            None => return Err(Status::invalid_argument("a message of an unknown kind")),
        }
    }
    Ok(())
}

/// Sends a snapshot and what follows it.
struct Speaker<'a> {
    push: &'a Push,
    outbound: &'a Outbound,
    asked: mpsc::Receiver<Nonce>,
    /// Revision of the last message.
    cursor: Revision,
}

impl Speaker<'_> {
    async fn speak(&mut self, first: Nonce) -> Result<(), Status> {
        let mut newest = self.push.ring.subscribe();
        self.snapshot(first).await?;
        let mut next_snapshot = tokio::time::Instant::now() + self.push.limits.snapshot_interval;
        let mut resync = None;
        loop {
            newest.borrow_and_update();
            self.deltas().await?;
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return Ok(()) },
                Some(nonce) = self.asked.recv(), if resync.is_none() => resync = Some(nonce),
                () = sleep_until(next_snapshot), if resync.is_some() => {
                    if let Some(nonce) = resync.take() {
                        self.snapshot(nonce).await?;
                    }
                    next_snapshot =
                        tokio::time::Instant::now() + self.push.limits.snapshot_interval;
                }
                () = self.outbound.closed() => return Ok(()),
            }
        }
    }

    async fn snapshot(&mut self, nonce: Nonce) -> Result<(), Status> {
        let (position, snapshot) = self.push.snapshots.answer(nonce).await.map_err(|error| {
            tracing::error!(%error, "no snapshot for a proxy");
            Status::unavailable(format!("no snapshot: {error}"))
        })?;
        self.push.sends_snapshot(position);
        self.send(snapshot).await?;
        self.push.metrics.sent_snapshot();
        self.cursor = position.revision;
        Ok(())
    }

    /// Sends everything after the cursor that is published.
    async fn deltas(&mut self) -> Result<(), Status> {
        loop {
            let updates = self.push.ring.after(self.cursor, BATCH).map_err(|_| {
                let behind = self.push.published().revision.0.saturating_sub(self.cursor.0);
                Status::aborted(format!(
                    "the proxy is {behind} revisions behind, more than are kept; connect again for a snapshot"
                ))
            })?;
            if updates.is_empty() {
                return Ok(());
            }
            for (revision, update) in updates {
                self.send(SignedUpdate::clone(&update)).await?;
                self.push.metrics.sent_delta();
                self.cursor = revision;
            }
        }
    }

    async fn send(&self, update: SignedUpdate) -> Result<(), Status> {
        let patience = self.push.limits.send_timeout;
        match self.outbound.send_timeout(Ok(update), patience).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Timeout(_)) => {
                Err(Status::resource_exhausted(format!("the proxy has not read for {patience:?}")))
            }
            Err(SendTimeoutError::Closed(_)) => Err(Status::cancelled("the proxy hung up")),
        }
    }
}
