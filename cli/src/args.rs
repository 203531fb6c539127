//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use kya_core::{AgentId, PublicKey, TokenId};
use url::Url;

use crate::output::Format;
use crate::pubkey;
use crate::values::{
    parse_node_id, parse_node_match, parse_node_name, parse_node_ttl, parse_server, parse_text,
    parse_timeout, parse_ttl, parse_wait,
};

const EXAMPLES: &str = "\
Examples:
  export KYA_TOKEN=$(cat DATA_DIR/admin.key)    # made by the control plane at its first start
  kya agent register --name billing-agent
  kya token issue --agent AGENT_ID --ttl 8h
  kya agent revoke AGENT_ID --reason prompt_injection_suspected --incident-id INC-2026-0205-001
  kya node add web-1                            # lets the Envoy whose node.id is web-1 connect
  kya node list                                 # the proxies, and whether each is armed
  kya node challenge && echo all armed          # has every connected proxy prove it now
  kya -o json agent list --status revoked | jq -r '.agents[].agent_id'

Exit codes:
  0  done
  1  the server refused, or answered with something else
  2  the command line is wrong; nothing was sent
  3  the control plane cannot be reached, or did not answer in time
  4  not every proxy that was challenged is armed (`kya node challenge`)";

/// Revokes AI agents at the proxies that carry their traffic.
#[derive(Debug, Parser)]
#[command(name = "kya", version, after_help = EXAMPLES)]
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

    /// The control plane's admin key. Prefer the variable: other users of this
    /// machine can see command lines
    #[arg(long, global = true, env = "KYA_TOKEN", value_name = "ADMIN_KEY")]
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

/// Does not show the admin key.
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
    /// Issue, look at and revoke the tokens that agents present
    #[command(subcommand)]
    Token(TokenCommand),
    /// Let proxies connect, see which have, and shut one out
    #[command(subcommand)]
    Node(NodeCommand),
    /// Replace the key that signs what proxies believe
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Show the keys that count, and every step by which they came to
    List,
    /// Replace the signing key: announce, activate and retire, one after the other
    #[command(after_help = "\
Every proxy trusts the keys in its configuration (`update_keys`) until a signed update names
others. So the next key is announced while the old one signs, it signs as soon as every worker of
every connected proxy has acknowledged that, and then the old one is retired and its file removed.
No request is decided without a key that counts.

It goes on from wherever it was interrupted: run it again. The new key goes alone to stdout. Pin it
in every configuration afterwards; until then proxies that start are led from the old key to it.

Example:
  kya key rotate --reason yearly > update.pub")]
    Rotate {
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        wait: KeyWait,
        /// Go on though not every connected worker has acknowledged: for a key
        /// that was stolen
        #[arg(long)]
        force: bool,
    },
    /// Make the next key, and have it count beside the one that signs
    Announce {
        #[command(flatten)]
        why: Why,
    },
    /// Sign with the announced key from now on; the old one counts still
    #[command(after_help = "\
It is refused while a worker of a connected proxy has not acknowledged the announcement.")]
    Activate {
        #[command(flatten)]
        why: Why,
        /// Do it though not every connected worker has acknowledged; one that is
        /// not that far denies until it is
        #[arg(long)]
        force: bool,
    },
    /// Have the old key count no more, and remove its file
    #[command(after_help = "\
It is refused while a worker of a connected proxy has not acknowledged the activation. The file of
the old private key is removed; what backups keep of it can still deceive a proxy that pins it and
has not been told, so pin the new key in its place.")]
    Retire {
        #[command(flatten)]
        why: Why,
        /// Do it though not every connected worker has acknowledged; one that is
        /// not that far denies until it is
        #[arg(long)]
        force: bool,
    },
    /// Forget the updates that led from older keys to the active one
    #[command(after_help = "\
Every proxy that connects is sent the updates that lead from any key that was ever pinned to the
active one, two for each replacement, at most 16. Cut them off when every configuration pins the
active key: a proxy that pins an older one then denies everything after its next start.

