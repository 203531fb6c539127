use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::upstream::HEALTH;

/// One HTTP/1.1 connection, and so one worker at its other end. When it is
/// lost it stays lost: unlike a pooling client, it never opens another.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    sender: Arc<Mutex<SendRequest<Empty<Bytes>>>>,
    host: String,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the last sender, or with the peer; the sender will say so.
        tokio::spawn(connection);
        Ok(Self { sender: Arc::new(Mutex::new(sender)), host: address.to_string() })
    }

    /// Makes one request, after those before it.
    ///
    /// It has no body: when Envoy denies a request before its body has arrived,
    /// it closes the connection after the answer.
    pub(super) async fn request(&self, token: &str) -> Result<StatusCode> {
        self.request_with(token, &[]).await
    }

    /// The same with more headers.
    pub(super) async fn request_with(
        &self,
        token: &str,
        headers: &[(&str, &str)],
    ) -> Result<StatusCode> {
        let mut request = Request::get(HEALTH)
            .header("host", &self.host)
            .header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new())?;
        let mut sender = self.sender.lock().await;
        sender.ready().await.context("the connection was closed")?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        // The connection is free again only when the body was read.
        response.into_body().collect().await?;
        Ok(status)
    }
}
