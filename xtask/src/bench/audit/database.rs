//! A PostgreSQL server of the benchmark: as it is configured by default, with its data
//! written through to the disk, and gone when it is dropped.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kya_envoy::{Artifacts, Process};
use tempfile::TempDir;

use crate::command::output;
use crate::postgres;

/// As whom it runs where this runs as root, as which it refuses to run: nobody.
const NOBODY: u32 = 65534;
const START: Duration = Duration::from_secs(30);

/// A running server with one empty database.
#[derive(Debug)]
pub(super) struct Database {
    // In the order in which they are to go.
    process: Process,
    dir: TempDir,
}

impl Database {
    pub(super) async fn start(artifacts: &Artifacts) -> Result<Self> {
        postgres::ensure(artifacts)?;
        let linked = artifacts.target().join("postgres").canonicalize()?;
        let dir = tempfile::Builder::new().prefix("kya-pg-").tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let bin = match is_root()? {
            true => {
                chown(dir.path(), Some(NOBODY), Some(NOBODY))?;
                reachable(&linked, dir.path())?
            }
            false => linked,
        };
        let data = dir.path().join("data");
        let mut initdb = command(&bin.join("initdb"))?;
        initdb.arg("-D").arg(&data);
        initdb.args(["-U", "kya", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        output(&mut initdb)?;
        let mut server = command(&bin.join("postgres"))?;
        server.arg("-D").arg(&data).arg("-k").arg(dir.path());
        server.args(["-c", "listen_addresses="]);
        let log = dir.path().join("log");
        let mut process = Process::spawn("PostgreSQL", &mut server, &log)?;
        let ready = async || {
            let mut ready = command(&bin.join("pg_isready"))?;
            ready.arg("-q").arg("-h").arg(dir.path()).args(["-U", "kya", "-d", "postgres"]);
            Ok(ready.status()?.success().then_some(()))
        };
        process.wait_ready(START, ready).await?;
        Ok(Self { process, dir })
    }

    /// What a control plane takes.
    pub(super) fn url(&self) -> String {
        format!("postgres://kya@localhost/postgres?host={}", self.dir.path().display())
    }

    pub(super) fn stop(self) -> Result<()> {
        self.process.kill()?;
        Ok(self.dir.close()?)
    }
}

/// Whether this runs as root.
fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

fn command(program: &Path) -> Result<Command> {
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C");
    if is_root()? {
        command.uid(NOBODY).gid(NOBODY);
    }
    Ok(command)
}

/// The programs where everybody may go, with what they need beside their folder; a copy of
/// a Python package that not everybody may read.
fn reachable(bin: &Path, to: &Path) -> Result<PathBuf> {
    let open = |folder: &Path| folder.metadata().map(|it| it.permissions().mode() & 0o001 != 0);
    let mut all_open = true;
    for folder in bin.ancestors() {
        all_open &= open(folder)?;
    }
    if all_open {
        return Ok(bin.to_owned());
    }
    let package = bin.ancestors().find(|folder| folder.ends_with("site-packages"));
    let all = package.or(bin.parent()).context("the programs have a folder")?;
    let copy = to.join("programs");
    let copied = Command::new("cp").arg("-r").arg(all).arg(&copy).status()?;
    ensure!(copied.success(), "cannot copy {}", all.display());
    Ok(copy.join(bin.strip_prefix(all)?))
}
