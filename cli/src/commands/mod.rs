//! What each command does.

mod agent;
mod approval;
mod audit;
mod capability;
mod drill;
mod dry;
mod fleet;
mod halt;
mod key;
mod kill;
mod node;
mod operator;
mod policy;
mod principal;
mod schedule;
mod secrets;
mod selection;
mod status;
mod suspension;
mod token;
mod token_key;
mod tokens;
mod tree;
mod verify;

use std::fmt::Display;

use crate::args::{Cli, Command};
use crate::client::Client;
use crate::error::Error;
use crate::output::{Output, table};

/// Carries out one command.
pub(crate) async fn run(cli: Cli, output: &mut Output<'_>) -> Result<(), Error> {
    // Not every command of `kya audit` and `kya kill` needs a server.
    let client = || Client::new(&cli.global);
    let done = match cli.command {
        Command::Agent(command) => agent::run(command, &client()?, output).await,
        Command::Principal(command) => principal::run(command, &client()?, output).await,
        Command::Policy(command) => policy::run(command, &client()?, output).await,
        Command::Capability(command) => capability::run(command, &client()?, output).await,
        Command::Halt(command) => halt::halt(command, &client()?, output).await,
        Command::Resume(command) => halt::resume(command, &client()?, output).await,
        Command::Kill(command) => kill::run(command, &cli.global, output).await,
        Command::Drill(command) => drill::run(command, &cli.global, output).await,
        Command::Token(command) => token::run(command, &client()?, output).await,
        Command::TokenKey(command) => token_key::run(command, &client()?, output).await,
        Command::Node(command) => node::run(command, &client()?, output).await,
        Command::Key(command) => key::run(command, &client()?, output).await,
        Command::Operator(command) => operator::run(command, &client()?, output).await,
        Command::Verify(asked) => verify::run(asked, &client()?, output).await,
        Command::Approval(command) => approval::run(command, &client()?, output).await,
        Command::Audit(command) => audit::run(command, &cli.global, output).await,
        Command::Status => status::run(&client()?, output).await,
        Command::Whoami => operator::whoami(&client()?, output).await,
    };
    if let Err(Error::AwaitsApproval { approval, json }) = &done {
        approval::pending(output, approval, json)?;
    }
    done
}

/// Prints a page of a list: the rows, or that there are none, and how to get
/// the next page.
fn print_page<const N: usize>(
    output: &mut Output<'_>,
    columns: [&str; N],
    rows: Vec<[String; N]>,
    none: &str,
    next: Option<impl Display>,
) -> Result<(), Error> {
    match rows.is_empty() {
        true => output.lines(none)?,
        false => output.lines(table(columns, rows))?,
    }
    if let Some(next) = next {
        output.note(format_args!("There are more: --after {next}"));
    }
    Ok(())
}
