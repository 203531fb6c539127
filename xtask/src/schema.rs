//! `cargo xtask schema`: the JSON Schema of the plugin configuration, from the types
//! that read it.

use std::fs;

use anyhow::{Context, Result, ensure};
use kya_envoy::Artifacts;

use crate::command::{cargo, output};

const FILE: &str = "docs/plugin-config.schema.json";
const PRINT: [&str; 8] = [
    "run",
    "--quiet",
    "-p",
    "kya-filter",
    "--features",
    "schema",
    "--example",
    "plugin_config_schema",
];

/// Writes the file anew.
pub(crate) fn run(artifacts: &Artifacts) -> Result<()> {
    let path = artifacts.root().join(FILE);
    fs::write(&path, generated(artifacts)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Fails if the file is not what the types say.
pub(crate) fn check(artifacts: &Artifacts) -> Result<()> {
    let path = artifacts.root().join(FILE);
    let written = fs::read_to_string(&path).unwrap_or_default();
    ensure!(
        written == generated(artifacts)?,
        "{FILE} is not up to date: run `cargo xtask schema` and commit it"
    );
    Ok(())
}

fn generated(artifacts: &Artifacts) -> Result<String> {
    output(&mut cargo(artifacts, &PRINT))
}
