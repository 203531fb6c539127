//! The command line.

mod agent;
mod approval;
mod audit;
mod drill;
mod key;
mod kill;
mod node;
mod operator;
mod policy;
mod reference;
mod schedule;
mod stops;
mod token;
mod token_key;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use kya_core::{WrittenKey, WrittenKeyError};
use url::Url;

pub(crate) use self::agent::{AgentCommand, InFlight, Targets};
pub(crate) use self::approval::ApprovalCommand;
pub(crate) use self::audit::{
    Archive, AuditCommand, AuditKeysCommand, AuditVerify, CheckKills, Export, ExportFormat, Pinned,
    ProofOf, Proving, Tail,
};
pub(crate) use self::drill::{Act, DrillCommand, Probe, ReportDrill, ReportFormat, RunDrill};
pub(crate) use self::key::KeyCommand;
pub(crate) use self::kill::{KillCommand, KillReceipt, ListKills, VerifyReceipt};
pub(crate) use self::node::NodeCommand;
pub(crate) use self::operator::OperatorCommand;
pub(crate) use self::policy::PolicyCommand;
pub(crate) use self::reference::reference;
pub(crate) use self::schedule::{AddSchedule, ScheduleCommand};
pub(crate) use self::stops::{
    CapabilityCommand, CapabilityOf, Halt, MaybeWhy, PrincipalCommand, PrincipalStatus, Resume,
};
pub(crate) use self::token::{DEFAULT_TTL, TokenCommand, TokenTargets};
pub(crate) use self::token_key::TokenKeyCommand;
pub(crate) use self::verify::Verify;
use crate::error::EXIT_CODES;
use crate::output::{Format, printable, short};
use crate::values::{parse_server, parse_text, parse_timeout, parse_wait};

const EXAMPLES: &str = "\
Examples:
  export KYA_TOKEN=$(cat DATA_DIR/admin.key)    # made by the control plane at its first start
  kya agent register --name billing-agent
  kya token issue --agent AGENT_ID --ttl 8h
  kya agent tree AGENT_ID                       # who acts for it, and is stopped with it
  kya token issue --capability --agent AGENT_ID --service payments   # a signed one, for 5 minutes
  kya verify --agent AGENT_ID --action issue_refund   # would it be allowed?
  kya agent revoke AGENT_ID --reason prompt_injection_suspected --incident-id INC-2026-0205-001
  kya agent suspend --selector env=staging --reason noise --dry-run   # whom would it reach?
  kya policy apply -f checkout.yaml --dry-run   # what would change, and for whom?
  kya principal offboard alice@example.com --reason she_left
  kya status                                    # would the next kill work?
  kya halt --all --reason everything_is_wrong   # and later: kya resume --reason …
  kya kill wait KILL_ID --timeout 5s            # does everybody apply it? kya kill show KILL_ID
  kya drill run --probe http://10.0.0.7:8080/health   # does a stop arrive, and how fast?
  kya drill schedule add canary --every 5m --probe http://10.0.0.7:8080/health   # and does it still?
  kya node add web-1                            # lets the Envoy whose node.id is web-1 connect
  kya node list                                 # the proxies, and whether each is armed
  kya node challenge && echo all armed          # has every connected proxy prove it now
  kya operator add oncall-anna --role operator  # a key that can stop agents, and nothing else
  kya audit tail -f --decision deny             # what is refused, as it happens
  kya audit export --agent AGENT_ID --since 2h --verify-chain   # and proved to be whole
  kya whoami                                    # whose key KYA_TOKEN is, and what it may do
  kya -o json agent list --status revoked | jq -r '.agents[].agent_id'";

/// What stands below the help of the whole program.
fn epilogue() -> String {
    let codes = EXIT_CODES.map(|(code, says)| format!("\n  {code}  {says}")).concat();
    format!("{EXAMPLES}\n\nExit codes:{codes}")
}

