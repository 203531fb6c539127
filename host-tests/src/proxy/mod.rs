//! A simulated Envoy process.

mod builder;
mod outcome;
mod requests;
mod schedule;
mod streams;

pub use builder::{FailurePolicy, ProxyBuilder, StartError};
pub use outcome::{LocalResponse, Outcome};
pub use requests::InFlight;

use std::collections::BTreeSet;
use std::rc::Rc;

use wasmtime::InstancePre;

use crate::log::LogLine;
use crate::process::SharedProcess;
use crate::program::Program;
use crate::shared_data::SharedData;
use crate::vm::{Trap, Vm, VmName, VmSettings, VmState};

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
    settings: Rc<VmSettings>,
    policy: FailurePolicy,
    /// The main VM, then the workers.
    vms: Vec<Vm>,
    /// In which VMs have their turn when several could.
    order: Vec<VmName>,
    paused: BTreeSet<VmName>,
    traps: Vec<Trap>,
    next_serial: u32,
    next_context: u32,
}

impl Proxy {
    /// Starts to describe a process that runs `program`.
    pub fn builder(program: &Program) -> ProxyBuilder {
        ProxyBuilder::new(program)
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.vms.len() - 1
    }

    /// Every VM: the main one and the workers.
    pub fn vms(&self) -> Vec<VmName> {
        self.vms.iter().map(Vm::name).collect()
    }

    /// True when the VM trapped or was crashed, and has not been replaced.
    pub fn failed(&self, vm: VmName) -> bool {
        self.vm(vm).failed()
    }

    /// Fuel that all calls into a VM have cost: about one unit an instruction, and
    /// the same in every run.
    pub fn fuel_spent(&self, vm: VmName) -> u64 {
        self.vm(vm).fuel_spent()
    }

    /// Makes a VM as if its guest had trapped. Its streams stay open, and silent,
    /// until it is replaced.
    pub fn crash(&mut self, vm: VmName) {
        self.vm_mut(vm).crash();
    }

    /// Drops a VM, with its streams and the wake-ups it is owed, and starts
    /// another in its place.
    ///
    /// # Errors
    /// [`StartError`], when the new one does not start; the old one is then
    /// still there.
    pub fn replace(&mut self, vm: VmName) -> Result<(), StartError> {
        let fresh = self.start_vm(vm)?;
        let old = std::mem::replace(self.vm_mut(vm), fresh);
        self.forget(&old);
        Ok(())
    }

    /// Holds back ticks and wake-ups of a VM, as if its thread were stuck.
    pub fn pause(&mut self, vm: VmName) {
        self.paused.insert(vm);
    }

    /// Lets a paused VM go on.
    pub fn resume(&mut self, vm: VmName) {
        self.paused.remove(&vm);
    }

    /// Takes the traps that happened since the last time.
    pub fn take_traps(&mut self) -> Vec<Trap> {
        std::mem::take(&mut self.traps)
    }

    /// Takes what guests did that no filter may do, since the last time.
    pub fn take_violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.process.borrow_mut().violations)
    }

    /// What guests wrote so far.
    pub fn log(&self) -> Vec<LogLine> {
        self.process.borrow().log.clone()
    }

    /// A copy of the shared data.
    pub fn shared_data(&self) -> SharedData {
        self.process.borrow().shared_data.clone()
    }

    /// Writes shared data as another plugin of the same process could.
    pub fn overwrite_shared_data(&mut self, key: &[u8], value: &[u8]) {
        let written = self.process.borrow_mut().shared_data.set(key, value, 0);
        written.expect("an unconditional write");
    }

    /// Value of a counter or gauge, or number of samples of a histogram; 0 when
    /// no VM has defined it.
    pub fn metric(&self, name: &str) -> u64 {
        self.process.borrow().metrics.by_name(name).unwrap_or_default()
    }

    /// Every stat that a VM has defined, with its value.
    pub fn metrics(&self) -> Vec<(String, u64)> {
        self.process.borrow().metrics.all().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn vm(&self, name: VmName) -> &Vm {
        &self.vms[index(name)]
    }

    fn vm_mut(&mut self, name: VmName) -> &mut Vm {
        &mut self.vms[index(name)]
    }

    /// Calls a guest; a trap is remembered and comes to `None`.
    fn call(&mut self, vm: VmName, context: u32, export: &str, arguments: &[u32]) -> Option<u32> {
        match self.vm_mut(vm).call(context, export, arguments) {
            Ok(answer) => answer,
            Err(trap) => {
                self.traps.push(trap);
                None
            }
        }
    }

    /// A VM is no more.
    fn forget(&mut self, vm: &Vm) {
        let serial = vm.serial();
        let mut process = self.process.borrow_mut();
        process.grpc.remove_all_of(serial);
        process.queues.forget_wakes_of(serial);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let violations = self.take_violations();
        assert!(violations.is_empty(), "a guest broke the rules: {violations:#?}");
        assert!(self.traps.is_empty(), "a guest trapped: {:#?}", self.traps);
    }
}

/// Place of a VM in `Proxy::vms`.
fn index(name: VmName) -> usize {
    match name {
        VmName::Main => 0,
        VmName::Worker(worker) => worker + 1,
        VmName::Canary => panic!("the canary is gone once the proxy has started"),
    }
}
