//! `cargo xtask bench`: measurements. They print; they do not judge.

mod distribution;
mod memory;
mod process;
mod revoke;

use anyhow::Result;

/// What can be measured.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Time from the commit of a revocation to the last worker that denies.
    ///
    /// Runs optimised binaries: a control plane and four Envoys of two workers.
    /// Each kill has a new agent, which is making requests on a kept connection to
    /// every worker when it is revoked.
    ///
    /// Then, without Envoys, the control plane alone: a thousand simulated proxies,
    /// each on a connection of its own, and in turn with every kill as many plain TCP
    /// connections to which the same bytes are written; and ten thousand that hold
    /// their streams open, for the memory that each costs the control plane.
    Revoke(revoke::Options),
    /// What a table of a million tokens costs a proxy.
    ///
    /// Memory over that of a proxy with an empty store; the time until every
    /// worker has loaded it; the longest time for which a worker answered nothing
    /// meanwhile; and the CPU that the filter adds to a request, every request
    /// with another token, against a listener of the same Envoy without it.
    Memory(memory::Options),
}

/// Runs one.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Revoke(options) => revoke::run(options),
        Command::Memory(options) => memory::run(options),
    }
}
