//! `kya agent`: the registry of agents.

use clap::{Args, Subcommand, ValueEnum};
use kya_core::{AgentId, PublicKey};
use serde::Serialize;

use super::{MaybeWhy, Page, Stopping, Wait};
use crate::pubkey;
use crate::values::{
    parse_expiry, parse_label, parse_policy, parse_principal, parse_selector, parse_text,
};

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Add an agent to the registry; it is active at once
    #[command(after_help = "\
Owner, labels and expiry stay as they are registered; the policy can be changed (`kya policy assign`).

Example:
  openssl genpkey -algorithm ed25519 -out agent.key
  openssl pkey -in agent.key -pubout -out agent.pub
  kya agent register --name billing-agent --pubkey agent.pub --owner alice@example.com \\
    --label env=prod --label team=pay --expires-at 2027-01-31T12:00:00Z")]
    Register {
        /// A name for people, at most 128 characters; it need not be unique
        #[arg(long, value_parser = |text: &str| parse_text(text, 128))]
        name: String,
        /// The agent's Ed25519 public key: a file with it, or itself, as PEM, base64,
        /// `ed25519:` and base64, or a JWK
        #[arg(long, value_name = "FILE|KEY", value_parser = pubkey::read)]
        pubkey: Option<PublicKey>,
        /// The principal on whose behalf it acts (`kya principal add`)
        #[arg(long, value_name = "NAME|ID", value_parser = parse_principal)]
        owner: Option<String>,
        /// The agent that it acts for: it has that one's owner, may do no more, and is
        /// stopped with it
        #[arg(long, value_name = "ID")]
        parent: Option<AgentId>,
        /// A label to find it by, `key=value`; up to 32 times
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
        labels: Vec<(String, String)>,
        /// The policy that says what it may do (`kya policy apply`); without one it may do
        /// everything that nothing else denies
        #[arg(long, value_name = "NAME|ID", value_parser = parse_policy)]
        policy: Option<String>,
        /// When it expires, within ten years: 2027-01-31T12:00:00Z
        #[arg(long, value_name = "TIME", value_parser = parse_expiry)]
        expires_at: Option<String>,
    },
    /// Register an agent in the place of a revoked one, with a key of its own
    #[command(after_help = "\
Name, owner, labels, parent, policy and expiry are those of the old agent. Its record and its trail
stay, and it says who came after it. An agent that is not revoked yet is revoked by the same change
with --revoke.

Example:
  kya agent replace AGENT_ID --pubkey fresh.pub
  kya agent replace AGENT_ID --pubkey fresh.pub --revoke --reason key_leaked --incident-id INC-7")]
    Replace {
        /// The agent whose place is taken, `agt_…`
        id: AgentId,
        /// The new agent's Ed25519 public key, which no agent has had: a file with it, or
        /// itself, as PEM, base64, `ed25519:` and base64, or a JWK
        #[arg(long, value_name = "FILE|KEY", value_parser = pubkey::read)]
        pubkey: PublicKey,
        /// Another name than that of the old agent, at most 128 characters
        #[arg(long, value_parser = |text: &str| parse_text(text, 128))]
        name: Option<String>,
        /// Revoke the old agent, if it is not revoked
        #[arg(long, requires = "reason")]
        revoke: bool,
        /// Why the old agent is revoked, at most 256 characters
        #[arg(long, requires = "revoke", value_parser = |text: &str| parse_text(text, 256))]
        reason: Option<String>,
        /// The incident that this belongs to, at most 128 characters
        #[arg(long, value_name = "ID", value_parser = |text: &str| parse_text(text, 128))]
        incident_id: Option<String>,
    },
    /// List agents, ordered by id (which is by age) or as --sort says
    #[command(after_help = "\
A selector is one or more of key=value, key!=value, key and !key, with commas between: all must
hold. An agent without the label meets key!=value. Names are sorted by their bytes, and agents that
never expire come last. --after goes with the same --sort.

Example:
  kya agent list --selector 'env=prod,team!=pay,!legacy' --status active
  kya agent list --sort expires --limit 10      # who expires next?
  kya agent list --sort -created --limit 10     # who was registered last?")]
    List {
        /// Only those of this status
        #[arg(long, value_enum)]
        status: Option<AgentStatus>,
        /// Only those with these labels
        #[arg(long, value_parser = parse_selector)]
        selector: Option<String>,
        /// Only those of this principal
        #[arg(long, value_name = "NAME|ID", value_parser = parse_principal)]
        owner: Option<String>,
        /// Only those under this policy
        #[arg(long, value_name = "NAME|ID", value_parser = parse_policy)]
        policy: Option<String>,
        /// In which order; with `-` before it, the last first
        #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
        #[arg(value_parser = ["name", "created", "expires", "-name", "-created", "-expires"])]
        sort: Option<String>,
        #[command(flatten)]
        page: Page<AgentId>,
    },
    /// Show what the registry knows of an agent
    Show {
        /// The agent's id, `agt_…`
        id: AgentId,
    },
    /// Show an agent and all that act for it, below each the ones that act for that one
    #[command(after_help = "\
Whatever stops an agent stops all below it. At most a thousand are shown.

Example:
  kya agent tree AGENT_ID
  kya -o json agent tree AGENT_ID | jq -r '.agents[] | select(.depth == 1) | .agent_id'")]
    Tree {
        /// The id of the agent at the top, `agt_…`
        id: AgentId,
    },
    /// Revoke an agent, for ever: every proxy denies it from now on
    #[command(after_help = "\
It returns when every worker of every connected proxy has acknowledged the revocation, or after
--wait, and says which: the revocation is committed either way, and the exit code is 0.

Example:
  kya agent revoke AGENT_ID --reason prompt_injection_suspected --incident-id INC-2026-0205-001
  kya agent revoke --selector env=staging,team=pay --reason retired --dry-run")]
    Revoke {
        #[command(flatten)]
        targets: Targets,
        #[command(flatten)]
        stop: Stopping,
    },
    /// Deny an agent until it is restored; work under way may end unless --in-flight says abort
    #[command(after_help = "\
Opaque tokens are denied at once. With `drain`, capability tokens that were issued before it go on
for the drain_window of the agent's policy (60s without one), and requests under way end by
themselves. With `abort` nothing goes on. What drains can be aborted by another suspension.

Example:
  kya agent suspend AGENT_ID --reason investigating_anomaly
  kya agent suspend AGENT_ID --reason money_is_leaving --in-flight abort")]
    Suspend {
        #[command(flatten)]
        targets: Targets,
        /// What becomes of requests under way and of capability tokens that are out; `drain`
        /// if it is not said
        #[arg(long, value_enum, value_name = "WHAT")]
        in_flight: Option<InFlight>,
        #[command(flatten)]
        stop: Stopping,
    },
    /// End the suspension of an agent; a revoked agent stays revoked
    Restore {
        /// The agent's id, `agt_…`
        id: AgentId,
        #[command(flatten)]
        maybe: MaybeWhy,
        #[command(flatten)]
        wait: Wait,
    },
}

/// Whom a stop is aimed at: one agent, or all with these labels.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Targets {
    /// The agent's id, `agt_…`
    pub(crate) id: Option<AgentId>,
    /// Every agent with these labels instead, such as env=staging
    #[arg(long, value_parser = parse_selector)]
    pub(crate) selector: Option<String>,
}

/// What becomes of what was allowed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InFlight {
    /// It ends now
    Abort,
    /// It may end by itself
    Drain,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum AgentStatus {
    Active,
    Suspended,
    Revoked,
    Expired,
}

impl AgentStatus {
    /// As the API writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}
