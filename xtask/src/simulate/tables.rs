//! Control planes that hold very many tokens and never change: to load ten million rows
//! into a database takes minutes, and a proxy sees nothing of them but signed chunks.
//!
//! What they say is what the protocol asks, by the control plane in memory that the tests
//! follow. They speak HTTP/2 on one address each, for the stream and for pulls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use h2::server::{self, SendResponse};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use kya_core::testing::{ControlPlane, sealed};
use kya_core::wire::{self, change::Change};
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval};

use super::stdin::wait_for_the_end;
use super::{Said, say};
use crate::bench::seed;
use kya_fleet::frames::{framed, next_message};

/// Tokens of a table that can be shown: those with the lowest numbers. A request finds the
/// others nowhere but beside its own.
pub(crate) const SHOWN: u32 = 500_000;
/// How long they count.
const LIFETIME_SECONDS: u64 = 24 * 3600;
/// Windows of HTTP/2, for chunks.
const WINDOW: u32 = 4 << 20;
const HEARTBEAT: Duration = Duration::from_secs(1);
const STREAM: &str = "/kya.v1.Enforcement/Stream";

/// Options of `xtask simulate tables`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many tokens each table holds.
    #[arg(long, required = true)]
    tokens: Vec<u32>,
}

type Shared = Arc<Mutex<ControlPlane>>;

/// Serves until stdin ends.
pub(super) fn run(options: &Options) -> Result<()> {
    let planes: Vec<Shared> =
        options.tokens.iter().map(|count| Arc::new(Mutex::new(table(*count)))).collect();
    Runtime::new()?.block_on(async {
        let mut addresses = Vec::new();
        for plane in planes {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.push(listener.local_addr()?.to_string());
            tokio::spawn(serve(listener, plane));
        }
        say(&Said::Serves { addresses });
        tokio::task::spawn_blocking(wait_for_the_end).await?;
        Ok(())
    })
}

/// A control plane with so many tokens of agent 1.
fn table(count: u32) -> ControlPlane {
    let mut plane = ControlPlane::new();
    let now = kya_envoy::unix_ms() as u64 / 1000;
    for number in 0..count {
        let digest = match number < SHOWN {
            true => seed::token(number).digest().0.to_vec(),
            false => seed::digest(number).to_vec(),
        };
        plane.record(Change::Token(wire::Token {
            digest,
            grant: 1,
            issued_unix_seconds: now,
            expires_unix_seconds: now + LIFETIME_SECONDS,
            revoked: false,
        }));
    }
    // The hashes of all chunks are made here, and not while a proxy waits.
    let _ = plane.manifest(&[0; 32]);
    plane
}

async fn serve(listener: TcpListener, plane: Shared) {
    while let Ok((tcp, _)) = listener.accept().await {
        let plane = Arc::clone(&plane);
        tokio::spawn(async move {
            if let Err(error) = connection(tcp, plane).await {
                eprintln!("a simulated control plane lost a connection: {error:#}");
            }
        });
    }
}

async fn connection(tcp: TcpStream, plane: Shared) -> Result<()> {
    tcp.set_nodelay(true)?;
    let mut connection = server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake::<_, Bytes>(tcp)
        .await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let plane = Arc::clone(&plane);
        tokio::spawn(async move {
            // Its end is the end of a connection or of a stream, of which Envoy says more.
            let _ = match request.uri().path() {
                STREAM => stream(request, respond, plane).await,
                _ => call(request, respond, plane).await,
            };
        });
    }
    Ok(())
}

/// Does something with a control plane whose clock shows the present.
fn now<T>(plane: &Shared, act: impl FnOnce(&mut ControlPlane) -> T) -> T {
    let mut plane = plane.lock().unwrap_or_else(PoisonError::into_inner);
    plane.unix_millis = kya_envoy::unix_ms() as u64;
    act(&mut plane)
}

async fn stream(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    plane: Shared,
) -> Result<()> {
    let head = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut out = respond.send_response(head, false)?;
    let mut body = request.into_body();
    let mut beat = interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut buffer, mut greeted) = (BytesMut::new(), false);
    loop {
        tokio::select! {
            data = body.data() => {
                let data = data.context("the proxy ended the stream")??;
                body.flow_control().release_capacity(data.len())?;
                buffer.extend_from_slice(&data);
                while let Some(message) = next_message(&mut buffer)? {
                    let message = wire::ProxyMessage::decode(message)?.message.context("empty")?;
                    for answer in now(&plane, |plane| plane.answer(&message)) {
                        send(&mut out, framed(&answer))?;
                    }
                    greeted = true;
                }
            }
            _ = beat.tick(), if greeted => {
                let heartbeat = now(&plane, |plane| plane.heartbeat(b""));
                send(&mut out, framed(&sealed(heartbeat)))?;
            }
        }
    }
}

/// A pull, or a question.
async fn call(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    plane: Shared,
) -> Result<()> {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    let answer = now(&plane, |plane| plane.respond(&path, &bytes));
    let mut out = respond.send_response(Response::new(()), false)?;
    Ok(out.send_data(answer.into(), true)?)
}

fn send(out: &mut SendStream<Bytes>, data: Bytes) -> Result<()> {
    Ok(out.send_data(data, false)?)
}

#[cfg(test)]
mod tests {
    use kya_core::Decision;

    use super::*;

    #[test]
    fn a_token_of_a_table_is_allowed_and_one_that_is_not_in_it_is_not() {
        let mut plane = table(2_000);
        let seconds = kya_envoy::unix_ms() as u64 / 1000;
        assert!(matches!(plane.decide(&seed::token(1_999), seconds), Decision::Allow { .. }));
        assert!(matches!(plane.decide(&seed::token(2_000), seconds), Decision::Deny { .. }));
    }
}
