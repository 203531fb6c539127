use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Client;
use serde_json::Value;

mod listener_file;
mod options;

pub use listener_file::ListenerFile;
pub use options::{Changes, SidecarOptions};

use crate::Artifacts;
use crate::process::Process;
use crate::stats::Stats;

const START_LIMIT: Duration = Duration::from_secs(30);

/// The listener that the filter is in.
const INGRESS: &str = "kya_ingress";

/// Lines that Envoy writes when a filter has crashed, or when it has itself.
const SIGNS_OF_A_CRASH: [&str; 7] = [
    "wasm vm failed",
    "Wasm VM failed",
    "Function: proxy_",
    "RuntimeError",
    "panicked at",
    "assert failure",
    "Caught Segmentation fault",
];

/// A running Envoy with the filter in it.
#[derive(Debug)]
pub struct Sidecar {
    process: Process,
    node_id: String,
    workers: u32,
    admin: SocketAddr,
    listener: SocketAddr,
    access_log: PathBuf,
    listener_file: Option<ListenerFile>,
    http: Client,
}

impl Sidecar {
    /// Starts Envoy on free ports and waits until it serves. That it serves
    /// does not mean that it has state yet: ask the control plane for that.
    ///
    /// Its files are in `dir`, named after the node.
    pub async fn start(
        artifacts: &Artifacts,
        options: &SidecarOptions,
        dir: &Path,
    ) -> Result<Self> {
        let yaml = options.yaml(artifacts)?;
        Self::start_with(artifacts, options, &yaml, dir).await
    }

    /// The same, with a bootstrap of the caller's own.
    pub async fn start_with(
        artifacts: &Artifacts,
        options: &SidecarOptions,
        yaml: &str,
        dir: &Path,
    ) -> Result<Self> {
        let changes = &options.changes;
        let epoch = changes.restart_epoch.map_or(String::new(), |epoch| format!("-{epoch}"));
        let file = |suffix: &str| dir.join(format!("{}{epoch}.{suffix}", options.node_id));
        let (config, admin_path) = (file("yaml"), file("admin"));
        let (yaml, listener_file) = match changes.listener_file {
            true => {
                let (yaml, file) = ListenerFile::split(yaml, &file("listener.yaml"))?;
                (yaml, Some(file))
            }
            false => (yaml.to_owned(), None),
        };
        fs::write(&config, yaml)?;

        let mut command = Command::new(artifacts.envoy()?);
        let base_id = dir.join(format!("{}.base-id", options.node_id));
        command
            .args(hot_restart(changes.restart_epoch, &base_id)?)
            .args(["--concurrency", &options.workers.to_string()])
            // At `info` Envoy lists all its extensions; the filter's own words matter.
            .args(["--log-level", "warning", "--component-log-level", "wasm:info"])
            .args(&changes.arguments)
            .envs(changes.environment.iter().map(|(name, value)| (name, value)))
            .arg("--admin-address-path")
            .arg(&admin_path)
            .arg("-c")
            .arg(&config)
            // The bootstrap hands it to the filter; it is in no file.
            .env("KYA_NODE_CREDENTIAL", &options.node_credential);
        let (access_log, log) = (file("access.log"), file("log"));
        let mut process = Process::spawn_with(&options.node_id, &mut command, &access_log, &log)?;

        let http = Client::builder().timeout(Duration::from_secs(5)).build()?;
        let (admin, listener) = process
            .wait_ready(START_LIMIT, async || {
                let Some(admin) = read_admin_address(&admin_path)? else { return Ok(None) };
                Ok(serving(&http, admin).await?.map(|listener| (admin, listener)))
            })
            .await?;
        let (node_id, workers) = (options.node_id.clone(), options.workers);
        Ok(Self { process, node_id, workers, admin, listener, access_log, listener_file, http })
    }

    /// Envoy's `node.id`.
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    /// How many workers it has.
    pub fn workers(&self) -> u32 {
        self.workers
    }

    /// Where agents connect.
    pub fn address(&self) -> SocketAddr {
        self.listener
    }

    /// Where its listener of this name is.
    pub async fn listener(&self, name: &str) -> Result<SocketAddr> {
        let page = format!("http://{}/listeners?format=json", self.admin);
        let listeners = self.http.get(page).send().await?.error_for_status()?.json().await?;
        listener_address(&listeners, name)
    }

    /// Its admin page.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its listener, where [`Changes::listener_file`] was asked for.
    pub fn listener_file(&mut self) -> Result<&mut ListenerFile> {
        self.listener_file.as_mut().context("the listener is in the bootstrap")
    }

    /// Whether Envoy has not ended.
    pub fn is_running(&mut self) -> Result<bool> {
        self.process.is_running()
    }

