//! A process that simulates the other end, and what it says.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kya_envoy::Artifacts;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::simulate::{Arrived, Said};

/// A running simulation. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Helper {
    _child: Child,
    stdin: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    /// Starts the optimised build of this program as `xtask simulate …`.
    pub(super) fn start(
        artifacts: &Artifacts,
        arguments: &[String],
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let program = artifacts.target().join("release/xtask");
        let mut command = Command::new(&program);
        command.arg("simulate").args(arguments).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stdin = child.stdin.take().context("it has no stdin")?;
        let stdout = child.stdout.take().context("it has no stdout")?;
        Ok(Self { _child: child, stdin, said: BufReader::new(stdout).lines() })
    }

    /// Says a line to it.
    pub(super) async fn tell(&mut self, line: &str) -> Result<()> {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(self.stdin.flush().await?)
    }

    /// What `wanted` makes of the first thing said of which it makes anything.
    pub(super) async fn wait<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(Said) -> Option<T>,
    ) -> Result<T> {
        let wait = async {
            while let Some(line) = self.said.next_line().await? {
                match serde_json::from_str(&line).with_context(|| format!("it said {line}"))? {
                    Said::Failed { why } => bail!("a simulated connection failed: {why}"),
                    said => {
                        if let Some(found) = wanted(said) {
                            return Ok(found);
                        }
                    }
                }
            }
            bail!("the simulation ended")
        };
        let waited = timeout(limit, wait).await;
        waited.with_context(|| format!("not within {limit:?}"))?.with_context(|| what.to_owned())
    }

    /// When all streams had the delta that leads to `revision`.
    pub(super) async fn delta(&mut self, revision: u64, limit: Duration) -> Result<Arrived> {
        let what = format!("revision {revision} at every stream");
        self.wait(&what, limit, |said| match said {
            Said::Delta(arrived) if arrived.id == revision => Some(arrived),
            _ => None,
        })
        .await
    }
}
