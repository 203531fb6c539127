//! Faults: host calls that go wrong because the test wants it.

use thiserror::Error;

use crate::abi::Status;
use crate::hostcalls;
use crate::vm::VmName;

/// A host call that goes wrong: which, where, when, and how.
///
/// A fault that strikes takes the place of the call: nothing of what the call
/// does happens, and the guest gets the status, or traps. Given nothing else, it
/// strikes every call of that name in every VM with [`Status::InternalFailure`].
///
/// ```
/// use kya_host_tests::{Fault, VmName, abi::Status};
///
/// // The third read of shared data in worker 1 fails, once.
/// let fault = Fault::on("proxy_get_shared_data")
///     .in_vm(VmName::Worker(1))
///     .nth(3)
///     .status(Status::InternalFailure);
/// # let _ = fault;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a fault does nothing until it is injected"]
pub struct Fault {
    call: String,
    vm: Option<VmName>,
    when: When,
    effect: Effect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// After this many calls that go well; once.
    After(u64),
}

/// What a fault does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Answer(u32),
    Trap,
}

/// There is no host call of this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the host has no call {0:?}; `host_calls` lists those it has")]
pub struct UnknownHostCall(pub String);

/// The names of all host calls that can fail: `proxy_…` of the ABI, and those of
/// WASI by their bare names, such as `random_get`.
pub fn host_calls() -> impl Iterator<Item = &'static str> {
    hostcalls::names()
}

impl Fault {
    /// A fault of this host call.
    pub fn on(call: &str) -> Self {
        Self {
            call: call.to_owned(),
            vm: None,
            when: When::Always,
            effect: Effect::Answer(Status::InternalFailure as u32),
        }
    }

    /// Only in this VM, its replacements included.
    pub fn in_vm(mut self, vm: VmName) -> Self {
        self.vm = Some(vm);
        self
    }

    /// At the `n`th call from now on, counted from 1, and not again.
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn nth(mut self, n: u64) -> Self {
        self.when = When::After(n.checked_sub(1).expect("calls are counted from 1"));
        self
    }

    /// At every call from now on.
    pub fn always(mut self) -> Self {
        self.when = When::Always;
        self
    }

    /// The call answers this status.
    pub fn status(self, status: Status) -> Self {
        self.number(status as u32)
    }

    /// The call answers this number, which need not be one that the ABI knows.
    /// Calls of WASI answer error numbers of their own.
    pub fn number(mut self, number: u32) -> Self {
        self.effect = Effect::Answer(number);
        self
    }

    /// The guest traps in the call.
    pub fn trap(mut self) -> Self {
        self.effect = Effect::Trap;
        self
    }

    /// The fault, if the host has such a call.
    pub(crate) fn checked(self) -> Result<Self, UnknownHostCall> {
        if hostcalls::names().any(|name| name == self.call) {
            Ok(self)
        } else {
            Err(UnknownHostCall(self.call))
        }
    }
}

/// The faults of a process, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Those that have not struck, or will strike again.
    pub(crate) fn pending(&self) -> Vec<Fault> {
        self.0.clone()
    }

    /// Counts one call, and says what the oldest fault that is due does to it.
    pub(crate) fn strike(&mut self, call: &str, vm: VmName) -> Option<Effect> {
        let mut struck = None;
        for (at, fault) in self.0.iter_mut().enumerate() {
            if fault.call != call || fault.vm.is_some_and(|it| it != vm) {
                continue;
            }
            match &mut fault.when {
                When::After(left) if *left > 0 => *left -= 1,
                _ if struck.is_none() => struck = Some(at),
                // An older fault has this call; this one waits for the next.
                _ => {}
            }
        }
        let at = struck?;
        let effect = self.0[at].effect;
        if self.0[at].when != When::Always {
            drop(self.0.remove(at));
        }
        Some(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_strikes_once_and_in_its_vm_alone() {
        let mut faults = Faults::default();
        faults.add(Fault::on("proxy_log").in_vm(VmName::Main).nth(2).trap());
        let mut strikes = |vm| faults.strike("proxy_log", vm);
        assert_eq!(strikes(VmName::Main), None);
        assert_eq!(strikes(VmName::Worker(0)), None);
        assert_eq!(strikes(VmName::Main), Some(Effect::Trap));
        assert_eq!(strikes(VmName::Main), None);
        assert!(faults.pending().is_empty());
    }

    #[test]
    fn of_two_faults_of_one_call_the_older_comes_first() {
        let mut faults = Faults::default();
        faults.add(Fault::on("proxy_log").nth(1).number(7));
        faults.add(Fault::on("proxy_log").nth(1).number(8));
        let mut strikes = || faults.strike("proxy_log", VmName::Main);
        assert_eq!(strikes(), Some(Effect::Answer(7)));
        assert_eq!(strikes(), Some(Effect::Answer(8)));
        assert_eq!(strikes(), None);
    }

    #[test]
    fn only_calls_that_the_host_has_can_fail() {
        assert!(host_calls().all(|name| Fault::on(name).checked().is_ok()));
        assert!(host_calls().count() > 40);
        let unknown = Fault::on("proxy_get_shared_dato").checked().unwrap_err();
        assert_eq!(unknown, UnknownHostCall("proxy_get_shared_dato".to_owned()));
    }
}
