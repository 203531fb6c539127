//! A compiled filter.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use thiserror::Error;
use wasmtime::{Config, Engine, InstancePre, Linker, Module};

use crate::hostcalls;
use crate::profile::Profile;
use crate::vm::VmState;

/// A filter, compiled and ready to be instantiated. Compile once a process and
/// share it: compiling takes seconds, a clone nothing, and starting a proxy from it
/// well under a millisecond.
#[derive(Clone)]
pub struct Program(Arc<Compiled>);

struct Compiled {
    engine: Engine,
    /// Whether calls into a guest are counted, and bounded by what they may cost.
    metered: bool,
    module: Module,
    /// Bound to the host, once it was asked for.
    envoy: OnceLock<InstancePre<VmState>>,
    nginx: OnceLock<InstancePre<VmState>>,
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
        Self::compile(wasm, true)
    }

    /// Compiles a binary module for whoever measures real time: counting fuel would
    /// be a part of what is measured. Nothing bounds a call into such a guest, and
    /// what calls cost is reported as nothing.
    ///
    /// # Errors
    /// [`ProgramError::NotWasm`].
    pub fn unmetered(wasm: &[u8]) -> Result<Self, ProgramError> {
        Self::compile(wasm, false)
    }

    fn compile(wasm: &[u8], metered: bool) -> Result<Self, ProgramError> {
        let mut config = Config::new();
        // Fuel bounds every call into a guest, by the same count in every run.
        config.consume_fuel(metered);
        let not_wasm = |error: wasmtime::Error| ProgramError::NotWasm(format!("{error:#}"));
        let engine = Engine::new(&config).map_err(not_wasm)?;
        let module = Module::new(&engine, wasm).map_err(not_wasm)?;
        let (envoy, nginx) = (OnceLock::new(), OnceLock::new());
        Ok(Self(Arc::new(Compiled { engine, metered, module, envoy, nginx })))
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
        self.0
            .module
            .imports()
            .map(|import| format!("{}.{}", import.module(), import.name()))
            .collect()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn metered(&self) -> bool {
        self.0.metered
    }

    /// Binds the imports to the host. In Envoy, those that the host does not have
    /// trap when they are called; nginx does not load such a module.
    pub(crate) fn link(&self, profile: Profile) -> Result<InstancePre<VmState>, ProgramError> {
        let bound = match profile {
            Profile::Envoy => &self.0.envoy,
            Profile::Nginx => &self.0.nginx,
        };
        if let Some(bound) = bound.get() {
            return Ok(bound.clone());
        }
        let not_linkable = |error: wasmtime::Error| ProgramError::NotLinkable(format!("{error:#}"));
        let mut linker = Linker::new(&self.0.engine);
        hostcalls::link(&mut linker, profile).map_err(not_linkable)?;
        if profile == Profile::Envoy {
            linker.define_unknown_imports_as_traps(&self.0.module).map_err(not_linkable)?;
        }
        let pre = linker.instantiate_pre(&self.0.module).map_err(not_linkable)?;
        Ok(bound.get_or_init(|| pre).clone())
    }
}
