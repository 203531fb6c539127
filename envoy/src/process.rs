use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::until;

const LOG_TAIL_LINES: usize = 30;

/// A child process with its output in a file. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; both its outputs are appended to `log`.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        Self::spawn_with(name, command, log, log)
    }

    /// The same with a file of its own for the standard output: two that write one file
    /// by parts of lines spoil each other's.
    pub fn spawn_with(name: &str, command: &mut Command, out: &Path, log: &Path) -> Result<Self> {
        let append = |path: &Path| {
            let file = File::options().create(true).append(true).open(path);
            file.with_context(|| format!("cannot write the log {}", path.display()))
        };
        command.stdin(Stdio::null()).stdout(append(out)?).stderr(append(log)?);
        die_with_parent(command);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}: {:?}", command.get_program()))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// What it has written so far.
    pub fn log(&self) -> Result<String> {
        let bytes = fs::read(&self.log)
            .with_context(|| format!("cannot read the log {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Asks `ready` until it has a value. An early end of the process, or
    /// `limit`, is an error that carries the end of the log.
    pub async fn wait_ready<T>(
        &mut self,
        limit: Duration,
        mut ready: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let child = &mut self.child;
        let outcome = until("it to be ready", limit, async || {
            if let Some(status) = child.try_wait()? {
                bail!("it ended with {status}");
            }
            ready().await
        })
        .await;
        outcome
            .with_context(|| format!("{} did not start; its log ends:\n{}", self.name, self.tail()))
    }

    /// SIGTERM, then waits for the end: an orderly stop.
    ///
    /// # Errors
    /// When it has not ended after `limit`.
    pub async fn terminate(mut self, limit: Duration) -> Result<ExitStatus> {
        if self.is_running()? {
            self.signal(Signal::TERM)?;
        }
        let what = format!("{} to end after SIGTERM", self.name);
        let child = &mut self.child;
        until(&what, limit, async || Ok(child.try_wait()?)).await
    }

    /// SIGSTOP: it stays, with its connections, and does nothing.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT: it goes on.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("cannot send {signal:?} to {}", self.name))
    }

    /// SIGKILL, and waits for the end: a crash.
    pub fn kill(mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    fn tail(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes the child end with the thread that starts it, so that even a killed
/// test leaves no Envoy behind.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;

    let set_signal = || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(std::io::Error::from)
    };
    // SAFETY: between fork and exec the closure makes one system call; it
    // neither allocates nor takes a lock.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(set_signal);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Process) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let process =
            Process::spawn("the shell", Command::new("sh").args(["-c", script]), &log).unwrap();
        (dir, process)
    }

    #[tokio::test]
    async fn an_early_end_is_reported_with_the_log() {
        let (_dir, mut process) = shell("echo no such port >&2; exit 3");
        let never = async || Ok(None::<()>);
        let said = process.wait_ready(Duration::from_secs(10), never).await.unwrap_err();
        let said = format!("{said:#}");
        assert!(said.contains("no such port") && said.contains("exit status: 3"), "{said}");
    }

    #[tokio::test]
    async fn terminate_lets_it_end_by_itself() {
        let (_dir, mut process) =
            shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done");
        let log = process.log.clone();
        let ready = async || Ok(fs::read_to_string(&log)?.contains("ready").then_some(()));
        process.wait_ready(Duration::from_secs(10), ready).await.unwrap();
        let status = process.terminate(Duration::from_secs(10)).await.unwrap();
        assert_eq!(status.code(), Some(7));
    }

    #[tokio::test]
    async fn what_is_paused_does_nothing_until_it_is_resumed() {
        let (_dir, process) = shell("while :; do echo tick; sleep 0.01; done");
        let length = || process.log().unwrap().len();
        let grows = async |from: usize| {
            let longer = async || Ok((length() > from).then_some(()));
            until("a tick", Duration::from_secs(10), longer).await.unwrap();
        };
        grows(0).await;
        process.pause().unwrap();
        // The signal takes effect a moment later.
        let stopped = || fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
        let is_stopped = async || Ok(stopped().contains(") T ").then_some(()));
        until("the stop", Duration::from_secs(10), is_stopped).await.unwrap();
        let then = length();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(length(), then);
        process.resume().unwrap();
        grows(then).await;
    }

    #[tokio::test]
    async fn dropping_it_kills_it() {
        let (_dir, process) = shell("exec sleep 600");
        let pid = Pid::from_raw(process.id() as i32).unwrap();
        drop(process);
        assert!(rustix::process::test_kill_process(pid).is_err());
    }
}
