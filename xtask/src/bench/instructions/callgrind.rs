//! Instructions of native code, by valgrind's callgrind.
//!
//! Each operation is done a few times in one process and many times in another: the
//! difference has nothing of what either does before and after.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use kya_envoy::Artifacts;

use super::table::grouped;
use crate::command::{self, cargo};

/// How often the operation is done in one process and in the other. The example prepares
/// as much for both.
const FEW: u64 = 16;
const MANY: u64 = 216;

pub(super) fn run(artifacts: &Artifacts, json: bool) -> Result<()> {
    installed()?;
    let example = ["-p", "kya-core", "--features", "testing", "--example", "operations"];
    let mut build = cargo(artifacts, &["build", "--release"]);
    command::run_aside(build.args(example))?;
    let program = artifacts.target().join("release/examples/operations");
    let folder = artifacts.target().join("callgrind");
    fs::create_dir_all(&folder)?;
    let listed = command::output(&mut Command::new(&program))?;
    let mut figures = Vec::new();
    for line in listed.lines() {
        let (name, what) = line.split_once('\t').context("an operation and what is done")?;
        let file = folder.join(name);
        let [few, many] = [FEW, MANY].map(|count| counted(&program, &file, name, count));
        let each = many?.saturating_sub(few?) / (MANY - FEW);
        figures.push((name, what, each));
    }
    if json {
        let by_name: BTreeMap<_, _> = figures.iter().map(|(name, _, each)| (name, each)).collect();
        println!("{}", serde_json::to_string_pretty(&by_name)?);
        return Ok(());
    }
    println!("| natively | instructions |\n|---|---:|");
    figures.iter().for_each(|(_, what, each)| println!("| {what} | {} |", grouped(*each)));
    eprintln!("where they are: callgrind_annotate {}", folder.join("NAME").display());
    Ok(())
}

fn installed() -> Result<()> {
    let found = Command::new("valgrind").arg("--version").output();
    ensure!(
        found.is_ok_and(|output| output.status.success()),
        "there is no valgrind, which counts native instructions: install the package `valgrind` \
         of your system (Debian and Ubuntu: apt-get install valgrind), or leave out --callgrind"
    );
    Ok(())
}

/// Instructions of a process that does the operation so many times.
fn counted(program: &Path, file: &Path, name: &str, count: u64) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(program).args([name, &count.to_string()]);
    let output = command.output().context("cannot run valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    match collected(&said).filter(|_| output.status.success()) {
        Some(instructions) => Ok(instructions),
        None => bail!("valgrind did not count `{name}`; it said:\n{said}"),
    }
}

/// The sum that callgrind prints last: `==7== Collected : 1234`.
fn collected(said: &str) -> Option<u64> {
    let (_, sum) = said.lines().find_map(|line| line.split_once("Collected :"))?;
    sum.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_read_out_of_what_callgrind_says() {
        let said = "==7== Callgrind\n==7== Events    : Ir\n==7== Collected : 4719\n==7== \n";
        assert_eq!(collected(said), Some(4_719));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
