use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::Artifacts;
use crate::access;
use crate::api::Api;
use crate::ports::reserve_port;
use crate::process::Process;

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Where a control plane listens: its `addresses.json`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Addresses {
    /// The HTTP API.
    pub http: SocketAddr,
    /// The stream for proxies.
    pub grpc: SocketAddr,
}

/// A control plane that does not run: before its first start, or between two.
///
/// Its address and its keys are settled all the same, so proxies can be
/// configured for it.
#[derive(Debug)]
pub struct Downed {
    binary: PathBuf,
    data_dir: PathBuf,
    log: PathBuf,
    http: SocketAddr,
    grpc: SocketAddr,
    /// Whether it issues capability tokens.
    issues: bool,
    /// Its PostgreSQL database, where it is not to have a SQLite file.
    database_url: Option<String>,
    /// By which every proxy of the run authenticates, once there is one.
    credential: Option<String>,
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    process: Process,
    settled: Downed,
    addresses: Addresses,
    api: Api,
}

impl Downed {
    /// Settles a control plane that keeps its data in `dir/data`.
    pub fn new(artifacts: &Artifacts, dir: &Path) -> Result<Self> {
        Ok(Self {
            binary: artifacts.control_plane()?,
            data_dir: dir.join("data"),
            log: dir.join("control-plane.log"),
            http: SocketAddr::from(([127, 0, 0, 1], reserve_port()?)),
            grpc: SocketAddr::from(([127, 0, 0, 1], reserve_port()?)),
            issues: false,
            database_url: None,
            credential: None,
        })
    }

    /// The same that issues capability tokens: its issuer is the address of its HTTP API.
    pub fn issuing(self) -> Self {
        Self { issues: true, ..self }
    }

    /// The same on a PostgreSQL database.
    pub fn on(self, url: String) -> Self {
        Self { database_url: Some(url), ..self }
    }

    /// Where it will listen for proxies, at every start.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// The key that proxies have to trust.
    pub fn public_key(&self) -> Result<String> {
        access::update_key(&self.binary, &self.data_dir)
    }

    /// A copy of all its data, at `to`, which must not exist.
    pub fn back_up(&self, to: &Path) -> Result<()> {
        copy_folder(&self.data_dir, to).context("cannot copy the data directory")
    }

    /// Puts the copy at `from` in the place of its data.
    pub fn restore(&self, from: &Path) -> Result<()> {
        fs::remove_dir_all(&self.data_dir)?;
        copy_folder(from, &self.data_dir).context("cannot put the backup back")
    }

    /// Its database.
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("kya.db")
    }

    /// Starts it and waits until it answers.
    pub async fn start(mut self) -> Result<ControlPlane> {
        let announcement = self.data_dir.join("addresses.json");
        let mut command = Command::new(&self.binary);
        command
            .args(["serve", "--http-listen", &self.http.to_string(), "--grpc-listen"])
            .arg(self.grpc.to_string())
            .arg("--data-dir")
            .arg(&self.data_dir);
        if self.issues {
            command.args(["--issuer", &access::http_base(self.http)]);
        }
        if let Some(url) = &self.database_url {
            command.args(["--database-url", url]);
        }
        // A stale announcement of a killed server would be believed.
        if announcement.exists() {
            fs::remove_file(&announcement)?;
        }
        let mut process = Process::spawn("the control plane", &mut command, &self.log)?;
        let addresses =
            process.wait_ready(START_LIMIT, async || read_announcement(&announcement)).await?;
        if (addresses.http, addresses.grpc) != (self.http, self.grpc) {
            bail!("the control plane listens elsewhere than it was told: {addresses:?}");
        }
        let key = access::admin_key(&self.data_dir)?;
        let api = Api::new(&access::http_base(addresses.http), &key)?;
        if self.credential.is_none() {
            self.credential = Some(api.register_nodes("fleet", "*").await?);
        }
        Ok(ControlPlane { process, settled: self, addresses, api })
    }
}

impl ControlPlane {
    /// A client with the admin key.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where it keeps its data.
    pub fn data_dir(&self) -> &Path {
        &self.settled.data_dir
    }

    /// The key that proxies have to trust.
    pub fn public_key(&self) -> Result<String> {
        self.settled.public_key()
    }

    /// By which every proxy of the run authenticates.
    pub fn node_credential(&self) -> Result<&str> {
        self.settled.credential.as_deref().context("no node was registered")
    }

    /// SIGSTOP: its connections stay and nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// SIGCONT: it goes on where it was.
    pub fn resume(&self) -> Result<()> {
        self.process.resume()
    }

    /// SIGKILL: it gets no chance to write anything more.
    pub fn kill(self) -> Result<Downed> {
        self.process.kill()?;
        Ok(self.settled)
    }

    /// SIGTERM: it drains and ends.
    pub async fn stop(self) -> Result<(Downed, ExitStatus)> {
        let status = self.process.terminate(STOP_LIMIT).await?;
        Ok((self.settled, status))
    }
}

/// Copies plain files, with their permissions: a data directory has no folders.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn read_announcement(path: &Path) -> Result<Option<Addresses>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
