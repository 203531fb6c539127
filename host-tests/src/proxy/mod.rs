//! A simulated proxy process.

mod builder;
mod callouts;
mod life;
mod requests;
mod schedule;
mod streams;
mod time;

pub use builder::{FailurePolicy, ProxyBuilder, StartError};
pub use requests::InFlight;
pub(crate) use requests::complete;
pub use schedule::Schedule;
pub use time::Event;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::InstancePre;

use crate::fault::{Fault, UnknownHostCall};
use crate::http::HttpStream;
use crate::log::LogLine;
use crate::process::SharedProcess;
use crate::program::Program;
use crate::shared_data::SharedData;
use crate::vm::{Cost, Spent, Trap, Vm, VmName, VmSettings, VmState};

/// A process with a VM for the main thread and one for each worker, which share
/// data, queues, stats and a clock. Everything happens in the caller's thread and
/// in an order that is the same in every run: nothing moves unless a method is
/// called.
///
/// A proxy that is dropped panics when one of its VMs had trapped, or had done
/// what no filter may do, and the test has not looked ([`take_traps`]).
///
/// [`take_traps`]: Self::take_traps
pub struct Proxy {
    program: Program,
    pre: InstancePre<VmState>,
    process: SharedProcess,
    settings: Arc<VmSettings>,
    policy: FailurePolicy,
    reload_backoff: Duration,
    start_gap: Duration,
    /// The main VM, if there is one, then the workers.
    vms: Vec<Vm>,
    /// In which VMs have their turn when several could.
    order: Vec<VmName>,
    schedule: Schedule,
    paused: BTreeSet<VmName>,
    /// Requests of VMs that are no more, by serial number and context.
    departed: BTreeMap<(u32, u32), HttpStream>,
    next_serial: u32,
}

impl Proxy {
    /// Starts to describe a process that runs `program`.
    pub fn builder(program: &Program) -> ProxyBuilder {
        ProxyBuilder::new(program)
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.vms.iter().filter(|vm| matches!(vm.name(), VmName::Worker(_))).count()
    }

    /// Every VM: the main one, if there is one, and the workers.
    pub fn vms(&self) -> Vec<VmName> {
        self.vms.iter().map(Vm::name).collect()
    }

    /// Fuel that all calls into a VM have cost: about one unit an instruction, and
    /// the same in every run. What a request costs is the difference around it.
    pub fn fuel_spent(&self, vm: VmName) -> u64 {
        self.vm(vm).spent().fuel()
    }

    /// The same, with what the VM has called its host for, and how many bytes went
    /// between the two.
    pub fn spent(&self, vm: VmName) -> Spent {
        self.vm(vm).spent().clone()
    }

    /// The single call into a VM that has cost most since it started, or since
    /// [`forget_costs`](Self::forget_costs).
    pub fn costliest_call(&self, vm: VmName) -> Option<Cost> {
        self.vm(vm).costliest()
    }

    /// Looks for the costliest call of every VM anew.
    pub fn forget_costs(&mut self) {
        self.vms.iter_mut().for_each(Vm::forget_costs);
    }

    /// Size of a VM's memory in bytes. It never shrinks.
    pub fn vm_memory_bytes(&self, vm: VmName) -> usize {
        self.vm(vm).memory_bytes()
    }

    /// Lets host calls go wrong from now on.
    ///
    /// # Errors
    /// [`UnknownHostCall`].
    pub fn inject(&mut self, fault: Fault) -> Result<(), UnknownHostCall> {
        self.process.inject(fault.checked()?);
        Ok(())
    }

    /// Lets every host call go well again.
    pub fn clear_faults(&mut self) {
        self.process.clear_faults();
    }

    /// Faults that have not struck yet, or will strike again: a test that expects
    /// a fault to have happened finds it here when it has not.
    pub fn pending_faults(&self) -> Vec<Fault> {
        self.process.pending_faults()
    }

    /// Takes the traps that happened since the last time.
    pub fn take_traps(&mut self) -> Vec<Trap> {
        std::mem::take(&mut self.process.lock().traps)
    }

    /// Takes what guests did that no filter may do, since the last time.
    pub fn take_violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.process.lock().violations)
    }

    /// What guests wrote so far.
    pub fn log(&self) -> Vec<LogLine> {
        self.process.lock().log.clone()
    }

    /// A copy of the shared data.
    pub fn shared_data(&self) -> SharedData {
        self.process.lock().shared_data.clone()
    }

    /// Writes shared data as another plugin of the same process could.
    pub fn overwrite_shared_data(&mut self, key: &[u8], value: &[u8]) {
        self.process.lock().shared_data.overwrite(key, value);
    }

    /// Value of a counter or gauge, or number of samples of a histogram; 0 when
    /// no VM has defined it.
    pub fn metric(&self, name: &str) -> u64 {
        self.process.lock().metrics.by_name(name).unwrap_or_default()
    }

    /// Every stat that a VM has defined, with its value.
    pub fn metrics(&self) -> Vec<(String, u64)> {
        self.process.lock().metrics.all().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What threads work on: the shared part, and each VM.
    pub(crate) fn parts(&mut self) -> (&SharedProcess, &mut [Vm]) {
        (&self.process, &mut self.vms)
    }

    fn vm(&self, name: VmName) -> &Vm {
        &self.vms[self.index(name)]
    }

    fn vm_mut(&mut self, name: VmName) -> &mut Vm {
        let index = self.index(name);
        &mut self.vms[index]
    }

    /// Place of a VM.
    fn index(&self, name: VmName) -> usize {
        let found = self.vms.iter().position(|vm| vm.name() == name);
        found.unwrap_or_else(|| panic!("there is no {name} VM in this proxy"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let violations = self.take_violations();
        assert!(violations.is_empty(), "a guest broke the rules: {violations:#?}");
        let traps = self.take_traps();
        assert!(traps.is_empty(), "a guest trapped: {traps:#?}");
    }
}
