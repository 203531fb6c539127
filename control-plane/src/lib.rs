//! The control plane of kya: the registry of agents and tokens, its durable
//! store, the signed push to every connected proxy, and the HTTP API.
//!
//! Start at [`server::Server`], which puts the rest together. A change goes
//! [`registry`] → [`store`] (one transaction) → [`push`] (signed, in order, to
//! every stream); acknowledgements come back into [`push::Nodes`]. Who may connect
//! as a proxy is decided in [`nodes`], who may use the API in [`operators`].

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod accept;
mod api;
pub mod audit;
mod bearer;
pub mod config;
pub mod data_dir;
pub mod drill;
mod fetch;
mod http;
pub mod keys;
pub mod labels;
pub mod nodes;
mod opening;
pub mod operators;
mod places;
pub mod principals;
pub mod push;
pub mod registry;
pub mod rotation;
mod schema;
pub mod server;
mod servers;
pub mod store;
pub mod telemetry;
pub mod text;
mod throttle;
pub mod time;
pub mod tls;
pub mod token_keys;

/// The generated gRPC service and its client. Messages are in
/// [`kya_core::wire`].
#[allow(missing_docs, unreachable_pub)]
pub mod rpc {
    tonic::include_proto!("kya.v1");
}

pub use api::openapi;
pub use server::{RunningServer, Server};