/// Revokes AI agents at the proxies that carry their traffic.
#[derive(Debug, Parser)]
#[command(name = "kya", version, after_help = epilogue())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// HTTP API of the control plane, as http:// or https://. Reach one on
    /// another machine by https://, or through a tunnel
    #[arg(long, global = true, env = "KYA_SERVER", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:7080", value_parser = parse_server)]
    pub(crate) server: Url,

    /// Your key, by which the control plane knows you: that of an operator
    /// (`ok_…`), or its admin key. Prefer the variable: other users of this machine
    /// can see command lines
    #[arg(long, global = true, env = "KYA_TOKEN", value_name = "KEY")]
    #[arg(hide_env_values = true)]
    pub(crate) token: Option<String>,

    /// PEM file of the authorities that may have issued the certificate of an
    /// https:// server, in place of those of this machine
    #[arg(long, global = true, env = "KYA_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// PEM file of the certificate by which this client shows who it is, where
    /// the server asks for one
    #[arg(long, global = true, env = "KYA_CLIENT_CERT", value_name = "FILE")]
    #[arg(requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,

    /// PEM file of its private key
    #[arg(long, global = true, env = "KYA_CLIENT_KEY", value_name = "FILE")]
    #[arg(requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,

    /// Form of the result; with `json`, errors too are JSON, on stderr
    #[arg(short, long, global = true, value_enum, default_value = "table", value_name = "FORM")]
    pub(crate) output: Format,

    /// How long to wait for an answer (besides `--wait`, where there is one)
    #[arg(long, global = true, default_value = "10s", value_name = "TIME")]
    #[arg(value_parser = parse_timeout)]
    pub(crate) timeout: Duration,
}

/// Does not show the key.
impl std::fmt::Debug for Global {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Global").field("server", &self.server.as_str()).finish_non_exhaustive()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Register, look at, revoke, suspend and restore agents
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Add people and teams, and stop all that act for one of them
    #[command(subcommand)]
    Principal(PrincipalCommand),
    /// Say what agents may do, version by version
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Stop one action of an agent, and leave the others
    #[command(subcommand)]
    Capability(CapabilityCommand),
    /// Stop every agent at once
    Halt(Halt),
    /// End a halt
    Resume(Resume),
    /// See and approve restorations that wait for a second operator
    #[command(subcommand)]
    Approval(ApprovalCommand),
    /// See what was stopped, who applies it, and what was in flight
    #[command(subcommand)]
    Kill(KillCommand),
    /// Rehearse a stop: who hears of it, and when
    #[command(subcommand)]
    Drill(DrillCommand),
    /// Issue, look at and revoke the tokens that agents present
    #[command(subcommand)]
    Token(TokenCommand),
    /// Replace the keys that sign capability tokens
    #[command(subcommand)]
    TokenKey(TokenKeyCommand),
    /// Ask whether a request would be allowed, as a service without a proxy does
    Verify(Verify),
    /// Let proxies connect, see which have, and shut one out
    #[command(subcommand)]
    Node(NodeCommand),
    /// Replace the key that signs what proxies believe
    #[command(subcommand)]
    Key(KeyCommand),
    /// Give people and programs keys of their own, see whose there are, and revoke them
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Read the audit trail, and prove that it is whole
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Say whether the next kill would work: the state of the switch at a glance
    #[command(after_help = "\
It shows the proxies that are not armed, the last kill, the audit trail, and every problem with
what to do about it. It speaks of the proxies of the server that is asked.

Example:
  kya status && echo ready                       # 9 if there is a problem, 3 if no server answers
  kya -o json status | jq -r '.problems[].code'")]
    Status,
    /// Say whose key KYA_TOKEN is, and what it may do
    #[command(after_help = "\
It shows the name under which the control plane logs what you do, your role, and its permissions.

Example:
  kya whoami
  kya -o json whoami | jq -e '.permissions | index(\"agents.stop\")'   # may I stop an agent?")]
    Whoami,
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct Page<Id>
where
    Id: std::str::FromStr + Clone + Send + Sync + 'static,
    Id::Err: std::error::Error + Send + Sync,
{
    /// At most this many, up to 1000
    #[arg(long, default_value_t = 1000, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Only those after this id: the next page
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<Id>,
}

impl<Id> Page<Id>
where
    Id: std::str::FromStr + Clone + Send + Sync + 'static + std::fmt::Display,
    Id::Err: std::error::Error + Send + Sync,
{
    /// As a query says it.
    pub(crate) fn query(&self) -> [(&'static str, Option<String>); 2] {
        let after = self.after.as_ref().map(ToString::to_string);
        [("after", after), ("limit", Some(self.limit.to_string()))]
    }
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Why, at most 256 characters
    #[arg(long, value_parser = |text: &str| parse_text(text, 256))]
    pub(crate) reason: String,
    /// The incident that this belongs to, at most 128 characters
    #[arg(long, value_name = "ID", value_parser = |text: &str| parse_text(text, 128))]
    pub(crate) incident_id: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DryRun {
    /// Only say whom it would reach; nothing is written
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// How long to wait for every worker's acknowledgement, up to 30s
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = parse_wait)]
    pub(crate) wait: Duration,
}

/// What every stop takes.
#[derive(Debug, Args)]
pub(crate) struct Stopping {
    #[command(flatten)]
    pub(crate) why: Why,
    #[command(flatten)]
    pub(crate) dry: DryRun,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct KeyWait {
    /// How long to wait for every worker after each step, up to 30s
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_wait)]
    pub(crate) wait: Duration,
}

