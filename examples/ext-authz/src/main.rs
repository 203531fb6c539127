//! `kya-ext-authz`: what stands behind Envoy's `ext_authz` filter where revocation is not
//! decided in the proxy. `cargo xtask bench overhead` compares the filter with it.
//!
//! Each request of Envoy is answered by one of three: `constant` says yes to whatever it
//! is; `redis` asks whether `blacklist:TOKEN` exists, as designs with a list of revoked
//! tokens in Redis do; `rego` evaluates a policy. None of them verifies a signature or
//! looks an agent up, so each is the least that such a server can do.

mod decide;

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse, HttpStatusCode,
};
use envoy_types::ext_authz::v3::{
    CheckRequestExt as _, CheckResponseExt as _, DeniedHttpResponseBuilder,
};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::decide::Decider;

/// A server for Envoy's ext_authz filter, for comparison.
#[derive(Debug, Parser)]
#[command(name = "kya-ext-authz")]
struct Arguments {
    /// Where to listen; port 0 for any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// By what it decides.
    #[arg(long)]
    by: By,
    /// Where Redis listens: redis://127.0.0.1:6379.
    #[arg(long, required_if_eq("by", "redis"))]
    redis: Option<String>,
    /// A token that the policy denies.
    #[arg(long)]
    revoked: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// It says yes unless the token is one of `--revoked`.
    Constant,
    /// It says yes unless Redis has `blacklist:TOKEN`.
    Redis,
    /// It evaluates a policy in Rego, which has the tokens of `--revoked`.
    Rego,
}

// One thread: what is compared shares the machine with what it is compared with.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { listen, by, redis, revoked } = Arguments::parse();
    let decider = match by {
        By::Constant => Decider::constant(revoked),
        By::Redis => Decider::redis(&redis.context("where is Redis?")?).await?,
        By::Rego => Decider::rego(&revoked)?,
    };
    let listener = TcpListener::bind(listen).await?;
    // Whoever started it waits for this line.
    println!("listening on {}", listener.local_addr()?);
    // Without it small answers wait for acknowledgements of those before them.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(AuthorizationServer::new(Gate { decider }))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

#[derive(Debug)]
struct Gate {
    decider: Decider,
}

#[tonic::async_trait]
impl Authorization for Gate {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let request = request.into_inner();
        let headers = request.get_client_headers();
        let bearer = headers.and_then(|headers| headers.get("authorization"));
        let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
        let allowed = match token {
            Some(token) => self
                .decider
                .allows(token)
                .await
                .map_err(|it| Status::unavailable(it.to_string()))?,
            None => false,
        };
        let mut response = CheckResponse::with_status(match allowed {
            true => Status::ok(""),
            false => Status::permission_denied("revoked"),
        });
        if !allowed {
            let mut denied = DeniedHttpResponseBuilder::new();
            denied.set_http_status(HttpStatusCode::Forbidden).set_body("ext_authz: denied");
            response.set_http_response(denied);
        }
        Ok(Response::new(response))
    }
}
