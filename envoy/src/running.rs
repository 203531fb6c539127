use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr};
use tokio::task::JoinHandle;

use crate::cli::Ended;

/// `kya` while it runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: JoinHandle<std::io::Result<String>>,
    lines: Lines<BufReader<ChildStderr>>,
    err: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut child = command.kill_on_drop(true).spawn().context("cannot run kya")?;
        let mut stdout = child.stdout.take().context("it has no stdout")?;
        let stderr = child.stderr.take().context("it has no stderr")?;
        // Read all the while: a full pipe would hold it.
        let out = tokio::spawn(async move {
            let mut out = String::new();
            stdout.read_to_string(&mut out).await.map(|_| out)
        });
        Ok(Self { child, out, lines: BufReader::new(stderr).lines(), err: String::new() })
    }

    /// The next line of its standard error; `None` at the end of that.
    ///
    /// # Errors
    /// When it is no UTF-8.
    pub async fn next_line(&mut self) -> Result<Option<String>> {
        let line = self.lines.next_line().await?;
        if let Some(line) = &line {
            self.err.push_str(line);
            self.err.push('\n');
        }
        Ok(line)
    }

    /// SIGINT: what Ctrl-C is.
    ///
    /// # Errors
    /// When it has ended.
    pub fn interrupt(&self) -> Result<()> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(kill_process(pid.context("it has ended")?, Signal::INT)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When its output is no UTF-8.
    pub async fn end(mut self) -> Result<Ended> {
        while self.next_line().await?.is_some() {}
        let status = self.child.wait().await?;
        let out = self.out.await?.context("kya printed no UTF-8")?;
        Ok(Ended { code: status.code(), out, err: self.err })
    }
}
