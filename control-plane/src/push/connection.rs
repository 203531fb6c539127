//! Connections that the server can cut.
//!
//! Ending a gRPC stream politely needs a peer that reads. One that does not
//! read would hold its stream, and what is buffered for it, for as long as it
//! answers pings; its connection is cut instead. So is one on which no stream is
//! open for a while, or ever.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::Limits;
use super::departed::Leaving;
use crate::accept;
use crate::throttle::Throttle;
use crate::tls::{Stream, Tls, secured};

/// Streams that are refused on a connection with no other before it is cut.
const MAX_REFUSED: u32 = 8;
static REFUSALS: Throttle = Throttle::new(Duration::from_secs(1));

/// What a stream knows of the connection that it runs on.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(super) address: SocketAddr,
    cut: CancellationToken,
    closed: Arc<AtomicBool>,
    streams: Arc<Mutex<Streams>>,
}

/// How a stream ends, as soon as that is known.
#[derive(Debug, Clone)]
pub(super) struct StreamEnd {
    /// Whether the other side has closed the connection.
    connection_closed: Arc<AtomicBool>,
    /// Whether it has ended the stream.
    stream_ended: Arc<AtomicBool>,
    /// Whether the stream is ended because it is let in no more.
    not_admitted: Arc<AtomicBool>,
}

impl StreamEnd {
    /// Of a stream without a connection.
    #[cfg(test)]
    pub(super) fn unknown() -> Self {
        let (connection_closed, stream_ended, not_admitted) = Default::default();
        Self { connection_closed, stream_ended, not_admitted }
    }

    /// The proxy has ended the stream.
    pub(super) fn by_proxy(&self) {
        self.stream_ended.store(true, Ordering::Relaxed);
    }

    /// The registration of the proxy counts no more.
    pub(super) fn not_admitted(&self) {
        self.not_admitted.store(true, Ordering::Relaxed);
    }

    /// By what is known now.
    pub(super) fn how(&self) -> Leaving {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        match is(&self.not_admitted) {
            true => Leaving::NotAdmitted,
            false if is(&self.stream_ended) || is(&self.connection_closed) => Leaving::Closed,
            false => Leaving::Silent,
        }
    }
}

#[derive(Debug)]
struct Streams {
    open: usize,
    /// Streams refused since one was opened.
    refused: u32,
    /// When the last one ended, or the connection began.
    idle_since: Instant,
}

/// Keeps a connection from being idle for as long as it is held.
#[derive(Debug)]
pub(super) struct OpenStream(Peer);

/// A connection that ends with an error when its [`Peer`] is cut, or when no
/// stream was open on it for the idle timeout.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    peer: Peer,
    is_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    idle_timeout: Duration,
    /// When to look again whether it is idle.
    look: Pin<Box<Sleep>>,
    _counted: OwnedSemaphorePermit,
}

impl Peer {
    /// Ends the connection now, and every stream on it.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    /// Of a stream on the connection.
    pub(super) fn stream_end(&self) -> StreamEnd {
        StreamEnd {
            connection_closed: Arc::clone(&self.closed),
            stream_ended: Arc::default(),
            not_admitted: Arc::default(),
        }
    }

    /// Notes that a stream was opened on the connection.
    pub(super) fn opens_stream(&self) -> OpenStream {
        let mut streams = self.streams();
        streams.open = streams.open.saturating_add(1);
        streams.refused = 0;
        OpenStream(self.clone())
    }

    /// Notes that a stream was refused. A connection that brings nothing else is
    /// cut before long.
    pub(super) fn was_refused(&self) {
        let mut streams = self.streams();
        streams.refused = streams.refused.saturating_add(1);
        if streams.open == 0 && streams.refused > MAX_REFUSED {
            self.cut();
        }
    }

    /// Since when no stream has been open; `None` if one is.
    fn idle_since(&self) -> Option<Instant> {
        let streams = self.streams();
        (streams.open == 0).then_some(streams.idle_since)
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut streams = self.0.streams();
        streams.open = streams.open.saturating_sub(1);
        streams.idle_since = Instant::now();
    }
}

/// Accepts connections, up to the limit at a time; further ones are closed.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: &Limits,
) -> ReceiverStream<io::Result<Connection>> {
    let (give, accepted) = mpsc::channel(1);
    tokio::spawn(accept_all(listener, tls, limits.connections, limits.idle_timeout, give));
    ReceiverStream::new(accepted)
}

/// Runs until nobody takes the connections any more.
async fn accept_all(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limit: usize,
    idle_timeout: Duration,
    give: mpsc::Sender<io::Result<Connection>>,
) {
    let free = Arc::new(Semaphore::new(limit));
    loop {
        let accepted = tokio::select! {
            accepted = accept::or_pause(listener.accept()) => accepted,
            () = give.closed() => return,
        };
        let Some((stream, address)) = accepted else { continue };
        let Ok(counted) = Arc::clone(&free).try_acquire_owned() else {
            if REFUSALS.passes() {
                tracing::warn!(limit, "refused a connection: too many are open");
            }
            continue;
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let (tls, give) = (tls.clone(), give.clone());
        tokio::spawn(async move {
            if let Some(stream) = secured(tls.as_ref(), stream, address, |stream| stream).await {
                let connection = Connection::new(stream, address, idle_timeout, counted);
                // Fails only when nobody takes it, which the loop notices too.
                let _ = give.send(Ok(connection)).await;
            }
        });
    }
}

impl Connection {
    fn new(
        stream: Box<dyn Stream>,
        address: SocketAddr,
        idle_timeout: Duration,
        counted: OwnedSemaphorePermit,
    ) -> Self {
        let streams =
            Arc::new(Mutex::new(Streams { open: 0, refused: 0, idle_since: Instant::now() }));
        let (cut, closed) = (CancellationToken::new(), Arc::default());
        let peer = Peer { address, cut, closed, streams };
        let is_cut = Box::pin(peer.cut.clone().cancelled_owned());
        let look = Box::pin(sleep(idle_timeout));
        Self { stream, peer, is_cut, idle_timeout, look, _counted: counted }
    }

    fn unless_cut<T>(
        &mut self,
        context: &mut Context<'_>,
        then: impl FnOnce(Pin<&mut Box<dyn Stream>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.is_cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        while self.look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let end = self.peer.idle_since().unwrap_or(now) + self.idle_timeout;
            if end <= now {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.look.as_mut().reset(end);
        }
        then(Pin::new(&mut self.stream), context)
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let closed = Arc::clone(&self.peer.closed);
        self.unless_cut(context, |stream, context| {
            let read = stream.poll_read(context, buffer);
            let is_end = match &read {
                Poll::Ready(Ok(())) => room > 0 && buffer.filled().len() == before,
                Poll::Ready(Err(error)) => closes(error.kind()),
                Poll::Pending => false,
            };
            if is_end {
                closed.store(true, Ordering::Relaxed);
            }
            read
        })
    }
}

/// Whether the other side has said so. One that cannot be reached has not.
fn closes(error: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error, BrokenPipe | ConnectionReset | UnexpectedEof)
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unless_cut(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unless_cut(context, |stream, context| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unless_cut(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
