//! `cargo xtask fuzz`: arbitrary input for everything that reads what comes from
//! outside. The targets are in `fuzz/fuzz_targets/`, each with a word on what it
//! asserts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kya_envoy::Artifacts;

use crate::command::{self, cargo};

const CARGO_FUZZ: &str = "0.13.2";
/// Inputs are no longer than this, in bytes.
const MAX_LENGTH: usize = 4096;
/// One input may take no more than this, in seconds and in megabytes.
const MAX_SECONDS: u32 = 20;
const MAX_MEGABYTES: u32 = 1024;

/// Options of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// The target to run; without it, all of them run in turn.
    target: Option<String>,
}

/// Runs what the options name.
pub(crate) fn with(artifacts: &Artifacts, options: &Options) -> Result<()> {
    let per_target = Duration::from_secs(options.seconds);
    let Some(target) = &options.target else { return run(artifacts, per_target) };
    let all = targets(artifacts)?;
    if !all.contains(target) {
        bail!("there is no target `{target}`; there are {}", all.join(", "));
    }
    Fuzzer::ready(artifacts)?.run(target, per_target)
}

/// Runs every target for so long, on one core, and stops at the first finding.
///
/// # Errors
/// When an input makes a target fail: it is kept in `fuzz/artifacts/`, and what to
/// run again is printed. And when there is no nightly compiler.
pub(crate) fn run(artifacts: &Artifacts, per_target: Duration) -> Result<()> {
    let targets = targets(artifacts)?;
    let fuzzer = Fuzzer::ready(artifacts)?;
    targets.iter().try_for_each(|target| fuzzer.run(target, per_target))
}

/// The names of all targets.
fn targets(artifacts: &Artifacts) -> Result<Vec<String>> {
    let folder = artifacts.root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// cargo-fuzz, and a compiler that it works with.
struct Fuzzer<'a> {
    artifacts: &'a Artifacts,
    program: PathBuf,
}

impl<'a> Fuzzer<'a> {
    /// Builds every target, after installing cargo-fuzz if need be.
    fn ready(artifacts: &'a Artifacts) -> Result<Self> {
        command::output(Command::new("rustup").args(["run", "nightly", "rustc", "--version"]))
            .context(
                "fuzzing needs a nightly compiler: `rustup toolchain install nightly --profile minimal`",
            )?;
        let fuzzer = Self { artifacts, program: cargo_fuzz(artifacts)? };
        command::run(&mut cargo(
            artifacts,
            &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"],
        ))?;
        command::run(&mut fuzzer.command("build"))?;
        Ok(fuzzer)
    }

    fn run(&self, target: &str, time: Duration) -> Result<()> {
        let corpus = format!("fuzz/corpus/{target}");
        fs::create_dir_all(self.artifacts.root().join(&corpus))?;
        let mut command = self.command("run");
        command.args([target, &corpus, &format!("fuzz/seeds/{target}"), "--"]);
        command.arg(format!("-max_total_time={}", time.as_secs().max(1)));
        command.args(["-len_control=0", "-print_final_stats=1"]);
        command.arg(format!("-max_len={MAX_LENGTH}"));
        command.arg(format!("-timeout={MAX_SECONDS}"));
        command.arg(format!("-rss_limit_mb={MAX_MEGABYTES}"));
        command::run(&mut command)
    }

    /// A call of cargo-fuzz. Without a sanitizer: there is no unsafe code in what
    /// is fuzzed, and twice as much is tried in the same time.
    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new("rustup");
        command.args(["run", "nightly"]).arg(&self.program);
        // The profile in `fuzz/Cargo.toml` has the assertions and overflow checks.
        command.args([subcommand, "--release", "--sanitizer=none"]);
        command.arg("--target-dir").arg(self.artifacts.target().join("fuzz"));
        // Cargo of the pinned toolchain names itself, and would be used.
        command.env_remove("CARGO").current_dir(self.artifacts.root());
        command
    }
}

/// cargo-fuzz of the pinned version, compiled if it is not there.
fn cargo_fuzz(artifacts: &Artifacts) -> Result<PathBuf> {
    let tools = artifacts.target().join("tools");
    let program = tools.join("bin/cargo-fuzz");
    if !is_there(&program) {
        let version = ["--locked", "--version", CARGO_FUZZ, "--root"];
        let mut install = cargo(artifacts, &["install", "cargo-fuzz"]);
        command::run(install.args(version).arg(&tools))?;
    }
    Ok(program)
}

fn is_there(program: &Path) -> bool {
    command::output(Command::new(program).arg("--version"))
        .is_ok_and(|said| said.trim().ends_with(CARGO_FUZZ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_built_and_has_seeds() {
        let artifacts = Artifacts::debug();
        let fuzz = artifacts.root().join("fuzz");
        let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        let targets = targets(&artifacts).unwrap();
        assert!(!targets.is_empty());
        for target in targets {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not built");
            let seeds = fs::read_dir(fuzz.join("seeds").join(&target));
            assert!(seeds.is_ok_and(|mut seeds| seeds.next().is_some()), "{target} has no seeds");
        }
    }
}
