//! `cargo xtask bench`: measurements. They print; they do not judge.

mod distribution;
mod revoke;

use anyhow::Result;

/// What can be measured.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Time from the commit of a revocation to the last worker that denies.
    ///
    /// Runs optimised binaries: a control plane and two Envoys of two workers.
    /// Each kill has a new agent, which is making requests on a kept connection to
    /// every worker when it is revoked.
    Revoke(revoke::Options),
}

/// Runs one.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Revoke(options) => revoke::run(options),
    }
}
