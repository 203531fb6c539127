use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::Artifacts;
use crate::process::Process;

const START_LIMIT: Duration = Duration::from_secs(30);
/// The user that it runs as where the harness runs as root, as which it refuses to run:
/// nobody.
const NOBODY: u32 = 65534;

/// A PostgreSQL server of its own, that is gone when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    _process: Process,
    dir: TempDir,
}

impl Postgres {
    /// Starts it with the programs that `cargo xtask setup` has found, and waits until it
    /// answers.
    ///
    /// # Errors
    /// When there are none, or it does not start.
    pub async fn start(artifacts: &Artifacts) -> Result<Self> {
        let linked = artifacts.target().join("postgres");
        let bin = std::env::var_os("KYA_POSTGRES_BIN").map_or(linked, PathBuf::from);
        let bin = bin.canonicalize().context("there is no PostgreSQL: run `cargo xtask setup`")?;
        let dir = tempfile::Builder::new().prefix("kya-pg-").tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        if is_root() {
            chown(dir.path(), Some(NOBODY), Some(NOBODY))?;
            ensure!(is_open_to_all(&bin), "not every user may go to {}", bin.display());
        }
        let data = dir.path().join("data");
        let mut made = command(&bin.join("initdb"));
        made.arg("-D").arg(&data).args(["-U", "kya", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        let made = made.arg("--no-sync").output().context("cannot run initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut server = command(&bin.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(dir.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        let log = dir.path().join("log");
        let mut process = Process::spawn("PostgreSQL", &mut server, &log)?;
        process
            .wait_ready(START_LIMIT, async || {
                let mut ready = command(&bin.join("pg_isready"));
                let ready = ready.arg("-q").arg("-h").arg(dir.path()).status()?;
                Ok(ready.success().then_some(()))
            })
            .await?;
        Ok(Self { _process: process, dir })
    }

    /// What `--database-url` takes.
    pub fn url(&self) -> String {
        format!("postgres://kya@localhost/postgres?host={}", self.dir.path().display())
    }
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0)
}

fn is_open_to_all(path: &Path) -> bool {
    let open = |it: &Path| it.metadata().is_ok_and(|it| it.permissions().mode() & 0o001 != 0);
    path.ancestors().all(open)
}
