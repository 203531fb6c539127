//! A control plane in this process, and what talks to it.

#![allow(unreachable_pub, reason = "reached from nowhere but the tests beside it")]

pub mod api;
pub mod certificates;
pub mod database;
pub mod issuer;
pub mod oauth;
pub mod parties;
pub mod postgres;
pub mod proxy;
pub mod pull;
pub mod silence;
pub mod state;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kya_control_plane::config::Config;
use kya_control_plane::push::Limits;
use kya_control_plane::time::{Clock, SystemClock, UnixMicros};
use kya_control_plane::{RunningServer, Server};
use tempfile::TempDir;

pub use api::Api;
pub use proxy::TestProxy;
use proxy::{channel, hello};

/// Long enough for anything that does happen on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server, its data and its client.
pub struct ControlPlane {
    pub server: RunningServer,
    pub api: Api,
    pub dir: TempDir,
    /// Of a registration for whatever a test calls its proxies.
    pub credential: String,
}

impl ControlPlane {
    pub async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), limits).await
    }

    pub async fn start_in(dir: TempDir, limits: Limits) -> Self {
        Self::start_as(Config::ephemeral(dir.path()), dir, limits).await
    }

    /// With this configuration, whose data are in `dir`.
    pub async fn start_as(config: Config, dir: TempDir, limits: Limits) -> Self {
        Self::start_server(Server::new(config).with_limits(limits), dir).await
    }

    /// That server, whose data are in `dir`.
    pub async fn start_server(server: Server, dir: TempDir) -> Self {
        let server = server.run().await.unwrap();
        let key = std::fs::read_to_string(dir.path().join("admin.key")).unwrap();
        let api = Api::new(&server.http_addr.to_string(), key.trim());
        let credential = api.register_any_node().await;
        Self { server, api, dir, credential }
    }

    /// Ends the server and begins again with the same data.
    pub async fn restart(self) -> Self {
        self.server.shutdown().await;
        Self::start_in(self.dir, Limits::default()).await
    }

    /// A proxy whose first manifest has been checked and applied.
    pub async fn proxy(&self, node_id: &str) -> TestProxy {
        let mut proxy = self.silent_proxy(node_id).await;
        proxy.next().await;
        proxy
    }

    /// The value of a counter or gauge.
    pub async fn metric(&self, name: &str) -> u64 {
        let metrics = self.api.get("/metrics").await.expect(200);
        let lines = metrics.as_str().unwrap().lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        values.next().unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// A proxy that has said Hello and read nothing.
    pub async fn silent_proxy(&self, node_id: &str) -> TestProxy {
        let channel = channel(self.server.grpc_addr).await;
        TestProxy::connect_over(channel, &self.credential, self.server.public_key, hello(node_id))
            .await
    }
}

/// Waits until `condition` holds, and fails with `what` if it never does.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct TestClock(AtomicU64);

impl TestClock {
    pub fn at(second: u64) -> Self {
        Self(AtomicU64::new(second * 1_000_000))
    }

    pub fn set(&self, second: u64) {
        self.0.store(second * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMicros {
        UnixMicros(self.0.load(Ordering::SeqCst))
    }
}

/// The clock of the machine, ahead by as much as is said.
#[derive(Debug, Default)]
pub struct ShiftedClock(AtomicU64);

impl ShiftedClock {
    pub fn be_ahead_by(&self, seconds: u64) {
        self.0.store(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> UnixMicros {
        UnixMicros(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }
}
