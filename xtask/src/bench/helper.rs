//! A process that simulates the other end, and what it says.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kya_envoy::{Artifacts, Fleet};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::simulate::{Arrived, CREDENTIAL, Said, Visit};

/// How long all connections may take to be there.
const READY: Duration = Duration::from_secs(180);

/// A running simulation. Dropping it ends it.
#[derive(Debug)]
pub(in crate::bench) struct Helper {
    _child: Child,
    stdin: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    /// Starts the optimised build of this program as `xtask simulate …`.
    pub(in crate::bench) fn start(
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

    /// Simulated proxies, each of which has its first state.
    pub(in crate::bench) async fn proxies(
        artifacts: &Artifacts,
        fleet: &Fleet,
        arguments: &[String],
    ) -> Result<Self> {
        let address = format!("--address={}", fleet.control_plane.addresses().grpc);
        let arguments = [&["streams".to_owned(), address][..], arguments].concat();
        let variables = [(CREDENTIAL, fleet.control_plane.node_credential()?)];
        let mut proxies = Self::start(artifacts, &arguments, &variables)?;
        proxies.ready().await?;
        Ok(proxies)
    }

    /// Waits until all its connections are there.
    pub(in crate::bench) async fn ready(&mut self) -> Result<()> {
        let ready = |said| matches!(said, Said::Ready).then_some(());
        self.wait("all connections to be there", READY, ready).await
    }

    /// Says a line to it.
    pub(in crate::bench) async fn tell(&mut self, line: &str) -> Result<()> {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(self.stdin.flush().await?)
    }

    /// What `wanted` makes of the first thing said of which it makes anything.
    pub(in crate::bench) async fn wait<T>(
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
    pub(in crate::bench) async fn delta(
        &mut self,
        revision: u64,
        limit: Duration,
    ) -> Result<Arrived> {
        let what = format!("revision {revision} at every stream");
        self.wait(&what, limit, |said| match said {
            Said::Delta(arrived) if arrived.id == revision => Some(arrived),
            _ => None,
        })
        .await
    }

    /// When all connections had the message with this number.
    pub(in crate::bench) async fn message(&mut self, id: u64, limit: Duration) -> Result<Arrived> {
        let what = format!("message {id} at every connection");
        self.wait(&what, limit, |said| match said {
            Said::Message(arrived) if arrived.id == id => Some(arrived),
            _ => None,
        })
        .await
    }

    /// What proxies have come for, once they have left, and how many did not come.
    pub(in crate::bench) async fn visited(
        &mut self,
        what: &str,
        limit: Duration,
    ) -> Result<(Vec<Visit>, usize)> {
        self.wait(what, limit, |said| match said {
            Said::Visited { visits, turned_away } => Some((visits, turned_away)),
            _ => None,
        })
        .await
    }
}