/// The form that a command line asked for, though it is wrong elsewhere.
pub(crate) fn asked_format(args: &[OsString]) -> Format {
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let apart =
        args.windows(2).any(|pair| matches!(&*pair[0], "-o" | "--output") && pair[1] == "json");
    let joined = args.iter().any(|arg| matches!(&**arg, "-ojson" | "-o=json" | "--output=json"));
    if apart || joined { Format::Json } else { Format::Table }
}

/// The same error with a usage line that shows what the command needs. Options
/// that the environment sets would stand in it as if they had to be given.
pub(crate) fn with_plain_usage(error: clap::Error, args: &[OsString]) -> clap::Error {
    let without_env = |arg: clap::Arg| arg.env(None::<&str>);
    let set_by_environment = ["server", "token", "ca_file", "client_cert", "client_key"];
    let command = set_by_environment
        .into_iter()
        .fold(Cli::command(), |command, name| command.mut_arg(name, without_env));
    match command.try_get_matches_from(args) {
        // That is a whole help, in which the variables have their place.
        _ if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error,
        Err(plain) if plain.kind() == error.kind() => plain,
        // It is the variable that is wrong.
        _ => error,
    }
}

/// Takes secrets out of an error message, and whatever could rewrite the terminal:
/// someone who passes a token in the place of its id, or a credential or key in that of
/// its name, should not find it in a log.
pub(crate) fn without_secrets(mut error: clap::Error) -> clap::Error {
    let shown = |text: &str| {
        let secret = match text {
            text if text.starts_with("at_") => Some("at_… (a token, not its id)"),
            text if text.starts_with("eyJ") => Some("eyJ… (a token, not its id)"),
            text if text.starts_with("nc_") => Some("nc_… (a credential, not its name)"),
            text if text.starts_with("ok_") => Some("ok_… (a key, not the name of its operator)"),
            text if is_private_key(text) => Some("… (a private key)"),
            _ => None,
        };
        secret.map_or_else(|| short(&printable(text)), str::to_owned)
    };
    let found: Vec<_> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) if shown(text) != *text => Some((kind, shown(text))),
            _ => None,
        })
        .collect();
    for (kind, shown) in found {
        error.insert(kind, ContextValue::String(shown));
    }
    error
}

fn is_private_key(text: &str) -> bool {
    matches!(text.parse::<WrittenKey>(), Err(WrittenKeyError::PrivateKey))
}

#[cfg(test)]
mod bad_input_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn debug_output_does_not_show_the_key() {
        let args = ["kya", "--token", "s3cret", "node", "list"];
        let shown = format!("{:?}", Cli::try_parse_from(args).unwrap());
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
