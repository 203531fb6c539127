//! Calls into a guest.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::{AsContextMut, Extern, Func, Instance, InstancePre, Store, Val};

use super::spent::Counter;
use super::{Context, Cost, Spent, Trap, VmName, VmState};
use crate::abi::ROOT_CONTEXT;
use crate::log::LogSource;
use crate::program::Program;

/// An instance of the filter.
pub(crate) struct Vm {
    store: Store<VmState>,
    instance: Option<Instance>,
    /// Exports that were looked for.
    exports: HashMap<&'static str, Option<Func>>,
    failed: bool,
    metered: bool,
    costliest: Option<Cost>,
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
        let mut vm = Self {
            store,
            instance: None,
            exports: HashMap::new(),
            failed: false,
            metered: program.metered(),
            costliest: None,
        };
        vm.state().counter = Counter::new(program.metered());
        vm.refuel();
        match pre.instantiate(&mut vm.store) {
            Ok(instance) => vm.instance = Some(instance),
            Err(error) => return Err(vm.trap("instantiation", &error)),
        }
        let memory = vm.instance.and_then(|it| it.get_export(&mut vm.store, "memory"));
        vm.state().memory = memory.and_then(Extern::into_memory);
        // A reactor has `_initialize`, a command `_start`; Envoy takes the first.
        let entry = if vm.export("_initialize").is_some() { "_initialize" } else { "_start" };
        vm.call(ROOT_CONTEXT, entry, &[])?;
        Ok(vm)
    }

    pub(crate) fn state(&mut self) -> &mut VmState {
        self.store.data_mut()
    }

    pub(crate) fn peek(&self) -> &VmState {
        self.store.data()
    }

    pub(crate) fn name(&self) -> VmName {
        self.peek().name
    }

    pub(crate) fn serial(&self) -> u32 {
        self.peek().serial
    }

    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// What all calls together have cost.
    pub(crate) fn spent(&self) -> &Spent {
        self.peek().counter.spent()
    }

    /// The call that has cost most.
    pub(crate) fn costliest(&self) -> Option<Cost> {
        self.costliest
    }

    pub(crate) fn forget_costs(&mut self) {
        self.costliest = None;
    }

    /// Size of the guest's memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.peek().memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    /// Makes the VM as if its guest had trapped.
    pub(crate) fn crash(&mut self) {
        self.failed = true;
        self.fail_streams();
    }

    /// Creates the root context, starts the VM and configures the plugin.
    /// `false` when the plugin refused.
    pub(crate) fn configure(&mut self) -> Result<bool, Trap> {
        let settings = Arc::clone(&self.peek().settings);
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
        export: &'static str,
        arguments: &[u32],
    ) -> Result<Option<u32>, Trap> {
        let answer = self.call_alone(context, export, arguments)?;
        self.after_call()?;
        Ok(answer)
    }

    /// As [`call`](Self::call), and leaves what is for afterwards to the caller.
    pub(crate) fn call_alone(
        &mut self,
        context: u32,
        export: &'static str,
        arguments: &[u32],
    ) -> Result<Option<u32>, Trap> {
        assert!(!self.failed, "{} has failed and cannot be called", self.name());
        self.state().stops = false;
        let Some(function) = self.export(export) else { return Ok(None) };
        let state = self.state();
        state.export = export;
        state.current = context;
        state.effective = None;
        self.refuel();
        let answer = call_guest(&mut self.store, function, arguments);
        self.count(export);
        answer.map_err(|error| self.trap(export, &error))
    }

    fn count(&mut self, export: &'static str) {
        if !self.metered {
            return;
        }
        let left = self.store.get_fuel().expect("the engine counts fuel");
        let fuel = self.peek().settings.fuel.saturating_sub(left);
        self.state().counter.fuel(export, fuel);
        if self.costliest.is_none_or(|cost| cost.fuel < fuel) {
            self.costliest = Some(Cost { export, fuel });
        }
    }

    fn export(&mut self, name: &'static str) -> Option<Func> {
        if let Some(found) = self.exports.get(name) {
            return *found;
        }
        let found = self.instance.and_then(|it| it.get_func(&mut self.store, name));
        self.exports.insert(name, found);
        found
    }

    fn refuel(&mut self) {
        if !self.metered {
            return;
        }
        let fuel = self.peek().settings.fuel;
        self.store.set_fuel(fuel).expect("the engine counts fuel");
    }

    fn trap(&mut self, export: &str, error: &wasmtime::Error) -> Trap {
        self.failed = true;
        let vm = self.name();
        let out_of_fuel = error.downcast_ref() == Some(&wasmtime::Trap::OutOfFuel);
        let mut message = format!("{error:#}");
        let process = self.peek().process.lock();
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
        Trap { vm, export: export.to_owned(), message, out_of_fuel }
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
