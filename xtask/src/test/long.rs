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
use crate::{build, fuzz, setup};

/// What the names of the chaos tests begin with: those of their files in `envoy/tests/`.
const CHAOS: &str = "chaos_";
const CHAOS_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Orders of events in one proxy that are tried, and their time.
const ORDERS: &str = "5000";
const ORDERS_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Everything else that is long in real Envoy: a thousand kills, what is recorded through
/// kills, cuts and outages.
const OTHERS_LIMIT: Duration = Duration::from_secs(40 * 60);

/// How long each fuzz target runs.
const FUZZ_EACH: Duration = Duration::from_secs(120);

/// All of it. A failure does not keep the rest from running.
pub(super) fn run(artifacts: &Artifacts, report: &mut Report) -> Result<()> {
    let mut failed = Vec::new();
    let work = || orders(artifacts);
    failed.extend(report.attempt(&format!("{ORDERS} orders of events"), work).err());
    for version in EnvoyVersion::ALL {
        let name = format!("chaos, Envoy {version}");
        let chaos = ["--include-ignored", CHAOS];
        let work = || envoy_tests(artifacts, version, &chaos, CHAOS_LIMIT);
        failed.extend(report.attempt(&name, work).err());
    }
    let others = ["--ignored", "--skip", CHAOS];
    let work = || envoy_tests(artifacts, EnvoyVersion::default(), &others, OTHERS_LIMIT);
    failed.extend(report.attempt("what else is long in real Envoy", work).err());
    let work = || schemathesis::run(artifacts);
    failed.extend(report.attempt("the HTTP API against its document", work).err());
    let work = || build::check_ext_authz(artifacts);
    failed.extend(report.attempt("what the filter is compared with", work).err());
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

/// Those tests that `which` says, one at a time, as some need the quiet, with one Envoy.
fn envoy_tests(
    artifacts: &Artifacts,
    version: EnvoyVersion,
    which: &[&str],
    limit: Duration,
) -> Result<()> {
    setup::envoy(&artifacts.clone().with_envoy(version))?;
    let mut command = cargo(artifacts, &["test", "-p", "kya-envoy", "--test", "all", "--"]);
    command.args(which).arg("--test-threads=1");
    command.env(ENVOY_VERSION_VARIABLE, version.number());
    command::run_within(command, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_chaos_tests() {
        let main = Artifacts::debug().root().join("envoy/tests/main.rs");
        let text = std::fs::read_to_string(main).unwrap();
        assert!(text.contains(&format!("\nmod {CHAOS}")), "{text}");
    }
}
