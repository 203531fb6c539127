//! Lives of VMs: started, stuck, failed, replaced.

use std::sync::Arc;

use super::{Proxy, StartError};
use crate::process::SharedProcess;
use crate::profile::Profile;
use crate::vm::{Retirement, Vm, VmName, VmState};

impl Proxy {
    /// True when the VM trapped or was crashed, and has not been replaced.
    pub fn failed(&self, vm: VmName) -> bool {
        self.vm(vm).failed()
    }

    /// Makes a VM as if its guest had trapped: the requests in it are failed
    /// closed. Its streams and calls stay open, and silent, until it is replaced.
    pub fn crash(&mut self, vm: VmName) {
        self.vm_mut(vm).crash();
    }

    /// Drops a VM, with its requests, its streams and calls and the wake-ups it is
    /// owed, and starts another in its place.
    ///
    /// # Errors
    /// [`StartError`], when the new one does not start; the old one is then
    /// still there.
    pub fn replace(&mut self, vm: VmName) -> Result<(), StartError> {
        let fresh = self.start_vm(vm)?;
        let old = std::mem::replace(self.vm_mut(vm), fresh);
        self.bury(old);
        Ok(())
    }

    /// Tells the plugin in a VM that it is over, as when its listener is drained. It may
    /// ask for time; [`retired`](Self::retired) says when it needs no more.
    pub fn retire(&mut self, vm: VmName) {
        self.vm_mut(vm).retire();
    }

    /// True when the plugin in a VM was told that it is over, and needs no more time.
    pub fn retired(&self, vm: VmName) -> bool {
        self.vm(vm).peek().retirement == Retirement::Done
    }

    /// Drops every VM and starts them all anew with the same configuration, as when
    /// the plugin is taken out of the proxy and put back. With the last VM go the
    /// shared data and the queues; stats and clocks stay.
    ///
    /// # Errors
    /// [`StartError`]; there are no VMs then.
    pub fn restart(&mut self) -> Result<(), StartError> {
        let workers = self.workers();
        for old in std::mem::take(&mut self.vms) {
            self.bury(old);
        }
        {
            let mut process = self.process.lock();
            process.shared_data.wipe();
            process.queues.wipe();
        }
        self.paused.clear();
        self.boot(workers)
    }

    /// Holds back ticks and wake-ups of a VM, as if its thread were stuck.
    pub fn pause(&mut self, vm: VmName) {
        self.paused.insert(vm);
    }

    /// Lets a paused VM go on.
    pub fn resume(&mut self, vm: VmName) {
        self.paused.remove(&vm);
    }

    /// Starts every VM in order.
    pub(super) fn boot(&mut self, workers: usize) -> Result<(), StartError> {
        let workers = (0..workers).map(VmName::Worker);
        let names: Vec<_> = match self.settings.profile {
            Profile::Envoy => {
                let canary = self.start_vm(VmName::Canary)?;
                self.bury(canary);
                std::iter::once(VmName::Main).chain(workers).collect()
            }
            Profile::Nginx => workers.collect(),
        };
        for &name in &names {
            self.process.lock().clock.advance(self.start_gap);
            let vm = self.start_vm(name)?;
            self.vms.push(vm);
        }
        if self.order.len() != names.len() {
            self.order = names;
        }
        Ok(())
    }

    /// Starts and configures a VM, without giving it a place yet.
    fn start_vm(&mut self, name: VmName) -> Result<Vm, StartError> {
        let serial = self.next_serial;
        self.next_serial += 1;
        let state = VmState::new(
            name,
            serial,
            SharedProcess::clone(&self.process),
            Arc::clone(&self.settings),
        );
        let mut vm = Vm::start(&self.program, &self.pre, state)?;
        if vm.configure()? {
            return Ok(vm);
        }
        let log = self.log().into_iter().filter(|line| line.vm == name).collect();
        Err(StartError::Rejected { vm: name, log })
    }

    /// A VM is no more. What became of its requests can still be asked.
    fn bury(&mut self, mut vm: Vm) {
        vm.crash();
        let serial = vm.serial();
        let ended = std::mem::take(&mut vm.state().ended);
        self.departed.extend(ended.into_iter().map(|(context, it)| ((serial, context), it)));
        let mut process = self.process.lock();
        process.grpc.remove_all_of(serial);
        process.calls.remove_all_of(serial);
        process.queues.forget_wakes_of(serial);
    }
}
