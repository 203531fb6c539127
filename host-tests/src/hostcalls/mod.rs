//! The functions that a guest imports: module `env` by the proxy-wasm ABI 0.2.1,
//! module `wasi_snapshot_preview1` as far as Envoy has it.
//!
//! One file holds the calls of one kind. Each call is a function of a
//! [`Guest`](guest::Guest) and its arguments, and answers a status.

mod general;
mod grpc;
mod guest;
mod http;
mod shared;
mod stats;
mod wasi;

use wasmtime::Linker;

use crate::vm::VmState;

/// Binds one function of the ABI: `env_call!(linker, "name", function, (argument: type, …))`.
macro_rules! env_call {
    ($linker:ident, $name:literal, $function:path, ($($argument:ident: $kind:ty),* $(,)?)) => {
        $linker.func_wrap(
            "env",
            $name,
            |caller: ::wasmtime::Caller<'_, $crate::vm::VmState>, $($argument: $kind),*| {
                $crate::hostcalls::guest::answer(caller, |guest| $function(guest, $($argument),*))
            },
        )?;
    };
}
use env_call;

/// Binds everything that the host has.
pub(crate) fn link(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    general::link(linker)?;
    http::link(linker)?;
    shared::link(linker)?;
    stats::link(linker)?;
    grpc::link(linker)?;
    wasi::link(linker)
}
