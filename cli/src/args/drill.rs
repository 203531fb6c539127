//! `kya drill`: a canary is stopped again and again, to see who hears of it, and when.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use kya_core::{AgentId, DrillId};
use serde::Serialize;

use super::{Proving, ScheduleCommand};
use crate::values::{parse_p99, parse_probe, parse_selector};

#[derive(Debug, Subcommand)]
pub(crate) enum DrillCommand {
    /// Run a drill: stop a canary through the proxies of relying parties, and measure
    #[command(after_help = "\
The control plane makes a canary, which is no production agent, and sends its requests to every
--probe, through the proxy in front of it. It stops the canary at a random instant, sees when each
party rejects it, restores it, and does that again. Nothing is left behind, however it ends: Ctrl-C
stops the drill and waits until the canary is restored.

The exit code is 0 if the drill passed, and 8 if not: a party did not reject the canary, something
was allowed though it was sent after every worker had acknowledged the stop, --p99 is exceeded, or
the drill ended early. Each party that is at fault is named with the likely cause.

Examples:
  kya drill run --probe payments=http://10.0.0.7:8080/health --probe http://10.0.0.8:8080/health
  kya drill run --probe http://10.0.0.7:8080/ --samples 50 --p99 1s && echo everybody hears
  kya -o json drill run --probe http://10.0.0.7:8080/ | jq .result.last_rejection_ms.p99")]
    Run(RunDrill),
    /// Show a drill, and what it has found
    #[command(after_help = "\
Example:
  kya drill show DRILL_ID
  kya -o json drill show DRILL_ID --samples | jq '.samples[0].parties[0].probes'")]
    Show {
        /// Its id, `drl_…`
        id: DrillId,
        /// Also every sample with its probes, which only `-o json` shows
        #[arg(long)]
        samples: bool,
    },
    /// Write the report of a drill, with the evidence that it rests on
    #[command(after_help = "\
The report has scenario, authority, figures with charts, each relying party, findings, recovery, and
what it is evidence for. The file also holds what the figures follow from: every sample with its
probes, the signed receipt of each stop, and the records of the drill with their proofs.
`kya audit verify FILE --key KEY` checks all of it offline and names what was changed.

It is made here and not by the server, and verified before it is given out, by the key that you pin
with --key or KYA_AUDIT_KEY; with none, by those that the server names. With --from it is made from
the evidence in another report, and no server is asked. html is one page that loads nothing and runs
no script; json is the evidence alone.

Examples:
  kya drill report DRILL_ID --out drill.html
  kya drill report DRILL_ID --format pdf --out drill.pdf --key audit.pub
  kya drill report DRILL_ID --format json | jq .drill.result.last_rejection_ms
  kya drill report --from drill.json --key audit.pub --out drill.html
  kya audit verify drill.html --key audit.pub")]
    Report(ReportDrill),
    /// List drills, the newest first
    #[command(after_help = "\
Example:
  kya drill list --limit 5")]
    List {
        /// Those before this one: where the page before ended
        #[arg(long, value_name = "DRILL_ID")]
        before: Option<DrillId>,
        /// How many
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// End a drill before its last sample, and restore its canary
    #[command(after_help = "\
It is answered at once; `kya drill show` says when everything is as it was before.

Example:
  kya drill stop DRILL_ID")]
    Stop {
        /// Its id, `drl_…`
        id: DrillId,
    },
    /// Have the control plane run drills when they are due
    #[command(subcommand)]
    Schedule(ScheduleCommand),
}

#[derive(Debug, Args)]
pub(crate) struct RunDrill {
    /// A relying party: an address through its proxy, which answers 2xx to whoever is let
    /// through. Up to 64; the host is the name where none is given
    #[arg(long = "probe", required = true, value_name = "[NAME=]URL", value_parser = parse_probe)]
    pub(crate) probes: Vec<Probe>,
    /// How often the canary is stopped, up to 200 times
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) samples: u32,
    /// The labels of the canary. Production is refused
    #[arg(long, default_value = "env!=prod", value_name = "SELECTOR")]
    #[arg(value_parser = parse_selector)]
    pub(crate) selector: String,
    /// An agent of yours to be the canary, which must have the label canary=true; one is
    /// made if none is named
    #[arg(long, value_name = "AGENT_ID")]
    pub(crate) agent: Option<AgentId>,
    /// Requests to each party in a second, up to 5000, and 20000 to all of them
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub(crate) rate: u32,
    /// How the canary is stopped; with `revoke` each sample has one of its own
    #[arg(long, value_enum, default_value = "suspend")]
    pub(crate) act: Act,
    /// The most that the 99th percentile of the last rejection may be, up to 60s
    #[arg(long, value_name = "TIME", value_parser = parse_p99)]
    pub(crate) p99: Option<Duration>,
    /// PEM file of the authorities that issued the certificates of https:// probes; without
    /// it, those count that the machine of the control plane trusts
    #[arg(long, value_name = "FILE")]
    pub(crate) probe_ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("of").required(true).args(["id", "from"]))]
pub(crate) struct ReportDrill {
    /// Its id, `drl_…`
    pub(crate) id: Option<DrillId>,
    /// A report of any format: its evidence is taken, and no server asked
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// What it is written as
    #[arg(long, value_enum, default_value = "html", value_name = "FORMAT")]
    pub(crate) format: ReportFormat,
    #[command(flatten)]
    pub(crate) proving: Proving,
    /// Write to this file, which is there only when it is whole
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One page, with its evidence
    Html,
    /// Pages for print, with the evidence attached
    Pdf,
    /// The evidence alone: one JSON document
    Json,
}

/// A relying party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Probe {
    pub(crate) name: String,
    pub(crate) url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Act {
    /// Suspend it, with requests in flight aborted, and restore it after each sample
    Suspend,
    /// Revoke it
    Revoke,
}
