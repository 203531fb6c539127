//! `cargo xtask schema`: what is committed and generated. By the types themselves: the JSON
//! Schema of the plugin configuration, and the OpenAPI document of the HTTP API. By the
//! published protocol: its messages and its service, in Rust.

use std::fs;

use anyhow::{Context, Result, ensure};
use kya_envoy::Artifacts;

use crate::command::{self, cargo, output};

/// Each file, and the arguments of `cargo run` that print it.
const FILES: [(&str, &[&str]); 2] = [
    (
        "docs/plugin-config.schema.json",
        &["-p", "kya-filter", "--features", "schema", "--example", "plugin_config_schema"],
    ),
    ("docs/openapi.json", &["-p", "kya-control-plane", "--example", "openapi"]),
];

/// Writes the files anew.
pub(crate) fn run(artifacts: &Artifacts) -> Result<()> {
    // First: the others are built with what it writes.
    command::run(&mut cargo(artifacts, &["run", "--quiet", "-p", "kya-proto"]))?;
    for (file, arguments) in FILES {
        let path = artifacts.root().join(file);
        fs::write(&path, generated(artifacts, arguments)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Fails if a file is not what the types say, of those that no test of their own crate
/// compares (it would need a feature that no test has).
pub(crate) fn check(artifacts: &Artifacts) -> Result<()> {
    let [(file, arguments), _] = FILES;
    let written = fs::read_to_string(artifacts.root().join(file)).unwrap_or_default();
    ensure!(
        written == generated(artifacts, arguments)?,
        "{file} is not up to date: run `cargo xtask schema` and commit it"
    );
    Ok(())
}

fn generated(artifacts: &Artifacts, arguments: &[&str]) -> Result<String> {
    output(&mut cargo(artifacts, &[&["run", "--quiet"], arguments].concat()))
}
