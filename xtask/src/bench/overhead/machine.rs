//! On what it was measured.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use kya_envoy::Artifacts;
use serde::Serialize;

use crate::command::output;

/// The machine, and the versions of what ran on it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    /// The day, in UTC.
    pub(super) date: String,
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) memory_gib: f64,
    pub(super) kernel: String,
    /// Programs that ran or wanted to, in the minute before: what else the machine did.
    pub(super) load_before: f64,
    pub(super) kya: String,
    pub(super) commit: String,
    pub(super) envoy: String,
    pub(super) redis: String,
    pub(super) rustc: String,
    /// The crates of the `ext_authz` servers.
    pub(super) crates: Vec<String>,
}

impl Machine {
    /// This one.
    pub(super) fn here(artifacts: &Artifacts, redis: &str) -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let cpu = field(&cpuinfo, "model name").unwrap_or("unknown").to_owned();
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let memory = field(&meminfo, "MemTotal").and_then(|it| it.strip_suffix(" kB"));
        let memory_kib: f64 = memory.context("no MemTotal")?.parse()?;
        let load = fs::read_to_string("/proc/loadavg")?;
        let load = load.split(' ').next().context("no load")?.parse()?;
        let said = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            let said = output(command.args(arguments).current_dir(artifacts.root()));
            said.map(|said| said.trim().to_owned())
        };
        let envoy = said(&artifacts.envoy()?.display().to_string(), &["--version"])?;
        let lock = fs::read_to_string(artifacts.root().join("examples/ext-authz/Cargo.lock"))?;
        let named = ["tonic", "envoy-types", "redis", "regorus"];
        Ok(Self {
            date: said("date", &["-u", "+%F"])?,
            cpu,
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: (memory_kib / f64::from(1 << 20) * 10.0).round() / 10.0,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load_before: load,
            kya: env!("CARGO_PKG_VERSION").to_owned(),
            // Not every copy of the source is a clone.
            commit: said("git", &["describe", "--always", "--dirty"])
                .unwrap_or_else(|_| "unknown".to_owned()),
            envoy: envoy_version(&envoy).to_owned(),
            redis: redis.to_owned(),
            rustc: said("rustc", &["--version"])?,
            crates: named.iter().filter_map(|name| locked(&lock, name)).collect(),
        })
    }
}

/// The value after `name` and a colon.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

/// The version in `envoy version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`.
fn envoy_version(said: &str) -> &str {
    said.split('/')
        .find(|part| part.starts_with(|c: char| c.is_ascii_digit()) && part.contains('.'))
        .unwrap_or(said)
}

/// A crate of a lock file, with its version.
fn locked(lock: &str, name: &str) -> Option<String> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(format!("{name} {}", rest.split('"').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        let said = "/x/envoy  version: d7a5/1.40.0/Clean/RELEASE/BoringSSL";
        assert_eq!(envoy_version(said), "1.40.0");
        let lock = "[[package]]\nname = \"tonic-prost\"\nversion = \"1.0.0\"\n\n\
                    [[package]]\nname = \"tonic\"\nversion = \"0.14.9\"\n";
        assert_eq!(locked(lock, "tonic").as_deref(), Some("tonic 0.14.9"));
        assert_eq!(locked(lock, "redis"), None);
        assert_eq!(field("model name\t: A CPU\nother: b\n", "model name"), Some("A CPU"));
    }
}
