//! Chromium, in which the tests of the control plane open the page of the API. One that is
//! installed is taken, and else Debian's package is installed where that is allowed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use kya_envoy::Artifacts;

use crate::command::{link, output};
use crate::debian;

/// Names another one.
const VARIABLE: &str = "KYA_CHROMIUM";
/// What it is called by those who package it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// The package of Debian.
const PACKAGE: &str = "chromium";

/// Finds or installs one, and leaves a link to it where the tests look. Returns its version.
pub(crate) fn ensure(artifacts: &Artifacts) -> Result<String> {
    let (program, version) = match std::env::var_os(VARIABLE) {
        Some(named) => {
            let program = std::fs::canonicalize(&named).with_context(|| {
                format!("{VARIABLE}: there is no program {}", PathBuf::from(&named).display())
            })?;
            let version = version(&program).with_context(|| format!("unset {VARIABLE}"))?;
            (program, version)
        }
        None => match installed() {
            Some(found) => found,
            None => packaged()?,
        },
    };
    link(&program, &artifacts.target().join("chromium"))?;
    Ok(version)
}

/// The first on the path that says its version.
fn installed() -> Option<(PathBuf, String)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<_> = std::env::split_paths(&path).filter(|it| it.is_absolute()).collect();
    let programs = NAMES.iter().flat_map(|name| places.iter().map(move |place| place.join(name)));
    let mut usable = programs.filter(|program| program.is_file());
    usable.find_map(|program| version(&program).ok().map(|version| (program, version)))
}

fn packaged() -> Result<(PathBuf, String)> {
    let help = format!(
        "install Chromium (Debian: apt-get install {PACKAGE}), or name its program by {VARIABLE}"
    );
    debian::install(PACKAGE, "Chromium", &help)?;
    installed().context(help)
}

fn version(program: &Path) -> Result<String> {
    let said = output(Command::new(program).arg("--version"))?;
    read_version(&said)
        .with_context(|| format!("{} is no Chromium: {}", program.display(), said.trim()))
}

/// The number in what `chromium --version` prints.
fn read_version(said: &str) -> Option<String> {
    if !said.contains("Chrom") {
        return None;
    }
    let is_number =
        |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    said.split_whitespace().find(is_number).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_whoever_built_it() {
        let debian = "Chromium 148.0.7778.167 built on Debian GNU/Linux 12 (bookworm)\n";
        assert_eq!(read_version(debian).as_deref(), Some("148.0.7778.167"));
        assert_eq!(read_version("Google Chrome 140.0.1.2 ").as_deref(), Some("140.0.1.2"));
        assert_eq!(read_version("Mozilla Firefox 150.0"), None);
        assert_eq!(read_version("Chromium of today"), None);
    }

    #[test]
    fn what_is_no_chromium_is_refused_by_what_it_says() {
        let error = format!("{:#}", version(Path::new("true")).unwrap_err());
        assert!(error.contains("is no Chromium"), "{error}");
    }
}
