//! The HTTP/1.1 server below the API: bounded connections, slow clients cut off.

mod write_timeout;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::accept;
use crate::places::{Place, Places};
use crate::throttle::Throttle;
use crate::tls::{Tls, secured};
use write_timeout::WriteTimeout;

const MAX_HEADER_BYTES: usize = 64 * 1024;
static REFUSALS: Throttle = Throttle::new(Duration::from_secs(1));

/// Bounds of the server. The defaults are what it runs with.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Open connections. One peer has at most half of them.
    pub(crate) connections: usize,
    /// How long a client may take to send the head of a request, which is also
    /// how long an idle connection is kept.
    pub(crate) head: Duration,
    /// How long a client may go without reading anything of an answer.
    pub(crate) write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1024, head: Duration::from_secs(30), write: Duration::from_secs(10) }
    }
}

/// Serves until `stop`, then until every request under way is answered.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    stop: CancellationToken,
) {
    let places = Places::new(limits.connections);
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEADER_BYTES);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = stop.cancelled() => break,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        // Handlers may ask who the peer is.
        let service = Extension(ConnectInfo(peer)).layer(router.clone());
        let (builder, watcher) = (builder.clone(), graceful.watcher());
        let (tls, stop) = (tls.clone(), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            let in_time = |stream| WriteTimeout::new(stream, limits.write);
            let stream = tokio::select! {
                stream = secured(tls.as_ref(), stream, peer, in_time) => stream,
                () = stop.cancelled() => return,
            };
            let Some(stream) = stream else { return };
            let service = TowerToHyperService::new(service);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Waits for a free place first, so that further clients wait in the backlog.
/// `None` if nobody could be let in; there is nothing to do but to try again.
async fn accept(listener: &TcpListener, places: &Places) -> Option<(TcpStream, SocketAddr, Place)> {
    let free = places.free().await?;
    let (stream, peer) = accept::or_pause(listener.accept()).await?;
    let place = places.give(free, peer.ip());
    if place.is_none() && REFUSALS.passes() {
        tracing::warn!(%peer, "refused a connection: this peer has half of all places");
    }
    stream.set_nodelay(true).ok()?;
    Some((stream, peer, place?))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
