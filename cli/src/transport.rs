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
    let (status, body) = open_by(tls, url, request, deadline, timeout).await?;
    let body = timeout_at(deadline, body.whole()).await.unwrap_or_else(|_| Err(late()))?;
    Ok((status, body))
}

/// Sends a request to `url` and reads the head of its answer. The body comes as it is
/// asked for: however long it is, and as long as something comes within `timeout`.
pub(crate) async fn open(
    tls: Option<&Tls>,
    url: &Url,
    request: Request<Full<Bytes>>,
    timeout: Duration,
) -> Result<(StatusCode, Body), Failure> {
    open_by(tls, url, request, Instant::now() + timeout, timeout).await
}

async fn open_by(
    tls: Option<&Tls>,
    url: &Url,
    request: Request<Full<Bytes>>,
    deadline: Instant,
    timeout: Duration,
) -> Result<(StatusCode, Body), Failure> {
    let stream = connected(tls, url, deadline).await?;
    let answer = timeout_at(deadline, exchange(stream, url, request)).await;
    let answer = answer.unwrap_or_else(|_| Err(late()))?;
    Ok((answer.status(), Body { answer, host: host(url), timeout }))
}

/// The body of an answer, as it comes.
pub(crate) struct Body {
    answer: Response<Incoming>,
    host: String,
    timeout: Duration,
}

impl Body {
    /// What comes next; `None` at the end of the whole.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let next = tokio::time::timeout(self.timeout, self.answer.frame());
            match next.await.map_err(|_| late())? {
                None => return Ok(None),
                Some(Err(error)) => return Err(lost(&error, &self.host)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// All of it, up to [`MAX_ANSWER`].
    pub(crate) async fn whole(mut self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(data) = self.next().await? {
            if body.len() + data.len() > MAX_ANSWER {
                return Err(Failure::TooLong);
            }
            body.extend_from_slice(&data);
        }
        Ok(body)
    }
}

/// There was no answer, or no more of it, in time.
fn late() -> Failure {
    Failure::Lost { cause: NO_ANSWER.to_owned(), sent: true, explained: false }
}

/// The exchange ended with this error.
fn lost(error: &hyper::Error, host: &str) -> Failure {
    let cause = causes(error);
    match tls::explain(error, host) {
        // An alert comes in place of an answer: nobody has read the request.
        Some(cause) => Failure::Lost { cause, sent: false, explained: true },
        None => Failure::Lost { sent: !speaks_otherwise(&cause), cause, explained: false },
    }
}

async fn connected(
    tls: Option<&Tls>,
    url: &Url,
    deadline: Instant,
) -> Result<Box<dyn Stream>, Failure> {
    let connecting = timeout_at(deadline.min(Instant::now() + CONNECT_TIMEOUT), connect(tls, url));
    connecting.await.map_err(|_| not_sent(NO_ANSWER.to_owned()))?
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
) -> Result<Response<Incoming>, Failure> {
    let host = host(url);
    let lost = |error: hyper::Error| lost(&error, &host);
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
        Ok(answer) => Ok(answer),
        // The connection itself knows better what was wrong with it.
        Err(error) if error.is_canceled() || error.is_closed() => match connection.await {
            Ok(Err(error)) => Err(lost(error)),
            _ => Err(lost(error)),
        },
        Err(error) => Err(lost(error)),
    }
}

/// The last cause, which is the one that people can do something about.
fn causes(error: &hyper::Error) -> String {
    let mut deepest: &dyn StdError = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
