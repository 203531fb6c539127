//! `xtask simulate`: the other ends of a benchmark.
//!
//! They run in a process of their own, optimised, so that what is measured is the
//! control plane and not them. They say what they see on stdout, one JSON object a
//! line, and end with their stdin.

mod arrivals;
mod auditor;
mod back_off;
pub(crate) mod chance;
mod crowd;
pub(crate) mod load;
mod newcomers;
pub(crate) mod pollers;
mod readers;
mod reports;
mod returning;
mod stdin;
mod streams;
pub(crate) mod subscribers;
pub(crate) mod tables;
mod visits;
mod writer;

use std::io::Write as _;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub(crate) use auditor::Counted;
pub(crate) use reports::Reported;
pub(crate) use streams::CREDENTIAL;
pub(crate) use visits::Visit;

/// What can be simulated.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Role {
    /// Proxies that hold a stream open.
    Streams(streams::Options),
    /// Who writes to plain TCP connections, without any protocol.
    Writer(writer::Options),
    /// Who reads from those.
    Readers(readers::Options),
    /// Subscribers of a channel of Redis.
    Subscribers(subscribers::Options),
    /// Sidecars that ask Redis every so often whether an agent is denied.
    Pollers(pollers::Options),
    /// Proxies that connect for the first time, fetch everything and leave.
    Newcomers(newcomers::Options),
    /// Proxies that come back after they were cut off.
    Returning(returning::Options),
    /// Workers that report as fast as they are acknowledged what they decide.
    Reports(reports::Options),
    /// Who looks for every event in an export, and verifies that.
    Auditor(auditor::Options),
    /// Control planes with large tables of tokens, which never change.
    Tables(tables::Options),
    /// Who makes requests, a slice of time at a time.
    Load,
}

/// What a simulation says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// Where the writer listens.
    Listens {
        /// Its address.
        address: String,
    },
    /// All connections are there, and all streams have their first state.
    Ready,
    /// Where each of the tables is, in the order in which they were asked for.
    Serves {
        /// Their addresses.
        addresses: Vec<String>,
    },
    /// What became of a slice of load.
    Loaded(load::Loaded),
    /// All streams have this revision, by the delta that leads to it or with a state.
    Delta(Arrived),
    /// All streams have a state of this epoch.
    State(Arrived),
    /// All connections have got the message with this number, or know of this agent.
    Message(Arrived),
    /// They ask about this agent from now on.
    Asking {
        /// Its number.
        id: u64,
    },
    /// What proxies that have left again came for.
    Visited {
        /// What each took.
        visits: Vec<Visit>,
        /// How many did not come because as many were there as may be.
        turned_away: usize,
    },
    /// The writer began to write the message with this number.
    Began {
        /// Number of the message.
        id: u64,
        /// When.
        unix_ms: f64,
    },
    /// Everything that was reported is acknowledged.
    Reported(Reported),
    /// What is in an export, which verifies.
    Audited(Counted),
    /// It cannot go on.
    Failed {
        /// Why.
        why: String,
    },
}

/// When everybody got something.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Arrived {
    /// What it was.
    pub(crate) id: u64,
    /// How many bytes it had on each connection, framing included.
    pub(crate) bytes: usize,
    /// When the first had it.
    pub(crate) first_unix_ms: f64,
    /// When the last had it.
    pub(crate) last_unix_ms: f64,
}

/// Simulates until stdin ends.
pub(crate) fn run(role: &Role) -> Result<()> {
    match role {
        Role::Streams(options) => streams::run(options),
        Role::Writer(options) => writer::run(options),
        Role::Readers(options) => readers::run(options),
        Role::Subscribers(options) => subscribers::run(options),
        Role::Pollers(options) => pollers::run(options),
        Role::Newcomers(options) => newcomers::run(options),
        Role::Returning(options) => returning::run(options),
        Role::Reports(options) => reports::run(options),
        Role::Auditor(options) => auditor::run(options),
        Role::Tables(options) => tables::run(options),
        Role::Load => load::run(),
    }
}

fn say(said: &Said) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: the end of stdin is what ends this.
    let _ = serde_json::to_writer(&mut out, said);
    let _ = out.write_all(b"\n").and_then(|()| out.flush());
}
