//! A fleet for drills on one machine: real Envoys with the real filter in front of one
//! service, and simulated clients of the stream besides, so that a stop has more than a
//! handful to tell.
//!
//! The drill itself is `kya drill run`, the real one; what it stops is its own canary.

pub mod client;
mod clients;
mod drill;
pub mod frames;
pub mod state;

pub use clients::Clients;
pub use drill::{Drilled, Plan};

use anyhow::{Result, ensure};
use kya_envoy::{Artifacts, Fleet, FleetOptions, Sidecar};

/// What is asked for at each relying party: it takes no body, and anybody may who is let
/// through.
const PROBED: &str = "/healthz";

/// How large a fleet is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Envoys, each a relying party of a drill.
    pub envoys: usize,
    /// Worker threads of each.
    pub workers: u32,
    /// Simulated clients of the stream, of one worker each.
    pub clients: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { envoys: 6, workers: 2, clients: 100 }
    }
}

/// A fleet, where every worker of every proxy has its first state. Dropping it stops all of
/// it.
#[derive(Debug)]
pub struct DrillFleet {
    // In the order in which they are to be stopped.
    /// The simulated clients.
    pub clients: Clients,
    /// Everything real.
    pub fleet: Fleet,
}

impl DrillFleet {
    /// Starts one, and waits until a stop would reach all of it.
    ///
    /// # Errors
    /// When something was not built, or did not start.
    pub async fn start(artifacts: &Artifacts, size: Size) -> Result<Self> {
        ensure!(size.envoys > 0, "a drill needs an Envoy to go through");
        let options =
            FleetOptions { sidecars: size.envoys, workers: size.workers, ..Default::default() };
        let fleet = Fleet::start(artifacts, &options).await?;
        let clients = Clients::connect(&fleet, size.clients).await?;
        Ok(Self { clients, fleet })
    }

    /// The relying parties as `kya drill run --probe` takes them.
    pub fn probes(&self) -> Vec<String> {
        let probe = |sidecar: &Sidecar| format!("{}={}", sidecar.node_id(), sidecar.url(PROBED));
        self.fleet.sidecars.iter().map(probe).collect()
    }

    /// Ends it: fails if a client was cut off, an Envoy has ended or a filter has crashed.
    ///
    /// # Errors
    /// Which of these.
    pub async fn finish(self) -> Result<()> {
        let Self { clients, fleet } = self;
        clients.finish()?;
        fleet.finish().await
    }
}
