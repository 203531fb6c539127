//! `cargo xtask test`: every check and every test, in the order in which they
//! fail fastest.

mod long;
mod report;
mod schemathesis;

use anyhow::Result;
use kya_envoy::{Artifacts, FILTER_TARGET, Profile};

use crate::command::{self, cargo};
use crate::deny::{self, Advisories};
use crate::{build, schema, setup, tidy, verifier};
use report::Report;

/// Options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Then run what takes long: the chaos tests on every Envoy, a thousand kills,
    /// thousands of orders of events, the HTTP API against its document, fuzzing.
    #[arg(long)]
    long: bool,
    /// Run what takes long, and nothing else.
    #[arg(long, conflicts_with = "long")]
    long_only: bool,
}

/// Runs all of it, up to the first failure.
pub(crate) fn run(artifacts: &Artifacts, options: &Options) -> Result<()> {
    let mut report = Report::default();
    report.step("setup", || setup::run(artifacts, &setup::Options::default()))?;
    let mut advisories = Advisories::Clean;
    if options.long_only {
        build(artifacts, &mut report)?;
    } else {
        advisories = every_day(artifacts, &mut report)?;
    }
    if options.long || options.long_only {
        long::run(artifacts, &mut report)?;
    }

    report.print();
    if advisories == Advisories::NotChecked {
        eprintln!("advisories of dependencies were not checked: no network to their database");
    }
    Ok(())
}

/// Every check and every test of every day.
fn every_day(artifacts: &Artifacts, report: &mut Report) -> Result<Advisories> {
    let run = |arguments: &[&str]| command::run(&mut cargo(artifacts, arguments));

    report.step("tidy", || tidy::run(artifacts))?;
    report.step("rustfmt", || run(&["fmt", "--all", "--check"]))?;
    let advisories = report.step("cargo-deny", || deny::run(artifacts))?;
    report.step("clippy", || {
        run(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
        let filter = ["clippy", "-p", "kya-filter", "--target", FILTER_TARGET];
        run(&[&filter[..], &["--", "-D", "warnings"]].concat())
    })?;
    report.step("schema", || schema::check(artifacts))?;
    // The programs are built with their own tests, which come first.
    report.step("build", || wasm(artifacts))?;
    report.step("tests", || {
        run(&["test", "--workspace", "--doc"])?;
        run(&["test", "--workspace", "--lib", "--bins", "--tests"])
    })?;
    Ok(advisories)
}

/// What long tests run.
fn build(artifacts: &Artifacts, report: &mut Report) -> Result<()> {
    report.step("build", || {
        wasm(artifacts)?;
        build::binaries(artifacts, Profile::Debug)
    })
}

/// Of that, what no test builds.
fn wasm(artifacts: &Artifacts) -> Result<()> {
    build::filter(artifacts)?;
    build::crashing_filter(artifacts)?;
    verifier::run(artifacts)
}
