//! `kya node`: the proxies.

use std::time::Duration;

use clap::Subcommand;

use super::{Page, Why};
use crate::values::{
    PlainName, parse_node_id, parse_node_match, parse_node_name, parse_node_ttl, parse_wait,
};

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
        page: Page<PlainName>,
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
