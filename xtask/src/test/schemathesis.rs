//! The HTTP API against what it says of itself: Schemathesis makes requests of the OpenAPI
//! document, right ones and wrong ones, and compares each answer with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use kya_envoy::{Artifacts, ControlPlane, Downed, RunDir};
use tokio::runtime::Runtime;

use crate::command;
use crate::python;

/// Its packages, pinned.
const REQUIREMENTS: &str = include_str!("../../python/schemathesis.txt");
/// What it is told about the API, among that which checks it leaves out.
const CONFIGURATION: &str = "xtask/python/schemathesis.toml";
/// Requests that it makes up for each operation, besides those of every bound there is.
const EXAMPLES: &str = "20";
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Asks a control plane of its own, with the admin key.
pub(super) fn run(artifacts: &Artifacts) -> Result<()> {
    let venv = artifacts.target().join("schemathesis");
    let python = python::packages(&venv, "Schemathesis", REQUIREMENTS)?;
    let dir = RunDir::new(artifacts)?;
    let runtime = Runtime::new()?;
    let settled = Downed::new(artifacts, dir.path())?;
    let plane = runtime.block_on(settled.start())?;
    command::run_within(asks(artifacts, python, &plane, dir.path()), LIMIT)?;
    runtime.block_on(plane.stop())?;
    dir.remove()
}

fn asks(artifacts: &Artifacts, python: PathBuf, plane: &ControlPlane, dir: &Path) -> Command {
    let mut command = Command::new(python.with_file_name("schemathesis"));
    command.arg("--config-file").arg(artifacts.root().join(CONFIGURATION));
    command.arg("run").arg(format!("{}/openapi.json", plane.api().base()));
    // Naming checks here would put those back that the file leaves out.
    command.args(["--phases", "coverage,fuzzing"]);
    command.args(["--max-examples", EXAMPLES, "--continue-on-failure", "--no-color"]);
    // Its own notes go where they are in nobody's way.
    command.current_dir(dir);
    command.env("KYA_TOKEN", plane.api().admin_key());
    command
}
