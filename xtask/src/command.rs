//! Running other programs, so that a failure says what to run again.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kya_envoy::Artifacts;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// A call of cargo in the root of the workspace.
pub(crate) fn cargo(artifacts: &Artifacts, arguments: &[&str]) -> Command {
    // Cargo names itself to what it runs.
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(artifacts.root());
    // Build scripts run once more where what cargo says of a package has changed, and with them
    // everything that needs them. Here that is this program, whatever is built:
    // without it a build is the same as by hand.
    let of_a_package =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for name in env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        if of_a_package(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// Does as [`run`], with what the command prints on stderr: for commands of
/// which only the effect is wanted.
pub(crate) fn run_aside(command: &mut Command) -> Result<()> {
    run(command.stdout(std::io::stderr()))
}

/// Shows `command`, runs it, and makes its failure an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    eprintln!("$ {shown}");
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    judge(&shown, status)
}

/// Does as [`run`]. When `limit` has passed, ends the command and all that it
/// has started, and that is an error too.
pub(crate) fn run_within(command: Command, limit: Duration) -> Result<()> {
    let shown = shown(&command);
    eprintln!("$ {shown}");
    let status = Runtime::new()?.block_on(async {
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .with_context(|| format!("cannot run `{shown}`"))?;
        if let Ok(status) = timeout(limit, child.wait()).await {
            return anyhow::Ok(Some(status?));
        }
        // Cargo lives on in its tests.
        for pid in child.id().map(family).transpose()?.unwrap_or_default() {
            // It fails only for a process that has ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        child.wait().await?;
        Ok(None)
    })?;
    match status {
        Some(status) => judge(&shown, status),
        None => bail!(failed(&shown, &format!("it took more than {} s", limit.as_secs()))),
    }
}

/// Whether the command succeeded.
fn judge(shown: &str, status: ExitStatus) -> Result<()> {
    match status.success() {
        true => Ok(()),
        false => bail!(failed(shown, &status.to_string())),
    }
}

fn failed(shown: &str, why: &str) -> String {
    format!("this failed ({why}); to see it again, run\n  {shown}")
}

/// A process, and those that it has started, and those that they have.
fn family(pid: u32) -> Result<Vec<Pid>> {
    let (parents, mut family, mut seen) = (parents()?, vec![pid], 0);
    while let Some(parent) = family.get(seen).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        seen += 1;
    }
    Ok(family.into_iter().filter_map(|pid| Pid::from_raw(pid.try_into().ok()?)).collect())
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
    let program = Path::new(command.get_program());
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

/// Makes `link` lead to `target`, wherever it led before.
pub(crate) fn link(target: &Path, link: &Path) -> Result<()> {
    if std::fs::read_link(link).is_ok_and(|led| led == target) {
        return Ok(());
    }
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(link)?;
    }
    if let Some(folder) = link.parent() {
        std::fs::create_dir_all(folder)?;
    }
    symlink(target, link).with_context(|| format!("{}", link.display()))
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
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        let said = run_within(command, Duration::from_secs(2)).unwrap_err();
        assert!(format!("{said:#}").contains("it took more than"), "{said:#}");
        let pid: i32 = std::fs::read_to_string(&child).unwrap().trim().parse().unwrap();
        // It ends when the kernel gets to it, and nobody may have waited for it yet:
        // then it is a zombie.
        let gone = async || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            Ok((stat.is_empty() || stat.contains(") Z ")).then_some(()))
        };
        let ended = kya_envoy::until("the child to end", Duration::from_secs(20), gone);
        Runtime::new().unwrap().block_on(ended).unwrap();
    }

    #[test]
    fn a_command_that_ends_in_time_is_left_alone() {
        run_within(Command::new("true"), Duration::from_secs(60)).unwrap();
        let said = run_within(Command::new("false"), Duration::from_secs(60)).unwrap_err();
        assert!(format!("{said:#}").contains("run\n  false"), "{said:#}");
    }

    #[test]
    fn a_failure_names_the_command() {
        let said = run(Command::new("false").arg("--really")).unwrap_err().to_string();
        assert!(said.contains("false --really"), "{said}");
    }

    #[test]
    fn the_link_follows_what_was_found_last() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("target/postgres");
        for bin in ["/a/bin", "/b/bin", "/b/bin"] {
            link(Path::new(bin), &at).unwrap();
            assert_eq!(std::fs::read_link(&at).unwrap(), Path::new(bin));
        }
    }
}
