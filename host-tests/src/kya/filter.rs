//! The compiled filter.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::program::Program;

const BUILD: &str = "cargo build -p kya-filter --target wasm32-wasip1 --profile filter";

/// The filter, compiled once in each test process: from the file that
/// `KYA_FILTER_WASM` names, or from where the build puts it.
///
/// # Panics
/// When it is not there, with the command that builds it.
pub fn filter() -> &'static Program {
    static FILTER: OnceLock<Program> = OnceLock::new();
    FILTER.get_or_init(|| {
        Program::from_file(&path())
            .unwrap_or_else(|error| panic!("no filter to test: {error}\nbuild it with: {BUILD}"))
    })
}

/// The same for whoever measures real time; see [`Program::unmetered`].
///
/// # Panics
/// When it is not there, with the command that builds it.
pub fn unmetered_filter() -> Program {
    let path = path();
    let wasm = std::fs::read(&path).unwrap_or_else(|error| {
        panic!("no filter at {}: {error}\nbuild it with: {BUILD}", path.display())
    });
    Program::unmetered(&wasm).unwrap_or_else(|error| panic!("{error}"))
}

fn path() -> PathBuf {
    env::var_os("KYA_FILTER_WASM").map_or_else(built, PathBuf::from)
}

fn built() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or(workspace.join("target"), PathBuf::from);
    target.join("wasm32-wasip1/filter/kya_filter.wasm")
}
