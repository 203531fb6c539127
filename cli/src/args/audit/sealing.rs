//! `kya audit archive`, `keys` and `proof`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kya_core::audit::SignedCheckpoint;

use super::{Pinned, Proving};
use crate::values::{parse_checkpoint, parse_key_id, parse_text};

#[derive(Debug, Args)]
pub(crate) struct ProofOf {
    /// Number of the record in the trail, from 1
    #[arg(value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..1 << 53))]
    #[arg(required_unless_present = "checkpoints")]
    pub(crate) seq: Option<u64>,
    /// A checkpoint that you have kept, from which the trail must go on. Can be given several times
    #[arg(long = "checkpoint", value_name = "FILE", value_parser = parse_checkpoint)]
    pub(crate) checkpoints: Vec<SignedCheckpoint>,
    #[command(flatten)]
    pub(crate) pinned: Pinned,
}

#[derive(Debug, Args)]
pub(crate) struct Archive {
    /// Write the segment to this file, which is there only when it is whole and verified
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Number of the last record of it; the segment ends at the first checkpoint from there on
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..1 << 53))]
    pub(crate) last: Option<u64>,
    /// Only say what would be removed and where it would go; nothing is written
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) proving: Proving,
}

/// Replacing the key that signs checkpoints.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditKeysCommand {
    /// Make the next key, which signs nothing yet
    #[command(after_help = "\
A record names it, signed by the key that signs now. Copy its file `audit-<key id>.key` to the other
servers of the same database, give auditors time to pin it, and then activate it. A key that is
announced after it takes its place.

Example:
  kya audit keys announce --reason \"the yearly replacement\"")]
    Announce(Reasoned),
    /// Have the announced key sign from now on
    #[command(after_help = "\
A record names it, signed by the key before, which counts for what it signed until then and for
nothing after. Back up the new file `audit-<key id>.key`.

Example:
  kya audit keys activate --reason \"the yearly replacement\"")]
    Activate(Reasoned),
    /// Make a key and have it sign at once, without time for anybody to pin it
    #[command(after_help = "\
For a key that may be in other hands. Otherwise `announce` one, and `activate` it later.

Example:
  kya audit keys rotate --now --reason \"the machine was broken into\"")]
    Rotate {
        /// That nobody is given time is meant
        #[arg(long, required = true)]
        now: bool,
        #[command(flatten)]
        why: Reasoned,
    },
    /// Start a new key because the file of the one that signs is lost at every server
    #[command(after_help = "\
Nobody vouches for the new key: the old one could not sign it, and a record says so, with the reason.
Whoever has pinned the old key is told `not_followed`, and must pin the new one, which you have to
give them on a way that they trust. It is refused where the file of the old key is there.

Example:
  kya audit keys recover --lost 5b1d5c4d --reason \"the disk with the key is gone\"")]
    Recover {
        /// The id of the key that is lost: the middle part of the verifier key that signs
        #[arg(long, value_name = "KEY_ID", value_parser = parse_key_id)]
        lost: String,
        #[command(flatten)]
        why: Reasoned,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Reasoned {
    /// Why, at most 256 characters; it is in the record
    #[arg(long, value_parser = |text: &str| parse_text(text, 256))]
    pub(crate) reason: String,
}
