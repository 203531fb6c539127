//! `kya token`: what agents present.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use kya_core::AgentId;

use super::{Page, Stopping};
use crate::token_id::AnyTokenId;
use crate::values::{parse_action, parse_selector, parse_service, parse_ttl};

/// How long a token lives that is for no other time: an opaque one, and a capability token.
pub(crate) const DEFAULT_TTL: [Duration; 2] =
    [Duration::from_secs(24 * 60 * 60), Duration::from_secs(5 * 60)];

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Issue a token for an active agent; it is shown this once
    #[command(after_help = "\
An opaque token (`at_…`) says nothing by itself. With --capability the token is a signed JWT that
says whose it is and what it is for, so that services without a proxy can verify it too; agents with
a key get theirs at /oauth/token, without an operator. Either is checked against the newest state at
every request, and no token outlives the `max_ttl` of its agent's policy.

Examples:
  TOKEN=$(kya token issue --agent AGENT_ID --ttl 8h)
  curl -H \"Authorization: Bearer $TOKEN\" http://PROXY/v1/charges
  kya token issue --agent AGENT_ID --service payments --action read_charge --action issue_refund
  kya token issue --capability --agent AGENT_ID --service payments --ttl 5m")]
    Issue {
        /// A capability token, which names its services and lives for minutes
        #[arg(long)]
        capability: bool,
        /// The agent that is to hold it, `agt_…`
        #[arg(long, value_name = "ID")]
        agent: AgentId,
        /// A service that it is for, and no other; up to 16 times. All, without any;
        /// a capability token is for those that the agent's policy names, then
        #[arg(long = "service", value_name = "NAME", value_parser = parse_service)]
        services: Vec<String>,
        /// An action that it is for, and no other; up to 64 times. All, without any
        #[arg(long = "action", value_name = "NAME", value_parser = parse_action)]
        actions: Vec<String>,
        /// How long it counts, in whole seconds: 24h unless given, up to 365 days;
        /// a capability token 5m, up to 24h and to what the issuer allows
        #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
        ttl: Option<Duration>,
    },
    /// List tokens by their ids; the tokens themselves are not kept
    #[command(after_help = "\
SERVICES and ACTIONS are the only ones that a token is for, and `*` is all of them.
A capability token is `superseded` when all tokens of its agent were taken back after it was issued.

Example:
  kya token list --agent AGENT_ID
  kya token list --capability --agent AGENT_ID
  kya -o json token list | jq -r '.tokens[] | select(.status == \"active\") | .token_id'")]
    List {
        /// The capability tokens, in place of the opaque ones
        #[arg(long)]
        capability: bool,
        /// Only those of this agent, `agt_…`
        #[arg(long, value_name = "ID")]
        agent: Option<AgentId>,
        #[command(flatten)]
        page: Page<AnyTokenId>,
    },
    /// Revoke one token, all of an agent, or all that some agents have for something
    #[command(after_help = "\
One token is named by its id, `tok_…` or `cap_…` (the `jti` of a capability token), and the agent's
others go on. Many are named by whose they are, and
may be narrowed to those that are good for a service, or an action: a token that is for everything
is good for each. All tokens of one agent are taken back by one change, however many there are, and
those that are issued later count. It returns when every worker has acknowledged it, or after --wait.

Examples:
  kya token revoke TOKEN_ID --reason found_in_a_log
  kya token revoke cap_… --reason found_in_a_log --dry-run
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
    /// The token's id, `tok_…` or `cap_…` (not the token itself)
    #[arg(conflicts_with_all = ["agent", "selector", "service", "action"])]
    pub(crate) token_id: Option<AnyTokenId>,
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
