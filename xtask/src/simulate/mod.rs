//! `xtask simulate`: the other ends of a benchmark.
//!
//! They run in a process of their own, optimised, so that what is measured is the
//! control plane and not them. They say what they see on stdout, one JSON object a
//! line, and end with their stdin.

mod arrivals;
mod auditor;
pub(crate) mod load;
mod plain;
mod reports;
mod streams;
pub(crate) mod tables;
mod writer;

use std::io::Write as _;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub(crate) use auditor::Counted;
pub(crate) use reports::Reported;
pub(crate) use streams::CREDENTIAL;

/// What can be simulated.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Role {
    /// Proxies that hold a stream open, and readers of plain TCP connections.
    Streams(streams::Options),
    /// Who writes to plain TCP connections, without any protocol.
    Writer(writer::Options),
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
    /// All streams have got the delta that leads to this revision.
    Delta(Arrived),
    /// All plain connections have got the message with this number.
    Plain(Arrived),
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
