//! Redis, with which the filter is compared. One that is installed is taken, and else
//! Debian's package is installed where that is allowed.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use kya_envoy::{Process, reserve_port};

use crate::command::output;
use crate::debian;

/// Names another one.
const VARIABLE: &str = "KYA_REDIS_SERVER";
/// The program, and the package of Debian.
const NAME: &str = "redis-server";

const START_LIMIT: Duration = Duration::from_secs(20);

/// A Redis that runs until this is dropped. It keeps nothing.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Process,
    address: String,
}

impl Redis {
    /// Starts one on a port of this machine, which takes so many connections. Its files are
    /// in `dir`.
    pub(crate) async fn start(program: &Path, dir: &Path, connections: usize) -> Result<Self> {
        let (port, most) = (reserve_port()?.to_string(), connections.to_string());
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &port, "--maxclients", &most]);
        command.args(["--save", "", "--appendonly", "no"]).current_dir(dir);
        let mut process = Process::spawn("Redis", &mut command, &dir.join("redis.log"))?;
        let address = format!("127.0.0.1:{port}");
        process
            .wait_ready(START_LIMIT, async || Ok(TcpStream::connect(&address).ok().map(drop)))
            .await?;
        Ok(Self { process, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

/// Finds or installs one. Returns the program and its version.
pub(crate) fn ensure() -> Result<(PathBuf, String)> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        let program = PathBuf::from(named);
        let version = version(&program).with_context(|| format!("unset {VARIABLE}"))?;
        return Ok((program, version));
    }
    if let Some(found) = installed() {
        return Ok(found);
    }
    let help = format!(
        "install Redis (Debian: apt-get install {NAME}), or name its program by {VARIABLE}"
    );
    debian::install(NAME, "Redis", &help)?;
    installed().context(help)
}

/// The first on the path that says its version.
fn installed() -> Option<(PathBuf, String)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).filter(|place| place.is_absolute());
    let mut programs = places.map(|place| place.join(NAME)).filter(|program| program.is_file());
    programs.find_map(|program| version(&program).ok().map(|version| (program, version)))
}

fn version(program: &Path) -> Result<String> {
    let said = output(Command::new(program).arg("--version"))?;
    read_version(&said)
        .with_context(|| format!("{} is no Redis: {}", program.display(), said.trim()))
}

/// The number in what `redis-server --version` prints.
fn read_version(said: &str) -> Option<String> {
    let rest =
        said.strip_prefix("Redis server ").or_else(|| said.strip_prefix("Valkey server "))?;
    let version = rest.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_server_says() {
        let debian = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1\n";
        assert_eq!(read_version(debian).as_deref(), Some("7.0.15"));
        assert_eq!(read_version("nginx version: nginx/1.26"), None);
    }

    #[test]
    fn what_is_no_redis_is_refused_by_what_it_says() {
        let error = format!("{:#}", version(Path::new("true")).unwrap_err());
        assert!(error.contains("is no Redis"), "{error}");
    }
}
