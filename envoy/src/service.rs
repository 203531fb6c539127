use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use anyhow::Result;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A service that takes its time: `/hold` is never answered, `/slow` when it is released,
/// `/late` after a quarter of a second, `/stream` is begun and goes on, `/undone` is refused and undone, and everything else
/// is answered when its body has come.
#[derive(Debug)]
pub struct SlowService {
    address: SocketAddr,
    released: watch::Sender<bool>,
    task: AbortHandle,
}

impl SlowService {
    /// Starts it on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (released, waiting) = watch::channel(false);
        let task = tokio::spawn(serve(listener, waiting)).abort_handle();
        Ok(Self { address, released, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers `/slow`, now and from now on.
    pub fn release(&self) {
        self.released.send_replace(true);
    }
}

impl Drop for SlowService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, released: watch::Receiver<bool>) {
    while let Ok((stream, _)) = listener.accept().await {
        let released = released.clone();
        let service = service_fn(move |request| answer(request, released.clone()));
        let serving = hyper::server::conn::http1::Builder::new();
        tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    mut released: watch::Receiver<bool>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    if path == "/hold" {
        std::future::pending::<()>().await;
    }
    if path == "/slow" {
        // Whoever would release it is gone: then it is answered.
        let _ = released.wait_for(|released| *released).await;
    }
    if path == "/late" {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    if path == "/stream" {
        return Ok(Response::new(BoxBody::new(Unending(false))));
    }
    request.into_body().collect().await?;
    let mut response = Response::new(BoxBody::new(Empty::new()));
    if path == "/undone" {
        *response.status_mut() = StatusCode::CONFLICT;
        let said = HeaderValue::from_static("rolled_back");
        response.headers_mut().insert("x-kya-disposition", said);
    }
    Ok(response)
}

/// A body that begins, and then waits for ever.
struct Unending(bool);

impl Body for Unending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"data: 1\n\n")))))
    }
}

/// An address at which connections are neither made nor refused: as many wait there as
/// may, and nobody takes them.
#[derive(Debug)]
pub struct Unreachable {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Unreachable {
    /// Takes a free port and fills it.
    pub async fn start() -> Result<Self> {
        /// A connection on one machine is made within this, or waits.
        const MADE: Duration = Duration::from_millis(500);
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(1)?;
        let (address, mut waiting) = (listener.local_addr()?, Vec::new());
        while let Ok(made) = tokio::time::timeout(MADE, TcpStream::connect(address)).await {
            waiting.push(made?);
        }
        Ok(Self { listener, _waiting: waiting })
    }

    /// Where it is.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }
}