Example:
  kya key compact --pinned \"$(kya-control-plane public-key --data-dir DIR)\" --reason 'all pin it'")]
    Compact {
        /// The active key, as a sign that every configuration pins it: a PEM file,
        /// or `ed25519:` and base64
        #[arg(long, value_name = "FILE|KEY", value_parser = pubkey::read)]
        pinned: PublicKey,
        #[command(flatten)]
        why: Why,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Add an agent to the registry; it is active at once
    #[command(after_help = "Example:
  openssl genpkey -algorithm ed25519 -out agent.key
  openssl pkey -in agent.key -pubout -out agent.pub
  kya agent register --name billing-agent --pubkey agent.pub")]
    Register {
        /// A name for people, at most 128 characters; it need not be unique
        #[arg(long, value_parser = |text: &str| parse_text(text, 128))]
        name: String,
        /// The agent's Ed25519 public key: a PEM file, or `ed25519:` and base64
        #[arg(long, value_name = "FILE|KEY", value_parser = pubkey::read)]
        pubkey: Option<PublicKey>,
    },
    /// List agents, ordered by id (which is by age)
    List {
        /// Only those of this status
        #[arg(long, value_enum)]
        status: Option<AgentStatus>,
        #[command(flatten)]
        page: Page<AgentId>,
    },
    /// Show what the registry knows of an agent
    Show {
        /// The agent's id, `agt_…`
        id: AgentId,
    },
    /// Revoke an agent, for ever: every proxy denies it from now on
    #[command(after_help = "\
It returns when every worker of every connected proxy has acknowledged the revocation, or after
--wait, and says which: the revocation is committed either way, and the exit code is 0.

Example:
  kya agent revoke AGENT_ID --reason prompt_injection_suspected --incident-id INC-2026-0205-001")]
    Revoke {
        /// The agent's id, `agt_…`
        id: AgentId,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        wait: Wait,
    },
    /// Deny an agent until it is restored
    Suspend {
        /// The agent's id, `agt_…`
        id: AgentId,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        wait: Wait,
    },
    /// End the suspension of an agent; a revoked agent stays revoked
    Restore {
        /// The agent's id, `agt_…`
        id: AgentId,
        /// Why, at most 256 characters
        #[arg(long, value_parser = |text: &str| parse_text(text, 256))]
        reason: Option<String>,
        /// The incident that this belongs to, at most 128 characters
        #[arg(long, value_name = "ID", value_parser = |text: &str| parse_text(text, 128))]
        incident_id: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Issue a token for an active agent; it is shown this once
    #[command(after_help = "Example:
  TOKEN=$(kya token issue --agent AGENT_ID --ttl 8h)
  curl -H \"Authorization: Bearer $TOKEN\" http://PROXY/v1/charges")]
    Issue {
        /// The agent that is to hold it, `agt_…`
        #[arg(long, value_name = "ID")]
        agent: AgentId,
        /// How long it counts, in whole seconds up to 365 days
        #[arg(long, default_value = "24h", value_name = "TIME", value_parser = parse_ttl)]
        ttl: Duration,
    },
    /// List tokens by their ids; the tokens themselves are not kept
    List {
        /// Only those of this agent, `agt_…`
        #[arg(long, value_name = "ID")]
        agent: Option<AgentId>,
        #[command(flatten)]
        page: Page<TokenId>,
    },
    /// Revoke one token; the agent's others go on
    Revoke {
        /// The token's id, `tok_…` (not the token itself)
        token_id: TokenId,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Let a proxy connect: register it, and get its credential
    #[command(after_help = "\
The credential goes alone to stdout, this once: the control plane keeps only its hash. Put it into
the configuration of the proxy's filter, readable by the proxy alone. To replace one, add another
registration with the same --match, configure it, and revoke the first.

Examples:
  CREDENTIAL=$(kya node add web-1 --quiet)          # for the Envoy whose node.id is web-1
  kya node add payments --match 'sidecar~*~*.payments~*' --expires-in 90d")]
    Add {
        /// What the registration is called, for ever: up to 128 letters, digits
        /// and `.` `_` `-` `~`
        #[arg(value_parser = parse_node_name)]
        name: String,
        /// The Envoy `node.id` that it is for; each `*` stands for any number of
        /// characters. [default: NAME]
        #[arg(long = "match", value_name = "GLOB", value_parser = parse_node_match)]
        node_id: Option<String>,
        /// How long it counts, in whole seconds up to ten years, such as 90d
        /// [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = parse_node_ttl)]
        expires_in: Option<Duration>,
        /// Print the credential and say nothing about it
        #[arg(short, long)]
        quiet: bool,
    },
    /// List the proxies, whether each is armed and why not, and the registrations
    #[command(after_help = "\
Each connected proxy is challenged every 10 s. STATE is
  armed    every worker has answered lately, and decides by what is newest
  stale    it is connected, and one of its workers has not proved that: WHY says which
  unknown  it is not connected, or was not challenged yet
REVISION is the oldest that one of its workers decides by, AGE how old its state can be at most as
far as is proved, CLOCK how far the proxy's clock is ahead (+) or behind (-).

Example:
  kya -o json node list | jq -r '.nodes[] | select(.armed.state != \"armed\") | .node_id'")]
    List {
        #[command(flatten)]
        page: Page<String>,
    },
    /// Have a proxy prove now that it is armed, or every connected one
    #[command(after_help = "\
It sends a signed random number, which every worker of the proxy must read and repeat, and returns
when each has and decides by the newest revision, or after --wait. It changes nothing. One that
pulls is asked by its next pull and answers by the one after: list it instead.

The exit code is 0 only if somebody was challenged and everybody who was is armed, and 4 if not.
Proxies that are not connected are not challenged: compare with those that you run.

Examples:
  kya node challenge                        # all that are connected
  kya node challenge sidecar~10.0.0.7~web   # the Envoy whose node.id is that
  kya node challenge --wait 2s >/dev/null || page-somebody")]
    Challenge {
        /// The Envoy `node.id` of the proxy [default: every connected one]
        #[arg(value_parser = parse_node_id)]
        node_id: Option<String>,
        /// How long to wait for every worker's answer, up to 30s
        #[arg(long, default_value = "5s", value_name = "TIME", value_parser = parse_wait)]
        wait: Duration,
    },
    /// Shut out whoever presents this registration's credential, for ever
    #[command(after_help = "\
Streams that were opened with it end at once. A proxy that is cut off goes on deciding by the last
state that it received: stop the proxy too if it must not.

Example:
  kya node revoke web-1 --reason host_decommissioned")]
    Revoke {
        /// The name of the registration
        #[arg(value_parser = parse_node_name)]
        name: String,
        #[command(flatten)]
        why: Why,
    },
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
pub(crate) struct Wait {
    /// How long to wait for every worker's acknowledgement, up to 30s
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = parse_wait)]
    pub(crate) wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct KeyWait {
    /// How long to wait for every worker after each step, up to 30s
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_wait)]
    pub(crate) wait: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum AgentStatus {
    Active,
    Suspended,
    Revoked,
}

impl AgentStatus {
    /// As the API writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }
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

/// Takes secrets out of an error message: someone who passes a token in the place
/// of its id, or a credential in that of its name, should not find it in a log.
pub(crate) fn without_secrets(mut error: clap::Error) -> clap::Error {
    let shown = |value: &ContextValue| match value {
        ContextValue::String(text) if text.starts_with("at_") => Some("at_… (a token, not its id)"),
        ContextValue::String(text) if text.starts_with("nc_") => {
            Some("nc_… (a credential, not its name)")
        }
        _ => None,
    };
    let found: Vec<_> =
        error.context().filter_map(|(kind, value)| Some((kind, shown(value)?))).collect();
    for (kind, shown) in found {
        error.insert(kind, ContextValue::String(shown.to_owned()));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn debug_output_does_not_show_the_admin_key() {
        let args = ["kya", "--token", "s3cret", "node", "list"];
        let shown = format!("{:?}", Cli::try_parse_from(args).unwrap());
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
