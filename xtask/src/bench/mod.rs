//! `cargo xtask bench`: measurements. They print; they do not judge.

mod alone;
mod audit;
mod held;
mod helper;
mod instructions;
mod memory;
mod overhead;
mod page;
mod process;
mod recording;
mod registry;
mod revoke;
mod rows;
pub(crate) mod seed;

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
    /// Then, without Envoys, the control plane alone. 1 to 10,000 simulated proxies, each on a
    /// connection of its own, and in turn with every kill as many plain TCP connections to
    /// which the same bytes are written and as many subscribers of Redis to whom they are
    /// published; sidecars that poll a list in Redis; a thousand proxies that lose their control
    /// plane and come back; kills while new proxies fetch 100,000 tokens; proxies that come
    /// back after 100 to 10,000 revisions; and ten thousand that hold their streams open, for
    /// the memory that each costs the control plane. Each part can be left out.
    Revoke(revoke::Options),
    /// What a table of a million tokens costs a proxy, and what agents, capability tokens that
    /// were taken back and streams cost.
    ///
    /// Memory over that of a proxy with an empty store; the time until every
    /// worker has loaded it; the longest time for which a worker answered nothing
    /// meanwhile; and the CPU that the filter adds to a request, every request
    /// with another token, against a listener of the same Envoy without it. Then the memory of
    /// Envoys with many agents, and with many capability tokens that were taken back, and that of
    /// the control plane for each agent and for each stream that is held open.
    Memory(memory::Options),
    /// What the registry takes over its HTTP API, on SQLite that writes through to the disk.
    ///
    /// The time of one registration or revocation, to its answer and until a connected proxy
    /// has it; the time of many opaque and many capability tokens that are asked for over
    /// some connections at once; and the time from the commit that stops a principal with
    /// many agents and tokens to the last of many simulated proxies.
    Registry(registry::Options),
    /// What the audit trail takes, on SQLite and on PostgreSQL that write through to the disk.
    ///
    /// Simulated workers report over HTTP as fast as they are acknowledged, while an
    /// operator revokes agents and tokens at a steady pace. Then the trail is exported,
    /// every event of every worker is looked for in it, and the export is verified as an
    /// auditor does. An event that is missing or there twice is an error.
    Audit(audit::Options),
    /// What the filter adds to a request, beside what else Envoy can do at its place.
    ///
    /// One Envoy of one worker, a listener for each: nothing (twice), a wasm filter that
    /// does nothing, kya with tables of 10^3 to 10^7 tokens, with capability tokens, denying
    /// and recording, and jwt_authn, RBAC, Lua and ext_authz with three servers. CPU of Envoy
    /// at every request is the main figure, time to an answer the second. It takes 8 to 10
    /// minutes, besides the build.
    Overhead(overhead::Options),
    /// What the filter does at a request, and at news, in figures that no machine changes.
    ///
    /// Instructions of the compiled filter, calls of the proxy, and bytes that go between the
    /// two, for a fixed set of requests and updates in a simulated proxy. `cargo xtask test`
    /// compares them with those that are committed in docs/benchmarks/instructions.json.
    Instructions(instructions::Options),
    /// CPU that the audit trail adds to a request in Envoy.
    ///
    /// Requests through two listeners of one Envoy in turn: the shipped one, and one whose
    /// filter records nothing.
    Recording(recording::Options),
}

/// Runs one.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Revoke(options) => revoke::run(options),
        Command::Memory(options) => memory::run(options),
        Command::Registry(options) => registry::run(options),
        Command::Audit(options) => audit::run(options),
        Command::Overhead(options) => overhead::run(options),
        Command::Instructions(options) => instructions::run(options),
        Command::Recording(options) => recording::run(options),
    }
}
