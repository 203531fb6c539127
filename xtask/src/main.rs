//! `cargo xtask`: everything a person does to the project.

mod bench;
mod build;
mod chromium;
mod command;
mod debian;
mod demo;
mod deny;
mod distribution;
mod drill;
mod file_limit;
mod fuzz;
mod incident;
mod links;
mod named_tests;
mod narrator;
mod postgres;
mod python;
mod redis;
mod resp;
mod schema;
mod setup;
mod simulate;
mod test;
mod test_programs;
mod tidy;
mod verifier;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use kya_envoy::{Artifacts, Profile};

/// Everything a person does to kya.
///
/// Start with `cargo xtask demo`: it fetches Envoy, builds everything, starts a
/// control plane and two sidecars, and revokes an agent before your eyes.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the project needs: the wasm target, clippy, rustfmt, Envoy, PostgreSQL, Chromium.
    ///
    /// Everything but the Rust components, and Chromium, goes into `target/`. What is there
    /// already is left alone, so this may be run at any time. The other
    /// commands run it for themselves.
    Setup(setup::Options),
    /// Build the filter (wasm), the verifier of the audit trail (wasm) and the binaries.
    Build(build::Options),
    /// Build the page on which an auditor verifies an export of the trail, and the same for Node.
    ///
    /// `target/verifier/kya-audit-verify.html` is one file that needs nothing else; `target/verifier/node`
    /// is a package for Node.
    Verifier,
    /// Show a kill on real parts: control plane, Envoy sidecars, an agent that makes charges.
    ///
    /// Examples:
    ///
    ///   cargo xtask demo                  watch, then try things by hand until Ctrl-C
    ///   cargo xtask demo --once           end by itself
    ///   cargo xtask demo --once --json    print one JSON object, for scripts
    #[command(verbatim_doc_comment)]
    Demo(demo::Options),
    /// Go through an incident on real parts: suspend, restore, revoke, replace, and what lies between.
    ///
    /// Every step of an operator is done by `kya`, and checked by requests that every worker of
    /// real Envoys answers. It ends by itself; the exit code is 1 unless all steps are ok. What
    /// each step is: examples/incident/README.md.
    ///
    /// Examples:
    ///
    ///   cargo xtask incident           tell it, with the commands that are typed
    ///   cargo xtask incident --json    print one JSON object: each step, whether it is ok, and ms
    #[command(verbatim_doc_comment)]
    Incident(incident::Options),
    /// Run a drill on this machine: stop a canary again and again through many real Envoys, and measure.
    ///
    /// Runs optimised binaries: a control plane, Envoys that are the relying parties, and
    /// simulated clients of the stream. Prints when each Envoy rejected the canary and when
    /// everybody had acknowledged the stop, and says by the exit code whether the drill
    /// passed: 0, or 1. What all of it is: examples/fleet/README.md.
    ///
    /// Examples:
    ///
    ///   cargo xtask drill                            six Envoys, a hundred clients, fifty stops
    ///   cargo xtask drill --envoys 2 --samples 10    a small one
    ///   cargo xtask drill --json                     print one JSON object, for scripts
    #[command(verbatim_doc_comment)]
    Drill(drill::Options),
    /// Print where Envoy is, after installing it if need be.
    EnvoyPath,
    /// Run every check and every test, as CI does.
    ///
    /// In this order: setup, tidy, rustfmt, cargo-deny, clippy, schema, build, tests.
    /// It stops at the first failure and names the command to run again. With
    /// `--long`, what takes too long for every day comes after that, up to its end.
    Test(test::Options),
    /// Feed arbitrary input to everything that reads what comes from outside.
    ///
    /// This needs a nightly compiler: rustup toolchain install nightly --profile minimal
    Fuzz(fuzz::Options),
    /// Write the JSON Schema of the plugin configuration and the OpenAPI document into `docs/`.
    Schema,
    /// Measure.
    #[command(subcommand)]
    Bench(bench::Command),
    /// The other ends of a benchmark, which `bench` starts.
    #[command(subcommand, hide = true)]
    Simulate(simulate::Role),
    /// Check what no compiler does: file sizes, left-overs, paths of one machine, dead links,
    /// tests that are named and not there.
    Tidy,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let artifacts = Artifacts::new(Profile::Debug);
    match command {
        Command::Setup(options) => setup::run(&artifacts, &options)?,
        Command::Build(options) => build::run(&artifacts, &options)?,
        Command::Verifier => verifier::run(&artifacts)?,
        Command::EnvoyPath => {
            setup::envoy(&artifacts)?;
            println!("{}", artifacts.envoy()?.display());
        }
        Command::Demo(options) => return demo::run(&artifacts, &options),
        Command::Incident(options) => return incident::run(&artifacts, &options),
        Command::Drill(options) => return drill::run(&options),
        Command::Test(options) => test::run(&artifacts, &options)?,
        Command::Fuzz(options) => fuzz::with(&artifacts, &options)?,
        Command::Schema => schema::run(&artifacts)?,
        Command::Bench(command) => bench::run(&command)?,
        Command::Simulate(role) => simulate::run(&role)?,
        Command::Tidy => tidy::run(&artifacts)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn json_is_only_for_a_demo_that_ends() {
        assert!(Arguments::try_parse_from(["x", "demo", "--json"]).is_err());
        assert!(Arguments::try_parse_from(["x", "demo", "--once", "--json"]).is_ok());
    }
}