    /// SIGSTOP: it stays connected, and does nothing.
    pub fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// SIGCONT: it goes on.
    pub fn resume(&self) -> Result<()> {
        self.process.resume()
    }

    /// The address of `path` as agents see it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listener)
    }

    /// Its counters and gauges of this moment.
    pub async fn stats(&self) -> Result<Stats> {
        let url = format!("http://{}/stats", self.admin);
        let page = self.http.get(url).send().await?.error_for_status()?.text().await?;
        Ok(Stats::parse(&page))
    }

    /// Those of them whose names have this in them. The whole page takes Envoy milliseconds.
    pub async fn stats_of(&self, part: &str) -> Result<Stats> {
        let url = format!("http://{}/stats?filter={part}", self.admin);
        let page = self.http.get(url).send().await?.error_for_status()?.text().await?;
        Ok(Stats::parse(&page))
    }

    /// Connections that each worker has accepted so far, by worker index.
    pub async fn connections_by_worker(&self) -> Result<Vec<u64>> {
        let url = format!("http://{}/stats?filter=kya_ingress.worker_", self.admin);
        let page = self.http.get(url).send().await?.error_for_status()?.text().await?;
        Ok(Stats::parse(&page).connections_by_worker(self.workers))
    }

    /// What Envoy and the filter have logged.
    pub fn log(&self) -> Result<String> {
        self.process.log()
    }

    /// What Envoy has written of requests so far: a line each.
    pub fn access_log(&self) -> Result<String> {
        let path = &self.access_log;
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Fails unless Envoy runs, no filter VM was ever lost and nothing in the
    /// log looks like a crash.
    pub async fn check_sound(&mut self) -> Result<()> {
        if !self.process.is_running()? {
            bail!("{} has ended:\n{}", self.node_id, self.log()?);
        }
        let stats = self.stats().await?;
        let reloads: u64 = stats.starting_with("wasm.kya.vm_reload").map(|(_, count)| count).sum();
        if reloads > 0 {
            bail!("{} had to reload a filter VM {reloads} times", self.node_id);
        }
        let log = self.log()?;
        let sign = log.lines().find(|line| SIGNS_OF_A_CRASH.iter().any(|s| line.contains(s)));
        match sign {
            Some(line) => bail!("the log of {} shows a crash: {line}", self.node_id),
            None => Ok(()),
        }
    }
}

/// Two Envoys of one machine collide where hot restart is possible, unless each
/// has a base id of its own: the first of a row chooses one, and the next take it.
fn hot_restart(epoch: Option<u32>, base_id: &Path) -> Result<Vec<String>> {
    let arguments = match epoch {
        None => vec!["--disable-hot-restart".to_owned()],
        Some(0) => {
            let path = base_id.display().to_string();
            vec!["--use-dynamic-base-id".to_owned(), "--base-id-path".to_owned(), path]
        }
        Some(epoch) => {
            let id = fs::read_to_string(base_id).context("the first Envoy left no base id")?;
            [("--base-id", id.trim().to_owned()), ("--restart-epoch", epoch.to_string())]
                .into_iter()
                .flat_map(|(name, value)| [name.to_owned(), value])
                .collect()
        }
    };
    Ok(arguments)
}

/// Envoy's address of an admin page on port 0, once it has written it.
fn read_admin_address(path: &PathBuf) -> Result<Option<SocketAddr>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The listener's address once the server is live, which is after its workers
/// have started.
async fn serving(http: &Client, admin: SocketAddr) -> Result<Option<SocketAddr>> {
    let page = async |path: &str| -> Option<String> {
        let response = http.get(format!("http://{admin}{path}")).send().await.ok()?;
        response.error_for_status().ok()?.text().await.ok()
    };
    if page("/ready").await.is_none() {
        return Ok(None);
    }
    let Some(listeners) = page("/listeners?format=json").await else { return Ok(None) };
    let listeners: Value = serde_json::from_str(&listeners)?;
    Ok(Some(listener_address(&listeners, INGRESS)?))
}

/// Where the listener of this name is, by Envoy's list of them.
fn listener_address(listeners: &Value, name: &str) -> Result<SocketAddr> {
    let statuses = listeners["listener_statuses"].as_array().map_or(&[][..], Vec::as_slice);
    let socket = statuses
        .iter()
        .find(|status| status["name"] == name)
        .map(|status| &status["local_address"]["socket_address"])
        .with_context(|| format!("Envoy has no listener {name}: {listeners}"))?;
    let (Some(ip), Some(port)) = (socket["address"].as_str(), socket["port_value"].as_u64()) else {
        bail!("the listener {name} has no address: {listeners}");
    };
    let address = format!("{ip}:{port}");
    address.parse().with_context(|| format!("not an address: {address}"))
}
