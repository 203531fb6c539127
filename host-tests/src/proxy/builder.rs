//! Starting a process.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use thiserror::Error;

use super::Proxy;
use crate::log::LogLine;
use crate::process::Process;
use crate::program::{Program, ProgramError};
use crate::vm::{Trap, Vm, VmName, VmSettings, VmState};

/// 2026-02-05T14:47:23.891Z, where the wall clock starts unless told otherwise.
const DEFAULT_START: u64 = 1_770_302_843_891_000_000;
/// Enough for any call that ends: about a second of guest work.
const DEFAULT_FUEL: u64 = 2_000_000_000;
/// Virtual time between the starts of two VMs, unless told otherwise.
const DEFAULT_START_GAP: Duration = Duration::from_millis(1);

/// What a worker with a failed VM does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It denies them all, for good. Envoy's default.
    FailClosed,
    /// It replaces the VM when the next request comes.
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
    vm_id: String,
    root_id: String,
    plugin_name: String,
    node_id: String,
    node_cluster: String,
    vm_configuration: Vec<u8>,
    properties: BTreeMap<Vec<u8>, Vec<u8>>,
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
            vm_id: "vm".to_owned(),
            root_id: "root".to_owned(),
            plugin_name: "plugin".to_owned(),
            node_id: "node-1".to_owned(),
            node_cluster: "cluster-1".to_owned(),
            vm_configuration: Vec::new(),
            properties: BTreeMap::new(),
        }
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

    /// Starts the process as Envoy does: a canary VM tries the configuration and
    /// is dropped, then the main VM and the workers start in order.
    ///
    /// # Errors
    /// [`StartError`], of the first VM that did not start.
    pub fn start(self, plugin_configuration: impl AsRef<[u8]>) -> Result<Proxy, StartError> {
        let pre = self.program.link()?;
        let process = Rc::new(RefCell::new(Process::new(self.unix_nanos, self.seed)));
        let mut proxy = Proxy {
            pre,
            process,
            policy: self.policy,
            vms: Vec::new(),
            order: Vec::new(),
            paused: BTreeSet::new(),
            traps: Vec::new(),
            next_serial: 1,
            next_context: 2,
            settings: Rc::new(self.settings(plugin_configuration.as_ref())),
            program: self.program,
        };
        let canary = proxy.start_vm(VmName::Canary)?;
        proxy.forget(&canary);
        drop(canary);
        for name in std::iter::once(VmName::Main).chain((0..self.workers).map(VmName::Worker)) {
            proxy.process.borrow_mut().clock.advance(self.start_gap);
            let vm = proxy.start_vm(name)?;
            proxy.vms.push(vm);
            proxy.order.push(name);
        }
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
            vm_id: self.vm_id.clone(),
            vm_configuration: self.vm_configuration.clone(),
            plugin_configuration: plugin_configuration.to_vec(),
            properties,
            fuel: self.fuel,
        }
    }
}

impl Proxy {
    /// Starts and configures a VM, without giving it a place yet.
    pub(super) fn start_vm(&mut self, name: VmName) -> Result<Vm, StartError> {
        let serial = self.next_serial;
        self.next_serial += 1;
        let settings = Rc::clone(&self.settings);
        let state = VmState::new(name, serial, Rc::clone(&self.process), settings);
        let mut vm = Vm::start(&self.program, &self.pre, state)?;
        if vm.configure()? {
            return Ok(vm);
        }
        let log = self.log().into_iter().filter(|line| line.vm == name).collect();
        Err(StartError::Rejected { vm: name, log })
    }
}
