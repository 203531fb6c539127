//! `kya audit …`

mod archive;
mod check_kills;
pub(super) mod draft;
mod events;
mod export;
pub(super) mod keys;
mod line;
mod progress;
mod proof;
mod replace;
mod show;
mod tail;
pub(super) mod verdict;
mod verify;

use crate::args::{AuditCommand, Global};
use crate::client::Client;
use crate::error::Error;
use crate::output::Output;

pub(super) async fn run(
    command: AuditCommand,
    global: &Global,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let client = || Client::new(global);
    match command {
        AuditCommand::Export(asked) => export::run(asked, &client()?, output).await,
        AuditCommand::Tail(asked) => tail::run(asked, &client()?, output).await,
        AuditCommand::Show { seq } => show::record(seq, &client()?, output).await,
        AuditCommand::Checkpoint(pinned) => show::checkpoint(&pinned, &client()?, output).await,
        AuditCommand::Proof(asked) => proof::run(&asked, &client()?, output).await,
        AuditCommand::Archive(asked) => archive::run(asked, &client()?, output).await,
        AuditCommand::Keys { command: None } => show::keys(&client()?, output).await,
        AuditCommand::Keys { command: Some(it) } => replace::run(it, &client()?, output).await,
        AuditCommand::Verify(asked) => verify::run(asked, output),
        // Files need no server.
        AuditCommand::CheckKills(asked) => check_kills::run(asked, global, output).await,
    }
}
