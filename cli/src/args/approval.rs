//! `kya approval`: restorations that wait for a second operator.

use clap::Subcommand;
use kya_core::ApprovalId;

use super::{MaybeWhy, Page, Wait};

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalCommand {
    /// List what waits for a second operator
    #[command(after_help = "\
Where the control plane is started with --second-operator-to-resume, `kya agent restore`,
`kya capability restore`, `kya principal restore` and `kya resume` wait for a second operator, for
15 minutes, and exit with 6. Stopping never waits.

Example:
  kya approval list
  kya -o json approval list --all | jq -r '.approvals[] | select(.status == \"approved\")'")]
    List {
        /// Also those that were approved, rejected or found void, or expired, in the last day
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        page: Page<ApprovalId>,
    },
    /// Carry out a restoration that another operator has asked for
    #[command(after_help = "\
It is refused to whoever asked. It is void if anything was decided meanwhile about what it is to
restore, such as a stricter stop, or if whoever asked was revoked: then nothing is restored.

Example:
  kya approval approve APPROVAL_ID --reason looked_at_it_too")]
    Approve {
        /// Its id, `apr_…`
        id: ApprovalId,
        #[command(flatten)]
        maybe: MaybeWhy,
        #[command(flatten)]
        wait: Wait,
    },
    /// End a restoration that waits; what was stopped stays stopped
    #[command(after_help = "\
Whoever asked may do it, too.

Example:
  kya approval reject APPROVAL_ID --reason still_under_investigation")]
    Reject {
        /// Its id, `apr_…`
        id: ApprovalId,
        #[command(flatten)]
        maybe: MaybeWhy,
    },
}
