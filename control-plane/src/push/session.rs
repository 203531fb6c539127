//! One stream, from its Hello to its end: what the proxy says.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use kya_core::Nonce;
use kya_core::wire::{ProxyMessage, proxy_message::Message};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, Streaming};

use super::Push;
use super::chunks::{self, Wanted};
use super::connection::{OpenStream, Peer, StreamEnd};
use super::hello::{self, Greeting};
use super::nodes::{Connected, Proxy, Transport};
use super::outbound::Lanes;
use super::speaker::{Questions, Speaker};
use crate::nodes::NodeIdentity;
use crate::throttle::Pace;

/// Questions of each kind that wait for their turn; further ones wait in the
/// connection.
const WAITING: usize = 4;
/// How long a stream that ends waits for room to say why.
const SAY_WHY: Duration = Duration::from_secs(1);
/// By then the stream that a proxy had before it connected again has ended.
const HANDOVER: Duration = Duration::from_secs(5);

/// Serves a stream until either side ends it.
pub(super) async fn run(
    push: Arc<Push>,
    peer: Peer,
    identity: NodeIdentity,
    _open: OpenStream,
    inbound: Streaming<ProxyMessage>,
    lanes: Lanes,
) {
    let stop = push.stop.clone();
    let (mut node_id, end) = (None, peer.stream_end());
    let not_admitted = async {
        let why = identity.ended().await;
        end.not_admitted();
        why
    };
    let serving = serve(&push, &peer, &identity, inbound, (&lanes, &end), &mut node_id);
    let ended = tokio::select! {
        ended = serving => ended,
        why = not_admitted => Err(why.into()),
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
    if !lanes.end(status, patience).await {
        peer.cut();
    }
}

/// True when the proxy went away, or the server does, and nobody has done wrong.
fn is_ordinary_end(status: &Status) -> bool {
    // What has a cause is of the connection: the session's own refusals have none.
    matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown)
        || status.source().is_some()
}

/// True when the proxy has reset the stream, as opposed to what became of its connection.
fn is_reset_by_peer(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_reset() && error.is_remote();
        }
        cause = error.source();
    }
    false
}

/// Names the proxy in `node_id` as soon as it is known.
async fn serve(
    push: &Push,
    peer: &Peer,
    identity: &NodeIdentity,
    mut inbound: Streaming<ProxyMessage>,
    (lanes, end): (&Lanes, &StreamEnd),
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
        is_named: identity.is_for_one(),
        node_id: greeting.node_id.clone(),
        cluster: greeting.cluster.clone(),
        filter_version: greeting.filter_version.clone(),
        configuration_hash: greeting.configuration_hash,
        transport: Transport::Stream,
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
    let connected = push.nodes.connect(proxy, end.clone());
    // Only now, so that whoever opens a stream and waits for this is listed.
    push.confirm().await?;
    let (resync, resyncs) = mpsc::channel(WAITING);
    let (probe, probes) = mpsc::channel(WAITING);
    let (want, wanted) = mpsc::channel(WAITING);
    let ask = Ask { resync, probe, want };
    let mut speaker = Speaker::new(push, lanes, &connected, Questions { resyncs, probes });
    let ended = tokio::select! {
        // What the proxy says of its end is heard before it is seen that nobody reads.
        biased;
        ended = listen(push, &connected, &node_id, inbound, ask) => {
            if ended.as_ref().map_or_else(is_reset_by_peer, |()| true) {
                end.by_proxy();
            }
            ended
        }
        ended = speaker.speak(&greeting) => ended,
        ended = chunks::feed(push, lanes, wanted) => ended,
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

/// Where questions go. Sending fails only when the stream is ending anyway.
struct Ask {
    resync: mpsc::Sender<Nonce>,
    probe: mpsc::Sender<Nonce>,
    want: mpsc::Sender<Wanted>,
}

/// Takes what the proxy says until it says no more.
async fn listen(
    push: &Push,
    connected: &Connected,
    node_id: &str,
    mut inbound: Streaming<ProxyMessage>,
    ask: Ask,
) -> Result<(), Status> {
    let mut probes = Pace::new(push.limits.probes);
    while let Some(message) = inbound.message().await? {
        match message.message {
            Some(Message::Workers(report)) => {
                push.take_report(connected.key(), node_id, &report)?
            }
            Some(Message::Resync(resync)) => {
                let nonce = hello::nonce(&resync.nonce)?;
                push.confirm().await?;
                let _ = ask.resync.send(nonce).await;
            }
            Some(Message::Probe(probe)) => {
                let nonce = hello::nonce(&probe.nonce)?;
                if !probes.keeps() {
                    let most = push.limits.probes;
                    let why = format!("more than {most} probes within a second");
                    return Err(Status::resource_exhausted(why));
                }
                push.confirm().await?;
                let _ = ask.probe.send(nonce).await;
            }
            Some(Message::Chunks(request)) => {
                let _ = ask.want.send(Wanted::from_wire(request)?).await;
            }
            Some(Message::Hello(_)) => {
                return Err(Status::invalid_argument("Hello is the first message, and only that"));
            }
            None => return Err(Status::invalid_argument("a message of an unknown kind")),
        }
    }
    Ok(())
}
