//! Runs real fleets: a control plane, Envoy sidecars with the compiled filter,
//! a service behind them and agents in front.
//!
//! Everything here starts the real binaries, as an operator would, and talks to
//! them over their public interfaces; nothing is linked in. The tests of this
//! crate, `cargo xtask demo` and `cargo xtask bench` are built on it.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use kya_envoy::{Artifacts, Fleet, FleetOptions};
//!
//! let fleet = Fleet::start(&Artifacts::debug(), &FleetOptions::default()).await?;
//! let agent = fleet.api().register_agent("invoice-bot").await?;
//! let token = fleet.api().issue_token(&agent.agent_id).await?;
//! fleet.wait_converged().await?;
//! # let _ = token;
//! # Ok(())
//! # }
//! ```

mod access;
mod api;
mod artifacts;
mod bootstrap;
mod cli;
mod clock;
mod control_plane;
mod fleet;
mod ports;
mod postgres;
mod process;
mod running;
mod service;
mod sidecar;
mod stats;
mod tap;
pub mod traffic;
mod trail;
mod upstream;
mod version;
mod wait;
mod wire;

pub use api::{
    Acknowledgement, Acknowledgements, Agent, Api, Armed, Change, Disconnected, Event, Node, Nodes,
    Proof, ProvedNode, ProvedWorker, Token, Worker,
};
pub use artifacts::{Artifacts, ENVOY_VERSION_VARIABLE, FILTER_TARGET, Profile};
pub use bootstrap::Bootstrap;
pub use cli::{Cli, Ended};
pub use clock::unix_ms;
pub use control_plane::{Addresses, ControlPlane, Downed};
pub use fleet::{Fleet, FleetOptions, Headless, RunDir};
pub use ports::reserve_port;
pub use postgres::Postgres;
pub use process::Process;
pub use running::Running;
pub use service::{SlowService, Unreachable};
pub use sidecar::{Changes, ListenerFile, Sidecar, SidecarOptions};
pub use stats::Stats;
pub use tap::{Tap, Tapped};
pub use trail::{Reconciled, Trail};
pub use upstream::{CHARGES, REFUNDS, Upstream, curl_charge};
pub use version::EnvoyVersion;
pub use wait::until;
pub use wire::{Fault, Towards, Wire};
