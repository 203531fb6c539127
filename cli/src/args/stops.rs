//! `kya principal`, `kya capability`, `kya halt` and `kya resume`.

use clap::{Args, Subcommand, ValueEnum};
use kya_core::{AgentId, PrincipalId};

use super::{Page, Stopping, Wait, Why};
use crate::values::{parse_action, parse_principal, parse_principal_name, parse_text};

#[derive(Debug, Subcommand)]
pub(crate) enum PrincipalCommand {
    /// Add a principal: a person or a team on whose behalf agents act
    #[command(after_help = "\
Example:
  kya principal add alice@example.com
  kya agent register --name billing-agent --owner alice@example.com")]
    Add {
        /// What it is called, for ever: up to 254 of a-z, 0-9, `.` `_` `-` `+`, and `@`
        #[arg(value_parser = parse_principal_name)]
        name: String,
    },
    /// List principals, ordered by id (which is by age)
    List {
        /// Only those of this status
        #[arg(long, value_enum)]
        status: Option<PrincipalStatus>,
        #[command(flatten)]
        page: Page<PrincipalId>,
    },
    /// Show a principal
    Show {
        /// Its name, or its id, `prn_…`
        #[arg(value_name = "NAME|ID", value_parser = parse_principal)]
        principal: String,
    },
    /// End all that acts for a principal, for ever: somebody has left
    #[command(after_help = "\
It is one change, whatever the number of agents and tokens, and cannot be undone. The principal
gets no new agents and its agents get no new tokens; who comes back is added under another name.

Example:
  kya principal offboard alice@example.com --reason she_left --dry-run
  kya principal offboard alice@example.com --reason she_left --incident-id HR-7")]
    Offboard {
        /// Its name, or its id, `prn_…`
        #[arg(value_name = "NAME|ID", value_parser = parse_principal)]
        principal: String,
        #[command(flatten)]
        stop: Stopping,
    },
    /// Deny all that acts for a principal, until it is restored
    Suspend {
        /// Its name, or its id, `prn_…`
        #[arg(value_name = "NAME|ID", value_parser = parse_principal)]
        principal: String,
        #[command(flatten)]
        stop: Stopping,
    },
    /// End the suspension of a principal
    Restore {
        /// Its name, or its id, `prn_…`
        #[arg(value_name = "NAME|ID", value_parser = parse_principal)]
        principal: String,
        #[command(flatten)]
        maybe: MaybeWhy,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CapabilityCommand {
    /// Deny one action of an agent, for ever; its other actions go on
    #[command(after_help = "\
It cannot be undone: what may be put back is suspended instead. A proxy that does not know which
action a request is denies all of an agent of which any action is stopped.

Example:
  kya capability revoke --agent AGENT_ID --action issue_refund --reason refund_loop")]
    Revoke {
        #[command(flatten)]
        of: CapabilityOf,
        #[command(flatten)]
        stop: Stopping,
    },
    /// Deny one action of an agent until it is restored
    Suspend {
        #[command(flatten)]
        of: CapabilityOf,
        #[command(flatten)]
        stop: Stopping,
    },
    /// End the suspension of an action; a revoked one stays revoked
    Restore {
        #[command(flatten)]
        of: CapabilityOf,
        #[command(flatten)]
        maybe: MaybeWhy,
        #[command(flatten)]
        wait: Wait,
    },
    /// List the actions of an agent about which something was decided
    List {
        /// Whose, `agt_…`
        #[arg(long, value_name = "ID")]
        agent: AgentId,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
It is one change, and every request of every agent is denied until `kya resume`. It asks nothing:
--all is there so that nobody does it by a slip.

Example:
  kya halt --all --reason everything_is_wrong --incident-id INC-1")]
pub(crate) struct Halt {
    /// All agents, without exception
    #[arg(long, required = true)]
    all: bool,
    #[command(flatten)]
    pub(crate) stop: Stopping,
}

#[derive(Debug, Args)]
#[command(after_help = "\
It asks on the terminal before it does it. What was suspended or revoked by itself stays so. Where
the control plane takes two operators for it, it waits for the second (`kya approval`), and exits
with 6.

Example:
  kya resume --reason the_fire_is_out
  kya resume --reason the_fire_is_out --yes     # in a script")]
pub(crate) struct Resume {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) why: Why,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Which action, and whose.
#[derive(Debug, Args)]
pub(crate) struct CapabilityOf {
    /// Whose, `agt_…`
    #[arg(long, value_name = "ID")]
    pub(crate) agent: AgentId,
    /// Which: up to 256 of a-z, 0-9, `_` `.` `:` `/` `-`
    #[arg(long, value_name = "NAME", value_parser = parse_action)]
    pub(crate) action: String,
}

/// A reason that need not be given.
#[derive(Debug, Args)]
pub(crate) struct MaybeWhy {
    /// Why, at most 256 characters
    #[arg(long, value_parser = |text: &str| parse_text(text, 256))]
    pub(crate) reason: Option<String>,
    /// The incident that this belongs to, at most 128 characters
    #[arg(long, value_name = "ID", value_parser = |text: &str| parse_text(text, 128))]
    pub(crate) incident_id: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PrincipalStatus {
    Active,
    Suspended,
    Revoked,
}

impl PrincipalStatus {
    /// As the API writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }
}
