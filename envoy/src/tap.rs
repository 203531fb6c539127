use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use reqwest::Client;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A request that went by.
#[derive(Debug, Clone)]
pub struct Tapped {
    /// Its path.
    pub path: String,
    /// Its body.
    pub body: Vec<u8>,
    /// The status that it was answered with.
    pub status: u16,
}

/// What lies between Envoy and the HTTP API of the control plane, passes on everything
/// and keeps a copy.
#[derive(Debug)]
pub struct Tap {
    address: SocketAddr,
    seen: Seen,
    task: AbortHandle,
}

type Seen = Arc<Mutex<Vec<Tapped>>>;

impl Tap {
    /// One in front of the server at `to`.
    pub async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let http = Client::builder().timeout(TIMEOUT).build()?;
        let seen = Seen::default();
        let task = tokio::spawn(serve(listener, http, to, Arc::clone(&seen))).abort_handle();
        Ok(Self { address, seen, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests to this path that went by so far.
    pub fn requests(&self, path: &str) -> Vec<Tapped> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|tapped| tapped.path == path).cloned().collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, http: Client, to: SocketAddr, seen: Seen) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (http, seen) = (http.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            let service = service_fn(|request| {
                let (http, seen) = (http.clone(), Arc::clone(&seen));
                async move {
                    let answer = pass_on(request, &http, to, &seen).await;
                    Ok::<_, Infallible>(answer.unwrap_or_else(|_| bad_gateway()))
                }
            });
            let serving = hyper::server::conn::http1::Builder::new();
            // A connection that breaks is one that breaks.
            let _ = serving.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn pass_on(
    request: Request<Incoming>,
    http: &Client,
    to: SocketAddr,
    seen: &Seen,
) -> Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = parts.uri.path().to_owned();
    let url = format!("http://{to}{}", parts.uri.path_and_query().context("no path")?);
    let mut headers = parts.headers;
    headers.remove("host");
    let passed = http.request(parts.method, url).headers(headers).body(body.clone());
    let answer = passed.send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let answered = answer.bytes().await?;
    let tapped = Tapped { path, body: body.to_vec(), status: status.as_u16() };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(tapped);
    let mut response = Response::new(Full::new(answered));
    *response.status_mut() = status;
    if let Some(kind) = headers.get("content-type") {
        response.headers_mut().insert("content-type", kind.clone());
    }
    Ok(response)
}

fn bad_gateway() -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
