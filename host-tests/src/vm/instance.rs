//! Calls into a guest.

use std::rc::Rc;

use thiserror::Error;
use wasmtime::{AsContextMut, Func, Instance, InstancePre, Store, Val};

use super::{AfterCall, Context, VmName, VmState};
use crate::abi::ROOT_CONTEXT;
use crate::log::LogSource;
use crate::program::Program;

/// A guest trapped: it panicked, ran out of fuel, or broke a rule of
/// WebAssembly. Its VM is failed from then on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{vm} trapped in {export}: {message}")]
pub struct Trap {
    /// Whose guest.
    pub vm: VmName,
    /// The export that the host had called.
    pub export: String,
    /// What wasmtime says, and what the guest last wrote to standard error.
    pub message: String,
}

/// An instance of the filter.
pub(crate) struct Vm {
    store: Store<VmState>,
    instance: Option<Instance>,
    failed: bool,
    fuel_spent: u64,
}

impl Vm {
    /// Instantiates the filter and starts it, up to but without a root context.
    pub(crate) fn start(
        program: &Program,
        pre: &InstancePre<VmState>,
        state: VmState,
    ) -> Result<Self, Trap> {
        let mut store = Store::new(program.engine(), state);
        store.limiter(|state| &mut state.limits);
        let mut vm = Self { store, instance: None, failed: false, fuel_spent: 0 };
        vm.refuel();
        match pre.instantiate(&mut vm.store) {
            Ok(instance) => vm.instance = Some(instance),
            Err(error) => return Err(vm.fail("instantiation", &error)),
        }
        // A reactor has `_initialize`, a command `_start`; Envoy takes the first.
        let entry = if vm.has("_initialize") { "_initialize" } else { "_start" };
        vm.call(ROOT_CONTEXT, entry, &[])?;
        Ok(vm)
    }

    pub(crate) fn state(&mut self) -> &mut VmState {
        self.store.data_mut()
    }

    pub(crate) fn name(&self) -> VmName {
        self.store.data().name
    }

    pub(crate) fn serial(&self) -> u32 {
        self.store.data().serial
    }

    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// What all calls together have cost.
    pub(crate) fn fuel_spent(&self) -> u64 {
        self.fuel_spent
    }

    /// Makes the VM as if its guest had trapped.
    pub(crate) fn crash(&mut self) {
        self.failed = true;
    }

    /// Creates the root context, starts the VM and configures the plugin.
    /// `false` when the plugin refused.
    pub(crate) fn configure(&mut self) -> Result<bool, Trap> {
        let settings = Rc::clone(&self.store.data().settings);
        self.state().contexts.insert(ROOT_CONTEXT, Context::Root);
        self.call(ROOT_CONTEXT, "proxy_on_context_create", &[ROOT_CONTEXT, 0])?;
        let started = self.call(
            ROOT_CONTEXT,
            "proxy_on_vm_start",
            &[ROOT_CONTEXT, length(&settings.vm_configuration)],
        )?;
        if started == Some(0) {
            return Ok(false);
        }
        self.state().configuring = true;
        let configured = self.call(
            ROOT_CONTEXT,
            "proxy_on_configure",
            &[ROOT_CONTEXT, length(&settings.plugin_configuration)],
        );
        self.state().configuring = false;
        Ok(configured? != Some(0))
    }

    /// Calls an export on behalf of a context; an export that the guest does not
    /// have is skipped. What the call left for afterwards is done before this
    /// returns.
    pub(crate) fn call(
        &mut self,
        context: u32,
        export: &str,
        arguments: &[u32],
    ) -> Result<Option<u32>, Trap> {
        let answer = self.call_once(context, export, arguments)?;
        while let Some(action) = self.state().after_call.pop_front() {
            match action {
                AfterCall::GrpcClose { context, id, grpc_status } => {
                    self.state().grpc_status = (grpc_status, String::new());
                    self.call_once(context, "proxy_on_grpc_close", &[context, id, grpc_status])?;
                }
            }
        }
        Ok(answer)
    }

    fn call_once(
        &mut self,
        context: u32,
        export: &str,
        arguments: &[u32],
    ) -> Result<Option<u32>, Trap> {
        assert!(!self.failed, "{} has failed and cannot be called", self.name());
        let function = self.instance.and_then(|it| it.get_func(&mut self.store, export));
        let Some(function) = function else { return Ok(None) };
        let state = self.state();
        state.current = context;
        state.effective = None;
        self.refuel();
        let answer = call_guest(&mut self.store, function, arguments);
        let left = self.store.get_fuel().expect("the engine counts fuel");
        self.fuel_spent += self.store.data().settings.fuel.saturating_sub(left);
        answer.map_err(|error| self.fail(export, &error))
    }

    fn has(&mut self, export: &str) -> bool {
        self.instance.is_some_and(|it| it.get_func(&mut self.store, export).is_some())
    }

    fn refuel(&mut self) {
        let fuel = self.store.data().settings.fuel;
        self.store.set_fuel(fuel).expect("the engine counts fuel");
    }

    fn fail(&mut self, export: &str, error: &wasmtime::Error) -> Trap {
        self.failed = true;
        let vm = self.name();
        let mut message = format!("{error:#}");
        let process = self.store.data().process.borrow();
        let said = process.log.iter().rev().take_while(|line| line.vm == vm);
        let said: Vec<_> = said
            .filter(|line| line.source == LogSource::Stderr)
            .take(5)
            .map(|line| line.text.as_str())
            .collect();
        for line in said.into_iter().rev() {
            message.push_str("\n  ");
            message.push_str(line);
        }
        Trap { vm, export: export.to_owned(), message }
    }
}

/// Calls a function of the guest with numbers, for a number or nothing. Host
/// calls use it too, when they have to call back.
pub(crate) fn call_guest(
    mut store: impl AsContextMut,
    function: Func,
    arguments: &[u32],
) -> wasmtime::Result<Option<u32>> {
    let arguments: Vec<_> = arguments.iter().map(|n| Val::I32(n.cast_signed())).collect();
    let mut results = vec![Val::I32(0); function.ty(&store).results().len()];
    function.call(&mut store, &arguments, &mut results)?;
    Ok(results.first().and_then(Val::i32).map(i32::cast_unsigned))
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a configuration of less than 4 GiB")
}
