//! One request over one connection, in the clear or in TLS.
//!
//! The steps are apart, so that a failure can say whether the request may have
//! arrived: that is what somebody who revokes must know.

use std::error::Error as StdError;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use crate::error::speaks_otherwise;
use crate::tls::{self, Tls};

/// More than any answer of the API: a thousand records, or the nodes of a
/// large fleet.
pub(crate) const MAX_ANSWER: usize = 64 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const NO_ANSWER: &str = "no answer in time (see --timeout)";

/// Why there is no whole answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The answer is longer than any.
    TooLong,
    /// No connection, or one that ended early.
    Lost {
        /// What happened.
        cause: String,
        /// True when the server may have acted on the request.
        sent: bool,
        /// True when the cause says what to do.
        explained: bool,
    },
}

/// A failure before the request was sent.
fn not_sent(cause: String) -> Failure {
    Failure::Lost { cause, sent: false, explained: false }
}

/// Sends a request to `url` and reads its answer whole. Redirects are answers
/// like others; nobody but the host of `url` is asked.
pub(crate) async fn ask(
    tls: Option<&Tls>,
    url: &Url,
    request: Request<Full<Bytes>>,
    timeout: Duration,
) -> Result<(StatusCode, Vec<u8>), Failure> {
    let deadline = Instant::now() + timeout;
    let connecting = timeout_at(deadline.min(Instant::now() + CONNECT_TIMEOUT), connect(tls, url));
    let stream = connecting.await.map_err(|_| not_sent(NO_ANSWER.to_owned()))??;
    let host = host(url);
    timeout_at(deadline, exchange(stream, url, request, &host)).await.unwrap_or_else(|_| {
        Err(Failure::Lost { cause: NO_ANSWER.to_owned(), sent: true, explained: false })
    })
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn connect(tls: Option<&Tls>, url: &Url) -> Result<Box<dyn Stream>, Failure> {
    let host = host(url);
    let port = url.port_or_known_default().unwrap_or_default();
    let stream =
        TcpStream::connect((&*host, port)).await.map_err(|error| not_sent(error.to_string()))?;
    stream.set_nodelay(true).map_err(|error| not_sent(error.to_string()))?;
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => {
            let explained = |cause| Failure::Lost { cause, sent: false, explained: true };
            Ok(Box::new(tls.connect(stream, &host).await.map_err(explained)?))
        }
    }
}

/// Without the brackets of an IPv6 address.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

async fn exchange(
    stream: Box<dyn Stream>,
    url: &Url,
    mut request: Request<Full<Bytes>>,
    host: &str,
) -> Result<(StatusCode, Vec<u8>), Failure> {
    let lost = |error: hyper::Error| {
        let cause = causes(&error);
        match tls::explain(&error, host) {
            // An alert comes in place of an answer: nobody has read the request.
            Some(cause) => Failure::Lost { cause, sent: false, explained: true },
            None => Failure::Lost { sent: !speaks_otherwise(&cause), cause, explained: false },
        }
    };
    let target = url[Position::BeforePath..].parse();
    let authority = url[Position::BeforeHost..Position::AfterPort].parse();
    match (target, authority) {
        (Ok(target), Ok(authority)) => {
            *request.uri_mut() = target;
            request.headers_mut().insert(HOST, authority);
        }
        _ => {
            return Err(not_sent(format!("`{url}` cannot be asked for")));
        }
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let connection = tokio::spawn(connection);
    match sender.send_request(request).await {
        Ok(answer) => read(answer).await.map_err(|failure| failure.map_or(Failure::TooLong, lost)),
        // The connection itself knows better what was wrong with it.
        Err(error) if error.is_canceled() || error.is_closed() => match connection.await {
            Ok(Err(error)) => Err(lost(error)),
            _ => Err(lost(error)),
        },
        Err(error) => Err(lost(error)),
    }
}

/// The status and the whole body; no error in the error when it is too long.
async fn read(
    mut answer: Response<Incoming>,
) -> Result<(StatusCode, Vec<u8>), Option<hyper::Error>> {
    let mut body = Vec::new();
    while let Some(frame) = answer.frame().await {
        if let Ok(data) = frame?.into_data() {
            if body.len() + data.len() > MAX_ANSWER {
                return Err(None);
            }
            body.extend_from_slice(&data);
        }
    }
    Ok((answer.status(), body))
}

/// The last cause, which is the one that people can do something about.
fn causes(error: &hyper::Error) -> String {
    let mut deepest: &dyn StdError = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
