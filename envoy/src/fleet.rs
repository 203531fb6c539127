use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::Artifacts;
use crate::api::Api;
use crate::cli::Cli;
use crate::control_plane::{ControlPlane, Downed};
use crate::sidecar::{Changes, Sidecar, SidecarOptions};
use crate::upstream::Upstream;
use crate::wait::until;
use crate::wire::Wire;

const CONVERGE_LIMIT: Duration = Duration::from_secs(20);

/// How large a fleet to start.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// Envoys.
    pub sidecars: usize,
    /// Worker threads of each.
    pub workers: u32,
    /// Whether a [`Wire`] lies between each Envoy and the control plane.
    pub wired: bool,
    /// Whether the control plane issues capability tokens, under the address of its HTTP
    /// API.
    pub issuer: bool,
    /// What is different in each Envoy from what is shipped.
    pub changes: Changes,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self { sidecars: 2, workers: 2, wired: false, issuer: false, changes: Changes::default() }
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
    /// What lies between each Envoy and the control plane, where it was asked
    /// for, in the order of the Envoys.
    pub wires: Vec<Wire>,
    dir: RunDir,
}

impl Fleet {
    /// Starts all of it and waits until every worker has its first state.
    pub async fn start(artifacts: &Artifacts, options: &FleetOptions) -> Result<Self> {
        let dir = RunDir::new(artifacts)?;
        let control_plane = Downed::new(artifacts, dir.path())?;
        let control_plane = match options.issuer {
            true => control_plane.issuing(),
            false => control_plane,
        };
        let control_plane = control_plane.start().await?;
        let upstream = Upstream::start(artifacts, dir.path()).await?;
        let (sidecars, wires) = (Vec::new(), Vec::new());
        let mut fleet = Self { sidecars, upstream, control_plane, wires, dir };
        for _ in 0..options.sidecars {
            let mut next = fleet.next_sidecar(options.workers)?;
            next.changes = options.changes.clone();
            if options.wired {
                let wire = Wire::start(next.control_plane).await?;
                next.control_plane = wire.address();
                fleet.wires.push(wire);
            }
            fleet.start_sidecar(artifacts, &next).await?;
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
        let next = self.next_sidecar(workers)?;
        self.start_sidecar(artifacts, &next).await
    }

    /// What one more Envoy would be started with.
    pub fn next_sidecar(&self, workers: u32) -> Result<SidecarOptions> {
        Ok(SidecarOptions {
            node_id: format!("sidecar-{}", self.sidecars.len() + 1),
            workers,
            upstream: self.upstream.address(),
            control_plane: self.control_plane.addresses().grpc,
            control_plane_http: self.control_plane.addresses().http,
            node_credential: self.control_plane.node_credential()?.to_owned(),
            update_key: self.control_plane.public_key()?,
            changes: Changes::default(),
        })
    }

    /// Starts an Envoy, without waiting for its state.
    pub async fn start_sidecar(
        &mut self,
        artifacts: &Artifacts,
        options: &SidecarOptions,
    ) -> Result<&mut Sidecar> {
        let sidecar = Sidecar::start(artifacts, options, self.dir.path()).await?;
        self.sidecars.push(sidecar);
        self.sidecars.last_mut().context("a sidecar was just added")
    }

    /// Where the files of this run are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A client of the control plane.
    pub fn api(&self) -> &Api {
        self.control_plane.api()
    }

    /// `kya` with the admin key.
    pub fn kya(&self, artifacts: &Artifacts) -> Result<Cli> {
        Cli::new(artifacts, self.api().base(), self.api().admin_key())
    }

    /// All workers of all sidecars.
    pub fn workers(&self) -> usize {
        self.sidecars.iter().map(|sidecar| sidecar.workers() as usize).sum()
    }

    /// Waits until every worker of every sidecar decides by the newest revision,
    /// and the control plane lists no others.
    pub async fn wait_converged(&self) -> Result<()> {
        let exactly = |sidecar: &Sidecar, count| count == sidecar.workers() as usize;
        wait_known(self.api(), &self.sidecars, exactly).await
    }

    /// The same where the control plane may list more workers than there are,
    /// such as those of a listener that drains.
    pub async fn wait_current(&self) -> Result<()> {
        let at_least = |sidecar: &Sidecar, count| count >= sidecar.workers() as usize;
        wait_known(self.api(), &self.sidecars, at_least).await
    }

    /// Kills the control plane with SIGKILL.
    pub fn crash_control_plane(self) -> Result<Headless> {
        let Self { sidecars, upstream, control_plane, wires, dir } = self;
        let control_plane = control_plane.kill()?;
        Ok(Headless { sidecars, upstream, control_plane, wires, dir })
    }

    /// Ends the control plane with SIGTERM.
    pub async fn stop_control_plane(self) -> Result<Headless> {
        let Self { sidecars, upstream, control_plane, wires, dir } = self;
        let (control_plane, status) = control_plane.stop().await?;
        ensure!(status.success(), "the control plane ended with {status}");
        Ok(Headless { sidecars, upstream, control_plane, wires, dir })
    }

    /// Ends the run: fails if an Envoy has ended or a filter has crashed, else
    /// stops everything and removes its files.
    pub async fn finish(mut self) -> Result<()> {
        for sidecar in &mut self.sidecars {
            sidecar.check_sound().await?;
        }
        let Self { sidecars, upstream, control_plane, wires, dir } = self;
        drop((sidecars, upstream, control_plane, wires));
        dir.remove()
    }

    /// Stops everything and removes its files, without looking at either.
    pub fn discard(self) -> Result<()> {
        let Self { sidecars, upstream, control_plane, wires, dir } = self;
        drop((sidecars, upstream, control_plane, wires));
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
    /// What commanded them.
    pub control_plane: Downed,
    wires: Vec<Wire>,
    dir: RunDir,
}

impl Headless {
    /// Starts the control plane again on its data, without waiting for the
    /// sidecars to find it.
    pub async fn recover(self) -> Result<Fleet> {
        let Self { sidecars, upstream, control_plane, wires, dir } = self;
        let control_plane = control_plane.start().await?;
        Ok(Fleet { sidecars, upstream, control_plane, wires, dir })
    }

    /// Where the files of this run are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// Waits until the control plane knows `workers` of each of `sidecars`, each at
/// the newest revision.
async fn wait_known(
    api: &Api,
    sidecars: &[Sidecar],
    workers: impl Fn(&Sidecar, usize) -> bool,
) -> Result<()> {
    let mut last = None;
    let outcome = until("every worker to be at the newest revision", CONVERGE_LIMIT, async || {
        let seen = last.insert(api.nodes().await?);
        let current = |sidecar: &Sidecar| {
            // Two processes may have one name, while the one takes over from the other.
            let mut named =
                seen.nodes.iter().filter(|node| node.node_id == sidecar.node_id()).peekable();
            named.peek().is_some()
                && named.all(|node| {
                    workers(sidecar, node.workers.len())
                        && node.workers.iter().all(|worker| worker.revision >= seen.revision)
                })
        };
        Ok(sidecars.iter().all(current).then_some(()))
    })
    .await;
    outcome.with_context(|| format!("the control plane lists {last:?}"))
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
