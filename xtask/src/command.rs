//! Running other programs, so that a failure says what to run again.

use std::env;
use std::ffi::OsStr;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kya_envoy::Artifacts;
use rustix::process::{Pid, Signal, kill_process};

const POLL_EVERY: Duration = Duration::from_millis(100);

/// A call of cargo in the root of the workspace.
pub(crate) fn cargo(artifacts: &Artifacts, arguments: &[&str]) -> Command {
    // Cargo names itself to what it runs.
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(artifacts.root());
    command
}

/// Does as [`run`], with what the command prints on stderr: for commands of
/// which only the effect is wanted.
pub(crate) fn run_aside(command: &mut Command) -> Result<()> {
    run(command.stdout(std::io::stderr()))
}

/// Shows `command`, runs it, and makes its failure an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    run_by(command, |child| Ok(child.wait()?))
}

/// Does as [`run`]. When `limit` has passed, ends the command and all that it
/// has started, and that is an error too.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    run_by(command, |child| {
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                end_with_descendants(child)?;
                bail!("it was ended after {} s", limit.as_secs());
            }
            thread::sleep(POLL_EVERY);
        }
    })
}

fn run_by(
    command: &mut Command,
    wait: impl FnOnce(&mut Child) -> Result<ExitStatus>,
) -> Result<()> {
    let shown = shown(command);
    eprintln!("$ {shown}");
    let again = || format!("to see it again, run\n  {shown}");
    let mut child = command.spawn().with_context(|| format!("cannot run `{shown}`"))?;
    let status = wait(&mut child).with_context(again)?;
    if !status.success() {
        bail!("this failed ({status}); {}", again());
    }
    Ok(())
}

/// Kills `child` and what it has started: cargo lives on in its tests.
fn end_with_descendants(child: &mut Child) -> Result<()> {
    let mut family = vec![child.id()];
    let parents = parents()?;
    let mut seen = 0;
    while let Some(parent) = family.get(seen).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        seen += 1;
    }
    for pid in family.into_iter().filter_map(|pid| Pid::from_raw(pid.try_into().ok()?)) {
        // It fails only for a process that has ended meanwhile.
        let _ = kill_process(pid, Signal::KILL);
    }
    child.wait()?;
    Ok(())
}

/// Every process and its parent, from `/proc`.
fn parents() -> Result<Vec<(u32, u32)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may have ended since it was listed.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name, in brackets, may hold anything; state and parent follow it.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        if let Some(parent) = rest.split(' ').nth(1).and_then(|parent| parent.parse().ok()) {
            found.push((pid, parent));
        }
    }
    Ok(found)
}

/// What `command` prints, if it succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("cannot run `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = match program.file_name() {
        Some(name) if name == "cargo" => name,
        _ => program.as_os_str(),
    };
    let words = std::iter::once(program).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.contains(|c: char| c.is_whitespace() || "\"'$&|;<>()*?".contains(c)) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_so_that_it_can_be_pasted() {
        let mut command = Command::new("/opt/rust/bin/cargo");
        command.args(["test", "--", "it's late"]);
        assert_eq!(shown(&command), r"cargo test -- 'it'\''s late'");
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let child = dir.path().join("child");
        let script = format!("sleep 600 & echo $! > {}; wait", child.display());
        let start = Instant::now();
        let mut command = Command::new("sh");
        let limit = Duration::from_millis(500);
        let said = run_within(command.args(["-c", &script]), limit).unwrap_err();
        assert!(format!("{said:#}").contains("ended after"), "{said:#}");
        assert!(start.elapsed() < Duration::from_secs(60));
        let pid: i32 = std::fs::read_to_string(&child).unwrap().trim().parse().unwrap();
        // Nobody may have waited for it yet: then it is a zombie.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    }

    #[test]
    fn a_command_that_ends_in_time_is_left_alone() {
        run_within(&mut Command::new("true"), Duration::from_secs(60)).unwrap();
        let said = run_within(&mut Command::new("false"), Duration::from_secs(60)).unwrap_err();
        assert!(said.to_string().contains("run\n  false"), "{said}");
    }

    #[test]
    fn a_failure_names_the_command() {
        let said = run(Command::new("false").arg("--really")).unwrap_err().to_string();
        assert!(said.contains("false --really"), "{said}");
    }
}
