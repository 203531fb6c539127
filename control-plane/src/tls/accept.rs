//! From a TCP connection to a stream that has shaken hands.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::{Listener, Tls};

/// The type of the record with which TLS begins (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// Whoever is turned away is read from for so long, and so much, because a reset
/// would outrun what he is told.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: application/problem+json\r\n\
    connection: close\r\n\r\n\
    {\"type\":\"urn:kya:problem:tls_required\",\"title\":\"This port speaks TLS\",\"status\":400,\
    \"detail\":\"this port speaks TLS: write https:// and not http://\",\"code\":\"tls_required\"}";

/// A connection of a client, in the clear or in TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Why a client was turned away.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("it left without a word")]
    Gone,
    #[error("it speaks in the clear, and this port speaks TLS")]
    Plaintext,
    #[error("the handshake was not over in {0:?}")]
    Slow(Duration),
    #[error("this peer has half of all handshakes")]
    Greedy,
    #[error("the handshake failed: {0}")]
    Failed(#[from] io::Error),
}

impl Tls {
    /// Shakes hands. `wrap` is put around the connection, below TLS. A refusal is
    /// counted and logged here, and the client was told what can be told.
    pub(crate) async fn accept<S: Stream + 'static>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        wrap: impl FnOnce(TcpStream) -> S,
    ) -> Result<Box<dyn Stream>, Refusal> {
        let accepted = timeout(self.time, self.shake_hands(stream, peer, wrap)).await;
        let accepted = accepted.unwrap_or(Err(Refusal::Slow(self.time)));
        // Somebody who only looked whether the port is open is no news.
        if let Err(refusal) = &accepted
            && !matches!(refusal, Refusal::Gone)
        {
            let listener = self.listener.name();
            self.metrics.tls_refused(listener);
            if self.warnings.passes() {
                tracing::warn!(listener, %peer, "refused a connection: {refusal}");
            }
        }
        accepted
    }

    async fn shake_hands<S: Stream + 'static>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        wrap: impl FnOnce(TcpStream) -> S,
    ) -> Result<Box<dyn Stream>, Refusal> {
        let free = self.handshakes.free().await.ok_or(Refusal::Greedy)?;
        let _place = self.handshakes.give(free, peer.ip()).ok_or(Refusal::Greedy)?;
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(Refusal::Gone);
        }
        if first != [HANDSHAKE_RECORD] {
            let answer = match self.listener {
                Listener::Http => SPEAK_TLS,
                Listener::Grpc => &[],
            };
            tokio::spawn(turn_away(stream, answer));
            return Err(Refusal::Plaintext);
        }
        let acceptor = TlsAcceptor::from(self.current());
        match acceptor.accept(wrap(stream)).into_fallible().await {
            Ok(stream) => Ok(Box::new(stream)),
            // The alert is written already.
            Err((error, stream)) => {
                tokio::spawn(turn_away(stream, &[]));
                Err(error.into())
            }
        }
    }
}

/// Says a last word, and waits until the client has had the time to read it.
async fn turn_away(mut stream: impl Stream, answer: &'static [u8]) {
    let linger = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        copy(&mut stream.take(LINGER_BYTES), &mut sink()).await
    };
    let _ = timeout(LINGER, linger).await;
}

/// A stream for `peer`, by TLS where there is one.
pub(crate) async fn secured<S: Stream + 'static>(
    tls: Option<&Arc<Tls>>,
    stream: TcpStream,
    peer: SocketAddr,
    wrap: impl FnOnce(TcpStream) -> S,
) -> Option<Box<dyn Stream>> {
    match tls {
        None => Some(Box::new(wrap(stream))),
        Some(tls) => tls.accept(stream, peer, wrap).await.ok(),
    }
}
