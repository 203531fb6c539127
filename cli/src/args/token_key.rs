//! `kya token-key`: the keys that sign capability tokens.

use clap::Subcommand;
use kya_core::PublicKey;

use super::{Wait, Why};
use crate::pubkey;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenKeyCommand {
    /// Show the issuer of capability tokens, and the keys that have signed some or will
    #[command(after_help = "\
`active` signs; the tokens of every `published` key count too; those of a `retired` one count no
more. KEY ID is in the name of the file with the private half, `token-KEY_ID.key` in the data
directory of the control plane; KID is how tokens and /.well-known/jwks.json name the key.

Example:
  kya token-key list
  kya -o json token-key list | jq -r '.keys[] | select(.status == \"active\") | .kid'")]
    List,
    /// Make another key whose tokens count, and that does not sign yet
    #[command(after_help = "\
A key is replaced in three steps: announce, activate, retire. A proxy denies the tokens of a key of
which it has not heard, and a service that reads /.well-known/jwks.json keeps what it has read for a
while: so announce the new key some time before it signs. It goes alone to stdout.

Where several control planes share one PostgreSQL, copy `token-KEY_ID.key` from the data directory
of the one that answered to those of the others before you activate it.

Example:
  KEY=$(kya token-key announce)
  kya token-key activate \"$KEY\"
  kya token-key retire \"$OLD_KEY\" --reason yearly      # when its last token has expired")]
    Announce {
        #[command(flatten)]
        wait: Wait,
    },
    /// Sign capability tokens with this key from now on; those of the others count still
    #[command(after_help = "\
It is refused where the private half is not in the data directory of the control plane that answers.

Example:
  kya token-key activate \"$KEY\"")]
    Activate {
        /// The key: as `kya token-key list` shows it, or a file with it
        #[arg(value_name = "FILE|KEY", value_parser = pubkey::read)]
        key: PublicKey,
        #[command(flatten)]
        wait: Wait,
    },
    /// Have no token count any more that this key has signed, and remove its file
    #[command(after_help = "\
It is final. Where nothing is wrong with the key, wait until its last token has expired: that is the
longest lifetime (`capability_max_ttl`) after another key was activated. A key that was stolen is
retired at once: every token that it has signed is denied, and agents ask for new ones. The key that
signs is not retired; activate another one before.

Example:
  kya token-key retire \"$OLD_KEY\" --reason yearly
  kya token-key retire \"$OLD_KEY\" --reason key_stolen --incident-id INC-7")]
    Retire {
        /// The key: as `kya token-key list` shows it, or a file with it
        #[arg(value_name = "FILE|KEY", value_parser = pubkey::read)]
        key: PublicKey,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        wait: Wait,
    },
}
