//! TCP connections that the server can cut.
//!
//! Ending a gRPC stream politely needs a peer that reads. One that does not
//! read would hold its stream, and what is buffered for it, for as long as it
//! answers pings; its connection is cut instead.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// What a stream knows of the connection that it runs on.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(super) address: SocketAddr,
    cut: CancellationToken,
}

/// A connection that ends with an error when its [`Peer`] is cut.
pub(crate) struct Connection {
    stream: TcpStream,
    peer: Peer,
    is_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _counted: OwnedSemaphorePermit,
}

impl Peer {
    /// Ends the connection now, and every stream on it.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }
}

/// Accepts connections, at most `limit` at a time; further ones are closed.
pub(crate) fn incoming(
    listener: TcpListener,
    limit: usize,
) -> impl Stream<Item = io::Result<Connection>> {
    let free = Arc::new(Semaphore::new(limit));
    TcpListenerStream::new(listener).filter_map(move |accepted| match accepted {
        Err(error) => Some(Err(error)),
        Ok(stream) => match Arc::clone(&free).try_acquire_owned() {
            Ok(counted) => Connection::new(stream, counted).ok().map(Ok),
            Err(_) => {
                tracing::warn!(limit, "refused a connection: too many are open");
                None
            }
        },
    })
}

impl Connection {
    fn new(stream: TcpStream, counted: OwnedSemaphorePermit) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let peer = Peer { address: stream.peer_addr()?, cut: CancellationToken::new() };
        let is_cut = Box::pin(peer.cut.clone().cancelled_owned());
        Ok(Self { stream, peer, is_cut, _counted: counted })
    }

    fn unless_cut<T>(
        &mut self,
        context: &mut Context<'_>,
        then: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.is_cut.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Poll::Pending => then(Pin::new(&mut self.stream), context),
        }
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
        self.unless_cut(context, |stream, context| stream.poll_read(context, buffer))
    }
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
