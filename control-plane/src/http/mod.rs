//! The HTTP/1.1 server below the API: bounded connections, slow clients cut off.

mod places;
mod write_timeout;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::accept;
use crate::throttle::Throttle;
use places::{Place, Places};
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
        let stream = TokioIo::new(WriteTimeout::new(stream, limits.write));
        let router = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.call(request)
        });
        let connection = graceful.watch(builder.serve_connection(stream, service));
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
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
