//! `kya operator`: who may use the control plane, and for what.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use super::{Page, Why};
use crate::values::{PlainName, parse_node_ttl, parse_operator_name};

/// The roles, so that a help that speaks of them says them all.
const ROLES: &str = "\
Roles, and what each may do:
  viewer     look at agents, tokens, proxies and keys, and have proxies prove that they are armed
  auditor    the same, and read the log of events, the audit trail, kills and the list of operators
  operator   the same as a viewer, read the audit trail and kills, and stop: revoke and suspend
             agents, actions and principals, halt everyone, revoke tokens and nodes. It restores, registers and issues nothing:
             for those on call, and for automatic response
  admin      everything, other operators included
";

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Add an operator, and get its key
    #[command(after_help = format!("\
{ROLES}
The key goes alone to stdout, this once: the control plane keeps only its hash. Whoever gets it
puts it into KYA_TOKEN. What is done with it is logged under the operator's name, so give each
person and each program a key of its own. To replace one, add another under a new name and revoke
the first.

Examples:
  kya operator add oncall-anna --role operator --expires-in 90d
  KEY=$(kya operator add soar --role operator --quiet)
  KYA_TOKEN=$KEY kya whoami"))]
    Add {
        /// What the operator is called, for ever: up to 128 letters, digits and
        /// `.` `_` `-` `~`
        #[arg(value_parser = parse_operator_name)]
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: Role,
        /// How long its key counts, in whole seconds up to ten years, such as 90d
        /// [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = parse_node_ttl)]
        expires_in: Option<Duration>,
        /// Print the key and say nothing about it
        #[arg(short, long)]
        quiet: bool,
    },
    /// List operators by name, without their keys
    #[command(after_help = "\
The built-in operator `admin`, whose key is admin.key in the control plane's data directory, is not
in the list.

Example:
  kya -o json operator list | jq -r '.operators[] | select(.status == \"active\") | .name'")]
    List {
        #[command(flatten)]
        page: Page<PlainName>,
    },
    /// Revoke an operator's key, for ever: it is refused from the next request on
    #[command(after_help = "\
What was done with the key stays done: look through the log of events (GET /v1/events) if it was in
wrong hands.

Example:
  kya operator revoke oncall-anna --reason laptop_lost --incident-id INC-2026-0205-001")]
    Revoke {
        /// The operator's name (not its key)
        #[arg(value_parser = parse_operator_name)]
        name: String,
        #[command(flatten)]
        why: Why,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Role {
    Viewer,
    Auditor,
    Operator,
    Admin,
}

impl Role {
    /// As the API writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}
