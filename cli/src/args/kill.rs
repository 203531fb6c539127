//! `kya kill`: every stop by its id, and what has become of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use kya_core::KillId;
use kya_core::audit::VerifierKey;

use super::Pinned;
use crate::values::{parse_audit_key, parse_text, parse_wait};

#[derive(Debug, Subcommand)]
pub(crate) enum KillCommand {
    /// List what was stopped, by whom, and why; the newest first
    #[command(after_help = "\
Every stop has an id, `kil_…`, which the command that stopped prints last.

Example:
  kya kill list --incident-id INC-2026-0205-001
  kya -o json kill list --act agent.revoked | jq -r '.kills[].kill_id'")]
    List(ListKills),
    /// Show what has become of a kill: its rows, who applies it, what was in flight
    #[command(after_help = "\
A request that was in flight is `committed` if the upstream answered in full, `rolled_back` if it
never reached the upstream or was undone there, and `escalated` if nobody knows: look at those.

Example:
  kya kill show KILL_ID
  kya -o json kill show KILL_ID | jq '.workers[].requests[]'")]
    Show {
        /// Its id, `kil_…`
        id: KillId,
    },
    /// Wait until a kill is complete: every worker that was there applies it, and nothing is
    /// in flight any more
    #[command(after_help = "\
Waits for as long as --timeout says, up to 30s. Exits with 1 and names who has not acknowledged it
if it is not complete by then, or if nobody was there to apply it.

Example:
  kya kill wait KILL_ID --timeout 5s && echo nobody is left")]
    Wait {
        /// Its id, `kil_…`
        id: KillId,
    },
    /// Get the signed receipt of a kill: who has acknowledged it, when, and who was not there
    #[command(after_help = "\
A receipt says how it is at the moment at which it is signed, complete or not. `kya kill verify`
verifies it later, without any server. With --key the signature is verified before it is given out.

Examples:
  kya kill receipt KILL_ID
  kya -o json kill receipt KILL_ID --wait 5s --key audit.pub > receipt.json")]
    Receipt(KillReceipt),
    /// Verify a receipt offline, by a key that you have pinned
    #[command(after_help = "\
No server is asked. The exit code is 0 if the receipt is as it was signed, complete or not, and the
text says which; 7 if not; 2 if the file cannot be read.

Example:
  kya kill verify receipt.json --key kya.example/audit+5b1d5c4d+AQJ8…")]
    Verify(VerifyReceipt),
}

#[derive(Debug, Args)]
pub(crate) struct KillReceipt {
    /// Its id, `kil_…`
    pub(crate) id: KillId,
    /// How long to wait for the kill to be complete, up to 30s
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = parse_wait)]
    pub(crate) wait: Duration,
    #[command(flatten)]
    pub(crate) pinned: Pinned,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyReceipt {
    /// What `kya -o json kill receipt` has written; `-` for standard input
    pub(crate) file: PathBuf,
    /// The key that must have signed it: NAME+ID+BASE64, or a file with it
    #[arg(long, env = "KYA_AUDIT_KEY", value_name = "KEY|FILE", value_parser = parse_audit_key)]
    pub(crate) key: VerifierKey,
}

#[derive(Debug, Args)]
pub(crate) struct ListKills {
    /// Of this subject, as it is listed
    #[arg(long, value_name = "SUBJECT", value_parser = |text: &str| parse_text(text, 512))]
    pub(crate) subject: Option<String>,
    /// By this act, for example `agent.revoked`
    #[arg(long, value_name = "ACT", value_parser = |text: &str| parse_text(text, 64))]
    pub(crate) act: Option<String>,
    /// Of this incident
    #[arg(long, value_name = "ID", value_parser = |text: &str| parse_text(text, 128))]
    pub(crate) incident_id: Option<String>,
    /// Those before this one: where the page before ended
    #[arg(long, value_name = "KILL_ID")]
    pub(crate) before: Option<KillId>,
    /// How many
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}
