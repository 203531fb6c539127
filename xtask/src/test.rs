//! `cargo xtask test`: every check and every test, in the order in which they
//! fail fastest.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kya_envoy::{Artifacts, FILTER_TARGET, Profile};

use crate::command::{self, cargo};
use crate::deny::{self, Advisories};
use crate::{build, setup, tidy};

/// Runs all of it, up to the first failure.
pub(crate) fn run(artifacts: &Artifacts) -> Result<()> {
    let mut report = Report::default();
    let run = |arguments: &[&str]| command::run(&mut cargo(artifacts, arguments));

    report.step("setup", || setup::run(artifacts))?;
    report.step("tidy", || tidy::run(artifacts))?;
    report.step("rustfmt", || run(&["fmt", "--all", "--check"]))?;
    let advisories = report.step("cargo-deny", || deny::run(artifacts))?;
    report.step("clippy", || {
        run(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
        let filter = ["clippy", "-p", "kya-filter", "--target", FILTER_TARGET];
        run(&[&filter[..], &["--", "-D", "warnings"]].concat())
    })?;
    report.step("build", || {
        build::filter(artifacts)?;
        build::binaries(artifacts, Profile::Debug)
    })?;
    report.step("tests", || {
        run(&["test", "--workspace", "--doc"])?;
        run(&["test", "--workspace", "--lib", "--bins", "--tests"])
    })?;

    report.print();
    if advisories == Advisories::NotChecked {
        eprintln!("advisories of dependencies were not checked: no network to their database");
    }
    Ok(())
}

/// What was done, and how long it took.
#[derive(Debug, Default)]
struct Report {
    steps: Vec<(&'static str, Duration)>,
}

impl Report {
    fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = work();
        self.steps.push((name, start.elapsed()));
        outcome.inspect_err(|_| self.print()).with_context(|| format!("{name} failed"))
    }

    fn print(&self) {
        eprintln!();
        for (name, time) in &self.steps {
            eprintln!("{name:<12}{:>7.1} s", time.as_secs_f64());
        }
        let total: Duration = self.steps.iter().map(|(_, time)| *time).sum();
        eprintln!("{:<12}{:>7.1} s", "in all", total.as_secs_f64());
    }
}
