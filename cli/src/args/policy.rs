//! `kya policy`: what agents may do.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kya_core::{AgentId, PolicyId};

use super::{DryRun, MaybeWhy, Page, Stopping, Wait};
use crate::values::parse_policy;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Make a policy say what a file says: its next version, or the first of a new one
    #[command(after_help = "\
The file is YAML, or JSON if its name ends in .json; `-` reads standard input. The name in it says
which policy it is. What says the same already changes nothing. Whoever is under the policy is
decided about by the new version as soon as the proxies have it, and requests in flight that it does
not permit any more end as its `in_flight` says.

Example:
  kya policy check -f checkout.yaml
  kya policy apply -f checkout.yaml --dry-run
  kya policy apply -f checkout.yaml --if-version 3 --reason no_refunds_at_night")]
    Apply {
        #[command(flatten)]
        file: File,
        /// Only if this is the newest version now; 0 if there must be none yet
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u32>,
        #[command(flatten)]
        maybe: MaybeWhy,
        #[command(flatten)]
        dry: DryRun,
        #[command(flatten)]
        wait: Wait,
    },
    /// Say whether a file is a policy, and all that is wrong if not; asks no server
    Check {
        #[command(flatten)]
        file: File,
    },
    /// Show a policy
    #[command(after_help = "\
The document is shown as JSON, which is YAML too: it can be edited and applied again.

Example:
  kya -o json policy get checkout | jq .document > checkout.json")]
    Get {
        #[command(flatten)]
        of: Of,
        /// Which version, and not the newest
        #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
        version: Option<u32>,
    },
    /// List policies, ordered by id (which is by age)
    List {
        #[command(flatten)]
        page: Page<PolicyId>,
    },
    /// Show what differs between two versions, or between a policy and a file
    #[command(after_help = "\
Example:
  kya policy diff checkout                 # what the newest version has changed
  kya policy diff checkout --from 2 --to 5
  kya policy diff -f checkout.yaml         # what applying the file would change")]
    Diff {
        /// The name of the policy, or its id, `pol_…`
        #[arg(value_name = "NAME|ID", value_parser = parse_policy)]
        #[arg(required_unless_present = "file", conflicts_with = "file")]
        policy: Option<String>,
        /// From this version; from the one before, if left out
        #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
        #[arg(conflicts_with = "file")]
        from: Option<u32>,
        /// To this version; to the newest, if left out
        #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
        #[arg(conflicts_with = "file")]
        to: Option<u32>,
        /// To what this file says; `-` is standard input
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List the versions of a policy, the newest first: when, who, why
    History {
        #[command(flatten)]
        of: Of,
        /// Only versions before this one
        #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
        before: Option<u32>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Make a policy say again what it said in an earlier version
    #[command(after_help = "\
It makes a new version: no version is ever changed, and the trail stays.

Example:
  kya policy rollback checkout --to 3 --reason it_was_better")]
    Rollback {
        #[command(flatten)]
        of: Of,
        /// The version that it is to say again
        #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
        to: u32,
        #[command(flatten)]
        stop: Stopping,
    },
    /// Make a policy permit nothing: whoever is under it is denied
    #[command(after_help = "\
It makes a new version that permits nothing; `kya policy rollback` puts an earlier one back.
Requests in flight are cut off.

Example:
  kya policy revoke checkout --reason wrong_limits --incident-id INC-7 --dry-run")]
    Revoke {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        stop: Stopping,
    },
    /// Put an agent under a policy
    #[command(after_help = "\
An agent under no policy may do everything that nothing else denies.

Example:
  kya policy assign checkout --agent AGENT_ID --reason least_privilege")]
    Assign {
        #[command(flatten)]
        of: Of,
        /// Which agent, `agt_…`
        #[arg(long, value_name = "ID")]
        agent: AgentId,
        #[command(flatten)]
        maybe: MaybeWhy,
        #[command(flatten)]
        wait: Wait,
    },
    /// Take an agent out from under its policy: it may do everything that nothing else denies
    Unassign {
        /// Which agent, `agt_…`
        #[arg(long, value_name = "ID")]
        agent: AgentId,
        #[command(flatten)]
        maybe: MaybeWhy,
        #[command(flatten)]
        wait: Wait,
    },
}

/// Which policy.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The name of the policy, or its id, `pol_…`
    #[arg(value_name = "NAME|ID", value_parser = parse_policy)]
    pub(crate) policy: String,
}

/// Where a policy is written.
#[derive(Debug, Args)]
pub(crate) struct File {
    /// The file that it is written in; `-` is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) path: PathBuf,
}
