use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::Artifacts;
use crate::running::Running;

/// What would change who asks whom, if it were set where the harness runs.
const VARIABLES: [&str; 5] =
    ["KYA_SERVER", "KYA_TOKEN", "KYA_CA_FILE", "KYA_CLIENT_CERT", "KYA_CLIENT_KEY"];

/// `kya`, the real binary, in the hands of one operator.
#[derive(Clone)]
pub struct Cli {
    binary: PathBuf,
    server: String,
    key: String,
}

/// Does not show the key.
impl std::fmt::Debug for Cli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cli").field("server", &self.server).finish_non_exhaustive()
    }
}

/// How a program ended, and what it had printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub out: String,
    /// All of its standard error.
    pub err: String,
}

impl Cli {
    /// One that asks the control plane at `server` with the key of an operator.
    ///
    /// # Errors
    /// When `kya` was not built.
    pub fn new(artifacts: &Artifacts, server: &str, key: &str) -> Result<Self> {
        Ok(Self { binary: artifacts.cli()?, server: server.to_owned(), key: key.to_owned() })
    }

    /// Runs `kya` with these arguments to its end, whatever that is.
    pub async fn end(&self, args: &[&str]) -> Result<Ended> {
        let mut command = Command::new(&self.binary);
        command.args(args);
        self.finish(command).await
    }

    /// What `kya` prints.
    ///
    /// # Errors
    /// When it ends with another code than 0.
    pub async fn text(&self, args: &[&str]) -> Result<String> {
        let ended = self.end(args).await?;
        if ended.code != Some(0) {
            bail!("kya {} ended with {:?}: {}{}", args.join(" "), ended.code, ended.out, ended.err);
        }
        Ok(ended.out)
    }

    /// The document that `kya -o json` prints.
    ///
    /// # Errors
    /// When it ends with another code than 0, or prints something else.
    pub async fn json(&self, args: &[&str]) -> Result<Value> {
        let out = self.text(&[&["-o", "json"], args].concat()).await?;
        serde_json::from_str(&out).with_context(|| format!("kya printed {out}"))
    }

    /// Has the server refuse something, and returns what `kya` says of it.
    ///
    /// # Errors
    /// When it ends with another code than 1.
    pub async fn refused(&self, args: &[&str]) -> Result<String> {
        let ended = self.end(args).await?;
        ensure!(ended.code == Some(1), "kya {} was not refused: {ended:?}", args.join(" "));
        Ok(ended.err)
    }

    /// Runs lines of shell in the folder `dir`, in which `kya` is this binary.
    pub async fn shell(&self, script: &str, dir: &std::path::Path) -> Result<Ended> {
        let folder = self.binary.parent().context("kya is in a folder")?;
        let inherited = env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(folder.to_owned()).chain(env::split_paths(&inherited));
        let path: OsString = env::join_paths(paths)?;
        let mut command = Command::new("sh");
        command.args(["-euc", script]).env("PATH", path).current_dir(dir);
        self.finish(command).await
    }

    /// Starts `kya` with these arguments, to be followed while it runs.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, args: &[&str]) -> Result<Running> {
        let mut command = Command::new(&self.binary);
        command.args(args);
        self.equip(&mut command);
        Running::start(command)
    }

    /// Says to it where the server is, and whose key this is.
    fn equip(&self, command: &mut Command) {
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.env("KYA_SERVER", &self.server).env("KYA_TOKEN", &self.key).stdin(Stdio::null());
    }

    async fn finish(&self, mut command: Command) -> Result<Ended> {
        self.equip(&mut command);
        let output = tokio::task::spawn_blocking(move || command.output()).await?;
        let output = output.context("cannot run kya")?;
        Ok(Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).context("kya printed no UTF-8")?,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
