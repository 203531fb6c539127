//! Redis, with which the filter is compared. One that is installed is taken, and else
//! Debian's package is installed where that is allowed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::output;
use crate::debian;

/// Names another one.
const VARIABLE: &str = "KYA_REDIS_SERVER";
/// The program, and the package of Debian.
const NAME: &str = "redis-server";

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
