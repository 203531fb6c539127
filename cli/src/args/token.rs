//! `kya token`: what agents present.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use kya_core::{AgentId, TokenId};

use super::{Page, Stopping};
use crate::values::{parse_action, parse_selector, parse_service, parse_ttl};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Issue a token for an active agent; it is shown this once
    #[command(after_help = "\
Examples:
  TOKEN=$(kya token issue --agent AGENT_ID --ttl 8h)
  curl -H \"Authorization: Bearer $TOKEN\" http://PROXY/v1/charges
  kya token issue --agent AGENT_ID --service payments --action read_charge --action issue_refund")]
    Issue {
        /// The agent that is to hold it, `agt_…`
        #[arg(long, value_name = "ID")]
        agent: AgentId,
        /// A service that it is for, and no other; up to 16 times. All, without any
        #[arg(long = "service", value_name = "NAME", value_parser = parse_service)]
        services: Vec<String>,
        /// An action that it is for, and no other; up to 64 times. All, without any
        #[arg(long = "action", value_name = "NAME", value_parser = parse_action)]
        actions: Vec<String>,
        /// How long it counts, in whole seconds up to 365 days
        #[arg(long, default_value = "24h", value_name = "TIME", value_parser = parse_ttl)]
        ttl: Duration,
    },
    /// List tokens by their ids; the tokens themselves are not kept
    #[command(after_help = "\
SERVICES and ACTIONS are the only ones that a token is for, and `*` is all of them.

Example:
  kya token list --agent AGENT_ID
  kya -o json token list | jq -r '.tokens[] | select(.status == \"active\") | .token_id'")]
    List {
        /// Only those of this agent, `agt_…`
        #[arg(long, value_name = "ID")]
        agent: Option<AgentId>,
        #[command(flatten)]
        page: Page<TokenId>,
    },
    /// Revoke one token, all of an agent, or all that some agents have for something
    #[command(after_help = "\
One token is named by its id, and the agent's others go on. Many are named by whose they are, and
may be narrowed to those that are good for a service, or an action: a token that is for everything
is good for each. All tokens of one agent are taken back by one change, however many there are, and
those that are issued later count. It returns when every worker has acknowledged it, or after --wait.

Examples:
  kya token revoke TOKEN_ID --reason found_in_a_log
  kya token revoke --agent AGENT_ID --reason laptop_lost --incident-id INC-7
  kya token revoke --selector env=staging --action issue_refund --reason refund_loop --dry-run")]
    Revoke {
        #[command(flatten)]
        targets: TokenTargets,
        #[command(flatten)]
        stop: Stopping,
    },
}

/// Which tokens are meant: one, or those of an agent or of agents with some labels.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whose").args(["agent", "selector"]).multiple(true)))]
#[command(group(ArgGroup::new("tokens").args(["token_id", "agent", "selector"]).multiple(true)
    .required(true)))]
pub(crate) struct TokenTargets {
    /// The token's id, `tok_…` (not the token itself)
    #[arg(conflicts_with_all = ["agent", "selector", "service", "action"])]
    pub(crate) token_id: Option<TokenId>,
    /// Those of this agent instead, `agt_…`
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<AgentId>,
    /// Those of every agent with these labels instead, such as env=staging
    #[arg(long, value_parser = parse_selector)]
    pub(crate) selector: Option<String>,
    /// Of these, only those that are good for this service
    #[arg(long, value_name = "NAME", value_parser = parse_service, requires = "whose")]
    pub(crate) service: Option<String>,
    /// Of these, only those that are good for this action
    #[arg(long, value_name = "NAME", value_parser = parse_action, requires = "whose")]
    pub(crate) action: Option<String>,
}
