//! Running other programs, so that a failure says what to run again.

use std::env;
use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, bail};
use kya_envoy::Artifacts;

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
    let shown = shown(command);
    eprintln!("$ {shown}");
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("this failed ({status}); to see it again, run\n  {shown}");
    }
    Ok(())
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
    fn a_failure_names_the_command() {
        let said = run(Command::new("false").arg("--really")).unwrap_err().to_string();
        assert!(said.contains("false --really"), "{said}");
    }
}
