//! How a call into a guest failed, and what it cost.

use thiserror::Error;

use super::VmName;

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
    /// True when the call needed more fuel than
    /// [`ProxyBuilder::fuel`](crate::ProxyBuilder::fuel) gives it.
    pub out_of_fuel: bool,
}

/// What one call into a guest has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// The export that was called.
    pub export: &'static str,
    /// Fuel: about one unit an instruction, and the same in every run.
    pub fuel: u64,
}
