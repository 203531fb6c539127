//! A compiled filter.

use std::path::{Path, PathBuf};

use thiserror::Error;
use wasmtime::{Config, Engine, InstancePre, Linker, Module};

use crate::hostcalls;
use crate::vm::VmState;

/// A filter, compiled and ready to be instantiated. Compile once a process:
/// it takes seconds, instantiating takes microseconds.
#[derive(Clone)]
pub struct Program {
    engine: Engine,
    module: Module,
}

/// Why a file is not a program.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not a WebAssembly module.
    #[error("not a WebAssembly module: {0}")]
    NotWasm(String),
    /// The module imports something in a form that the host does not have.
    #[error("the module cannot be linked: {0}")]
    NotLinkable(String),
}

impl Program {
    /// Compiles a binary module.
    ///
    /// # Errors
    /// [`ProgramError::NotWasm`].
    pub fn from_binary(wasm: &[u8]) -> Result<Self, ProgramError> {
        let mut config = Config::new();
        // Fuel bounds every call into a guest, by the same count in every run.
        config.consume_fuel(true);
        let not_wasm = |error: wasmtime::Error| ProgramError::NotWasm(format!("{error:#}"));
        let engine = Engine::new(&config).map_err(not_wasm)?;
        let module = Module::new(&engine, wasm).map_err(not_wasm)?;
        Ok(Self { engine, module })
    }

    /// Compiles a file.
    ///
    /// # Errors
    /// [`ProgramError::Unreadable`] and [`ProgramError::NotWasm`].
    pub fn from_file(path: &Path) -> Result<Self, ProgramError> {
        let wasm = std::fs::read(path)
            .map_err(|source| ProgramError::Unreadable { path: path.to_owned(), source })?;
        Self::from_binary(&wasm)
    }

    /// The imports of the module, as `module.name`.
    pub fn imports(&self) -> Vec<String> {
        self.module
            .imports()
            .map(|import| format!("{}.{}", import.module(), import.name()))
            .collect()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Binds the imports to the host. Those that the host does not have trap
    /// when they are called.
    pub(crate) fn link(&self) -> Result<InstancePre<VmState>, ProgramError> {
        let not_linkable = |error: wasmtime::Error| ProgramError::NotLinkable(format!("{error:#}"));
        let mut linker = Linker::new(&self.engine);
        hostcalls::link(&mut linker).map_err(not_linkable)?;
        linker.define_unknown_imports_as_traps(&self.module).map_err(not_linkable)?;
        linker.instantiate_pre(&self.module).map_err(not_linkable)
    }
}
