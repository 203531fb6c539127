use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::Artifacts;
use crate::api::Api;
use crate::control_plane::{ControlPlane, Downed};
use crate::sidecar::{Sidecar, SidecarOptions};
use crate::upstream::Upstream;
use crate::wait::until;

const CONVERGE_LIMIT: Duration = Duration::from_secs(20);

/// How large a fleet to start.
#[derive(Debug, Clone, Copy)]
pub struct FleetOptions {
    /// Envoys.
    pub sidecars: usize,
    /// Worker threads of each.
    pub workers: u32,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self { sidecars: 2, workers: 2 }
    }
}

/// A control plane, a payments service and the sidecars in front of it.
///
/// Dropping it stops everything.
#[derive(Debug)]
pub struct Fleet {
    // In the order in which they are to be stopped.
    /// The Envoys.
    pub sidecars: Vec<Sidecar>,
    /// The service behind them.
    pub upstream: Upstream,
    /// What commands them.
    pub control_plane: ControlPlane,
    dir: RunDir,
}

impl Fleet {
    /// Starts all of it and waits until every worker has its first state.
    pub async fn start(artifacts: &Artifacts, options: &FleetOptions) -> Result<Self> {
        let dir = RunDir::new(artifacts)?;
        let control_plane = Downed::new(artifacts, dir.path())?.start().await?;
        let upstream = Upstream::start(artifacts, dir.path()).await?;
        let mut fleet = Self { sidecars: Vec::new(), upstream, control_plane, dir };
        for _ in 0..options.sidecars {
            fleet.add_sidecar(artifacts, options.workers).await?;
        }
        fleet.wait_converged().await?;
        Ok(fleet)
    }

    /// Starts one more Envoy, without waiting for its state.
    pub async fn add_sidecar(
        &mut self,
        artifacts: &Artifacts,
        workers: u32,
    ) -> Result<&mut Sidecar> {
        let options = SidecarOptions {
            node_id: format!("sidecar-{}", self.sidecars.len() + 1),
            workers,
            upstream: self.upstream.address(),
            control_plane: self.control_plane.addresses().grpc,
            update_key: self.control_plane.public_key()?,
        };
        let sidecar = Sidecar::start(artifacts, &options, self.dir.path()).await?;
        self.sidecars.push(sidecar);
        self.sidecars.last_mut().context("a sidecar was just added")
    }

    /// A client of the control plane.
    pub fn api(&self) -> &Api {
        self.control_plane.api()
    }

    /// All workers of all sidecars.
    pub fn workers(&self) -> usize {
        self.sidecars.iter().map(|sidecar| sidecar.workers() as usize).sum()
    }

    /// Waits until every worker of every sidecar decides by the newest revision.
    pub async fn wait_converged(&self) -> Result<()> {
        wait_converged(self.api(), &self.sidecars).await
    }

    /// Kills the control plane with SIGKILL.
    pub fn crash_control_plane(self) -> Result<Headless> {
        let Self { sidecars, upstream, control_plane, dir } = self;
        let control_plane = control_plane.kill()?;
        Ok(Headless { sidecars, upstream, control_plane, dir })
    }

    /// Ends the run: fails if an Envoy has ended or a filter has crashed, else
    /// stops everything and removes its files.
    pub async fn finish(mut self) -> Result<()> {
        for sidecar in &mut self.sidecars {
            sidecar.check_sound().await?;
        }
        let Self { sidecars, upstream, control_plane, dir } = self;
        drop((sidecars, upstream, control_plane));
        dir.remove()
    }

    /// Stops everything and removes its files, without looking at either.
    pub fn discard(self) -> Result<()> {
        let Self { sidecars, upstream, control_plane, dir } = self;
        drop((sidecars, upstream, control_plane));
        dir.remove()
    }
}

/// A fleet that has lost its control plane.
#[derive(Debug)]
pub struct Headless {
    /// The Envoys, which go on.
    pub sidecars: Vec<Sidecar>,
    /// The service behind them.
    pub upstream: Upstream,
    control_plane: Downed,
    dir: RunDir,
}

impl Headless {
    /// Starts the control plane again on its data, without waiting for the
    /// sidecars to find it.
    pub async fn recover(self) -> Result<Fleet> {
        let Self { sidecars, upstream, control_plane, dir } = self;
        let control_plane = control_plane.start().await?;
        Ok(Fleet { sidecars, upstream, control_plane, dir })
    }
}

/// Waits until the control plane knows every worker of `sidecars`, each at the
/// newest revision.
async fn wait_converged(api: &Api, sidecars: &[Sidecar]) -> Result<()> {
    until("every worker to be at the newest revision", CONVERGE_LIMIT, async || {
        let seen = api.nodes().await?;
        let current = |sidecar: &Sidecar| {
            seen.nodes.iter().any(|node| {
                node.node_id == sidecar.node_id()
                    && node.workers.len() == sidecar.workers() as usize
                    && node.workers.iter().all(|worker| worker.revision >= seen.revision)
            })
        };
        Ok(sidecars.iter().all(current).then_some(()))
    })
    .await
}

/// A folder for the files of one run. It stays behind, and says where it is,
/// unless [`RunDir::remove`] was called: logs are wanted when something failed.
#[derive(Debug)]
pub struct RunDir(Option<TempDir>);

impl RunDir {
    /// A new folder under `target/runs`.
    pub fn new(artifacts: &Artifacts) -> Result<Self> {
        let parent = artifacts.target().join("runs");
        fs::create_dir_all(&parent)?;
        Ok(Self(Some(tempfile::Builder::new().prefix("fleet-").tempdir_in(&parent)?)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        // Empty only while it is being dropped.
        self.0.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// Deletes it with all that is in it.
    pub fn remove(mut self) -> Result<()> {
        Ok(self.0.take().map_or(Ok(()), TempDir::close)?)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take() {
            eprintln!("the logs of this run are in {}", dir.keep().display());
        }
    }
}
