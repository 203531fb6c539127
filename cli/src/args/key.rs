//! `kya key`: the keys that sign what proxies are told.

use clap::Subcommand;
use kya_core::PublicKey;

use super::{KeyWait, Why};
use crate::pubkey;

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
        /// The active key, as a sign that every configuration pins it: a file
        /// with it, or itself, as PEM, base64, `ed25519:` and base64, or a JWK
        #[arg(long, value_name = "FILE|KEY", value_parser = pubkey::read)]
        pinned: PublicKey,
        #[command(flatten)]
        why: Why,
    },
}
