//! `kya verify`.

use std::path::PathBuf;

use clap::Args;
use kya_core::AgentId;

use crate::values::{parse_action, parse_service};

#[derive(Debug, Args)]
#[command(after_help = "\
It decides by everything that was committed before it was asked. The exit code is 0 for ALLOW, and 5
for DENY.

Example:
  kya verify --agent AGENT_ID --action issue_refund --service payments
  printf %s \"$TOKEN\" | kya verify --token-file - --action issue_refund")]
pub(crate) struct Verify {
    /// A file with the token that is presented; `-` is standard input. Tokens do not
    /// belong on command lines, which other users of this machine can see
    #[arg(long, value_name = "FILE", required_unless_present = "agent", conflicts_with = "agent")]
    pub(crate) token_file: Option<PathBuf>,
    /// An agent, as if by a token that was just issued for all that it may do
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<AgentId>,
    /// What the request would do
    #[arg(long, value_name = "NAME", value_parser = parse_action)]
    pub(crate) action: Option<String>,
    /// The service that it would be for
    #[arg(long, value_name = "NAME", value_parser = parse_service)]
    pub(crate) service: Option<String>,
}
