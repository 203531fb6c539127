//! `cargo xtask test --long`: what takes too long for every day.
//!
//! A test is long when it is marked `#[ignore = "long: …"]`; the marks are what
//! keeps it out of the other run. The chaos tests run on every Envoy that the
//! project is tested with, the short ones among them too.

use std::time::Duration;

use anyhow::{Result, bail};
use kya_envoy::{Artifacts, ENVOY_VERSION_VARIABLE, EnvoyVersion};

use super::report::Report;
use super::schemathesis;
use crate::command::{self, cargo};
use crate::{fuzz, setup};

/// The chaos tests, a file of `envoy/tests/` each.
const CHAOS: [&str; 5] =
    ["chaos_control_plane", "chaos_wire", "chaos_worker", "chaos_listener", "chaos_restart"];
const CHAOS_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Orders of events in one proxy that are tried, and their time.
const ORDERS: &str = "5000";
const ORDERS_LIMIT: Duration = Duration::from_secs(20 * 60);

/// A file of `envoy/tests/`, which needs the quiet of running alone.
const KILLS: &str = "thousand_kills";
const KILLS_LIMIT: Duration = Duration::from_secs(20 * 60);

/// How long each fuzz target runs.
const FUZZ_EACH: Duration = Duration::from_secs(120);

/// All of it. A failure does not keep the rest from running.
pub(super) fn run(artifacts: &Artifacts, report: &mut Report) -> Result<()> {
    let mut failed = Vec::new();
    let work = || orders(artifacts);
    failed.extend(report.attempt(&format!("{ORDERS} orders of events"), work).err());
    for version in EnvoyVersion::ALL {
        let name = format!("chaos, Envoy {version}");
        let work = || envoy_tests(artifacts, version, &CHAOS, CHAOS_LIMIT);
        failed.extend(report.attempt(&name, work).err());
    }
    let work = || envoy_tests(artifacts, EnvoyVersion::default(), &[KILLS], KILLS_LIMIT);
    failed.extend(report.attempt("1000 kills under load", work).err());
    let work = || schemathesis::run(artifacts);
    failed.extend(report.attempt("the HTTP API against its document", work).err());
    let work = || fuzz::run(artifacts, FUZZ_EACH);
    failed.extend(report.attempt("fuzzing", work).err());

    if failed.is_empty() {
        return Ok(());
    }
    let failures: Vec<String> = failed.iter().map(|error| format!("{error:#}")).collect();
    report.print();
    bail!("{} long steps failed:\n{}", failures.len(), failures.join("\n"))
}

/// The property tests of the filter with more cases than every day.
fn orders(artifacts: &Artifacts) -> Result<()> {
    let tests = ["test", "--release", "-p", "kya-filter", "--lib", "interleaving_tests"];
    let mut command = cargo(artifacts, &tests);
    command.env("PROPTEST_CASES", ORDERS);
    command::run_within(command, ORDERS_LIMIT)
}

/// Every test of `files`, one at a time, with one Envoy.
fn envoy_tests(
    artifacts: &Artifacts,
    version: EnvoyVersion,
    files: &[&str],
    limit: Duration,
) -> Result<()> {
    setup::envoy(&artifacts.clone().with_envoy(version))?;
    let mut command = cargo(artifacts, &["test", "-p", "kya-envoy"]);
    for file in files {
        command.args(["--test", file]);
    }
    command.args(["--", "--include-ignored", "--test-threads=1"]);
    command.env(ENVOY_VERSION_VARIABLE, version.number());
    command::run_within(command, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chaos_test_is_run_and_every_file_exists() {
        let folder = Artifacts::debug().root().join("envoy/tests");
        let mut there: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
            .filter(|name| name.starts_with("chaos_"))
            .collect();
        there.sort();
        let mut run = CHAOS.map(str::to_owned);
        run.sort();
        assert_eq!(there, run);
        assert!(folder.join(KILLS).with_extension("rs").is_file());
    }
}
