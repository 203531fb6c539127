//! Starting a process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::{Proxy, Schedule};
use crate::fault::{Fault, UnknownHostCall};
use crate::log::LogLine;
use crate::process::SharedProcess;
use crate::profile::Profile;
use crate::program::{Program, ProgramError};
use crate::vm::{Trap, VmName, VmSettings};

/// 2026-02-05T14:47:23.891Z, where the wall clock starts unless told otherwise.
const DEFAULT_START: u64 = 1_770_302_843_891_000_000;
/// Enough for any call that ends: about a second of guest work.
const DEFAULT_FUEL: u64 = 2_000_000_000;
/// Virtual time between the starts of two VMs, unless told otherwise.
const DEFAULT_START_GAP: Duration = Duration::from_millis(1);

/// Envoy's default for the buffer of a connection.
const DEFAULT_BUFFER_LIMIT: usize = 1 << 20;

/// What a worker with a failed VM does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It denies them all, for good. Envoy's default.
    FailClosed,
    /// It replaces the VM when the next request comes, or the first after
    /// [`ProxyBuilder::reload_backoff`].
    FailReload,
}

/// Why a process did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The filter cannot be linked with the host.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The filter refused its configuration, or to start.
    #[error("the plugin refused to start in the {vm} VM; it wrote {log:#?}")]
    Rejected {
        /// Which VM said no.
        vm: VmName,
        /// What it wrote.
        log: Vec<LogLine>,
    },
    /// The filter trapped.
    #[error(transparent)]
    Trap(#[from] Trap),
}

/// A process to be.
#[derive(Clone)]
pub struct ProxyBuilder {
    program: Program,
    workers: usize,
    seed: u64,
    unix_nanos: u64,
    fuel: u64,
    start_gap: Duration,
    policy: FailurePolicy,
    reload_backoff: Duration,
    vm_id: String,
    root_id: String,
    plugin_name: String,
    node_id: String,
    node_cluster: String,
    vm_configuration: Vec<u8>,
    properties: BTreeMap<Vec<u8>, Vec<u8>>,
    profile: Profile,
    environment: BTreeMap<String, String>,
    buffer_limit: usize,
    clusters: Option<BTreeSet<String>>,
    faults: Vec<Fault>,
}

impl ProxyBuilder {
    pub(super) fn new(program: &Program) -> Self {
        Self {
            program: program.clone(),
            workers: 2,
            seed: 0,
            unix_nanos: DEFAULT_START,
            fuel: DEFAULT_FUEL,
            start_gap: DEFAULT_START_GAP,
            policy: FailurePolicy::FailClosed,
            reload_backoff: Duration::ZERO,
            vm_id: "vm".to_owned(),
            root_id: "root".to_owned(),
            plugin_name: "plugin".to_owned(),
            node_id: "node-1".to_owned(),
            node_cluster: "cluster-1".to_owned(),
            vm_configuration: Vec::new(),
            properties: BTreeMap::new(),
            profile: Profile::Envoy,
            environment: BTreeMap::new(),
            buffer_limit: DEFAULT_BUFFER_LIMIT,
            clusters: None,
            faults: Vec::new(),
        }
    }

    /// Which proxy is simulated; [`Profile::Envoy`] unless told otherwise.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// One variable of `vm_config.environment_variables`, which guests read by
    /// WASI.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Most bytes of a body that the proxy holds for a filter that wants to see it
    /// whole; 1 MiB unless told otherwise. Past it a request is answered 413, and a
    /// response 500 or, once its headers have gone, reset.
    pub fn buffer_limit(mut self, bytes: usize) -> Self {
        self.buffer_limit = bytes;
        self
    }

    /// The clusters that there are. Unless told, there is one of every name; a
    /// callout to any other is refused as Envoy refuses it.
    pub fn clusters(mut self, names: &[&str]) -> Self {
        self.clusters = Some(names.iter().map(|&name| name.to_owned()).collect());
        self
    }

    /// A fault from the first call on, those of the canary included.
    ///
    /// # Errors
    /// [`UnknownHostCall`].
    pub fn inject(mut self, fault: Fault) -> Result<Self, UnknownHostCall> {
        self.faults.push(fault.checked()?);
        Ok(self)
    }

