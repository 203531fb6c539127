//! The functions that a guest imports: module `env` by the proxy-wasm ABI 0.2.1,
//! module `wasi_snapshot_preview1` as far as Envoy has it.
//!
//! One file holds the calls of one kind. Each call is a function of a
//! [`Guest`](guest::Guest) and its arguments, and answers a status.

mod buffers;
mod callouts;
mod general;
mod grpc;
mod guest;
mod maps;
mod properties;
mod shared;
mod stats;
mod streams;
mod wasi;

use wasmtime::Linker;

use crate::profile::Profile;
use crate::vm::VmState;

/// Declares the calls of one kind of module `env`: their names, and which function
/// answers each. Makes `NAMES` and `link`.
macro_rules! env_calls {
    ($($name:literal => $function:path, ($($argument:ident: $kind:ty),* $(,)?);)+) => {
        pub(super) const NAMES: &[&str] = &[$($name),+];

        pub(super) fn link(
            linker: &mut ::wasmtime::Linker<$crate::vm::VmState>,
            profile: $crate::profile::Profile,
        ) -> ::wasmtime::Result<()> {
            $(if profile.knows($name) {
                linker.func_wrap(
                    "env",
                    $name,
                    |caller: ::wasmtime::Caller<'_, $crate::vm::VmState>, $($argument: $kind),*| {
                        $crate::hostcalls::guest::answer(caller, $name, |guest| {
                            $function(guest, $($argument),*)
                        })
                    },
                )?;
            })+
            Ok(())
        }
    };
}
use env_calls;

/// Binds everything that the host has.
pub(crate) fn link(linker: &mut Linker<VmState>, profile: Profile) -> wasmtime::Result<()> {
    general::link(linker, profile)?;
    properties::link(linker, profile)?;
    buffers::link(linker, profile)?;
    maps::link(linker, profile)?;
    streams::link(linker, profile)?;
    callouts::link(linker, profile)?;
    shared::link(linker, profile)?;
    stats::link(linker, profile)?;
    grpc::link(linker, profile)?;
    wasi::link(linker)
}

/// The name of every call that the host has.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    [
        general::NAMES,
        properties::NAMES,
        buffers::NAMES,
        maps::NAMES,
        streams::NAMES,
        callouts::NAMES,
        shared::NAMES,
        stats::NAMES,
        grpc::NAMES,
        wasi::NAMES,
    ]
    .into_iter()
    .flatten()
    .copied()
}
