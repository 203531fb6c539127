use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::caller::Answer;
use crate::Sidecar;
use crate::upstream::{CHARGES, charge_body};
use crate::wait::until;

const LIMIT: Duration = Duration::from_secs(10);
const MOST_CONNECTIONS: usize = 200;

/// Requests that the proxy has sent on to the service and that have no end yet.
const ACTIVE: &str = "cluster.upstream.upstream_rq_active";

/// A charge that was allowed and is in flight: the service has its headers and waits
/// for the rest of its body.
#[derive(Debug)]
pub struct Unfinished {
    rest: oneshot::Sender<Bytes>,
    answer: JoinHandle<Result<Answer>>,
}

impl Unfinished {
    /// Charges in flight on every worker of each of `sidecars`. Nobody else may have
    /// requests there meanwhile.
    ///
    /// # Errors
    /// When one is answered, and so was not allowed; or 200 did not reach every worker.
    pub async fn on_every_worker(sidecars: &[Sidecar], token: &str) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for sidecar in sidecars {
            let before = sidecar.connections_by_worker().await?;
            let active = sidecar.stats().await?.get(ACTIVE);
            for opened in 1..=MOST_CONNECTIONS + 1 {
                let now = sidecar.connections_by_worker().await?;
                if now.iter().zip(&before).all(|(now, then)| now > then) {
                    break;
                }
                if opened > MOST_CONNECTIONS {
                    bail!("{MOST_CONNECTIONS} connections did not reach every worker");
                }
                let one = Self::start(sidecar, token).await?;
                until("a charge to reach the service", LIMIT, async || {
                    if one.is_answered() {
                        bail!("a charge was answered before it was finished");
                    }
                    let reached = sidecar.stats().await?.get(ACTIVE) >= active + opened as u64;
                    Ok(reached.then_some(()))
                })
                .await?;
                all.push(one);
            }
        }
        Ok(all)
    }

    /// Sends all of a charge but the end of its body.
    async fn start(sidecar: &Sidecar, token: &str) -> Result<Self> {
        let body = Bytes::from(charge_body().to_string());
        let (first, last) = (body.slice(..1), body.slice(1..));
        let (rest, waited) = oneshot::channel();
        let request = Request::post(CHARGES)
            .header("host", sidecar.address().to_string())
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(InTwo { first: Some(first), rest: Some(waited), last: last.len() as u64 })?;
        let stream = TcpStream::connect(sidecar.address()).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let answer = tokio::spawn(async move {
            let response = sender.send_request(request).await?;
            let (status, version) = (response.status(), response.version());
            let headers = response.headers().clone();
            let body = response.into_body().collect().await?.to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            Ok(Answer { status, version, headers, body })
        });
        Ok(Self { rest, answer })
    }

    /// Whether it has an answer, or its connection was lost.
    pub fn is_answered(&self) -> bool {
        self.answer.is_finished()
    }

    /// Sends the rest of the body, and returns the answer.
    pub async fn finish(self) -> Result<Answer> {
        let body = Bytes::from(charge_body().to_string());
        // Whoever was answered does not listen any more, and the answer says it.
        let _ = self.rest.send(body.slice(1..));
        Self::wait(self.answer).await
    }

    /// The answer to what was not finished.
    ///
    /// # Errors
    /// When there is none within 10 s.
    pub async fn cut(self) -> Result<Answer> {
        let answer = Self::wait(self.answer).await;
        drop(self.rest);
        answer
    }

    async fn wait(answer: JoinHandle<Result<Answer>>) -> Result<Answer> {
        timeout(LIMIT, answer).await.context("a charge in flight was not answered")??
    }
}

/// A body of which the second part comes when somebody sends it.
#[derive(Debug)]
struct InTwo {
    first: Option<Bytes>,
    rest: Option<oneshot::Receiver<Bytes>>,
    last: u64,
}

impl Body for InTwo {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let Some(rest) = self.rest.as_mut() else { return Poll::Ready(None) };
        match Pin::new(rest).poll(task) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(last)) => {
                (self.rest, self.last) = (None, 0);
                Poll::Ready(Some(Ok(Frame::data(last))))
            }
            // Whoever held it has gone. A receiver must not be asked again.
            Poll::Ready(Err(_)) => {
                self.rest = None;
                Poll::Ready(None)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.first.as_ref().map_or(0, |it| it.len() as u64) + self.last)
    }
}