    /// Number of worker threads; 2 unless told otherwise.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Seed of the random bytes that guests get.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Where the wall clock starts, in nanoseconds since 1970.
    pub fn wall_clock(mut self, unix_nanos: u64) -> Self {
        self.unix_nanos = unix_nanos;
        self
    }

    /// Fuel for one call into a guest, about one unit an instruction. A call that
    /// needs more traps.
    pub fn fuel(mut self, fuel: u64) -> Self {
        self.fuel = fuel;
        self
    }

    /// Virtual time between the starts of two VMs; 1 ms unless told otherwise.
    /// With none, timers of the same period are due at the same instants, and
    /// [`Proxy::set_order`] decides.
    pub fn start_gap(mut self, gap: Duration) -> Self {
        self.start_gap = gap;
        self
    }

    /// What happens to requests of a worker whose VM failed.
    pub fn failure_policy(mut self, policy: FailurePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How long after the start of a VM it is not replaced, however it failed; none
    /// unless told otherwise. Envoy waits about a second
    /// (`reload_config.backoff.base_interval`).
    pub fn reload_backoff(mut self, backoff: Duration) -> Self {
        self.reload_backoff = backoff;
        self
    }

    /// `vm_config.vm_id`: the scope of shared data and queues.
    pub fn vm_id(mut self, vm_id: &str) -> Self {
        vm_id.clone_into(&mut self.vm_id);
        self
    }

    /// `root_id` and `name` of the plugin.
    pub fn plugin(mut self, name: &str, root_id: &str) -> Self {
        name.clone_into(&mut self.plugin_name);
        root_id.clone_into(&mut self.root_id);
        self
    }

    /// `node.id` and `node.cluster` of the process.
    pub fn node(mut self, id: &str, cluster: &str) -> Self {
        id.clone_into(&mut self.node_id);
        cluster.clone_into(&mut self.node_cluster);
        self
    }

    /// The configuration of the VM, which is not that of the plugin.
    pub fn vm_configuration(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.vm_configuration = bytes.into();
        self
    }

    /// One more property, by its path.
    pub fn property(mut self, path: &[&str], value: impl Into<Vec<u8>>) -> Self {
        self.properties.insert(path.join("\0").into_bytes(), value.into());
        self
    }

    /// Starts the process. As in Envoy, a canary VM tries the configuration and is
    /// dropped, then the main VM and the workers start in order.
    ///
    /// # Errors
    /// [`StartError`], of the first VM that did not start.
    pub fn start(self, plugin_configuration: impl AsRef<[u8]>) -> Result<Proxy, StartError> {
        let pre = self.program.link(self.profile)?;
        let process = SharedProcess::new(self.profile, self.unix_nanos, self.seed);
        self.faults.iter().for_each(|fault| process.inject(fault.clone()));
        let mut proxy = Proxy {
            pre,
            process,
            policy: self.policy,
            reload_backoff: self.reload_backoff,
            vms: Vec::new(),
            order: Vec::new(),
            schedule: Schedule::in_order(),
            paused: BTreeSet::new(),
            departed: BTreeMap::new(),
            next_serial: 1,
            start_gap: self.start_gap,
            settings: Arc::new(self.settings(plugin_configuration.as_ref())),
            program: self.program,
        };
        proxy.boot(self.workers)?;
        Ok(proxy)
    }

    fn settings(&self, plugin_configuration: &[u8]) -> VmSettings {
        let mut properties = self.properties.clone();
        for (path, value) in [
            // Envoy 1.40 answers these, and not `node\0id`.
            ("xds\0node\0id", &self.node_id),
            ("xds\0node\0cluster", &self.node_cluster),
            ("plugin_name", &self.plugin_name),
            ("plugin_root_id", &self.root_id),
            ("plugin_vm_id", &self.vm_id),
        ] {
            properties.entry(path.into()).or_insert_with(|| value.clone().into_bytes());
        }
        VmSettings {
            profile: self.profile,
            vm_id: self.vm_id.clone(),
            vm_configuration: self.vm_configuration.clone(),
            plugin_configuration: plugin_configuration.to_vec(),
            environment: self.environment.clone(),
            properties,
            fuel: self.fuel,
            buffer_limit: self.buffer_limit,
            clusters: self.clusters.clone(),
        }
    }
}
