//! The command line of kya: a client of the control plane's HTTP API.
//!
//! [`run`] is the whole program. Results go to `out`, everything else to `err`,
//! and the number that comes back is the exit code: 0 done, 1 the server
//! refused, 2 usage, 3 unreachable, 4 not every challenged proxy is armed, 5 the
//! decision that was asked for is DENY, 6 a second operator has to approve it. With `-o json`, `out` gets exactly one JSON
//! document and an error is one problem document (RFC 9457) on `err`.

mod acknowledgement;
mod api;
mod args;
mod client;
mod commands;
mod error;
mod output;
mod pubkey;
mod report;
mod tls;
mod token_id;
mod transport;
mod values;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use clap::Parser;
use clap::error::ErrorKind;

use args::Cli;
use error::Error;
use output::{Format, Output};

/// Every command with its options as a page of Markdown, which is `docs/commands.md`.
pub fn reference() -> String {
    args::reference()
}

/// Runs one command line, program name first, and returns its exit code.
pub async fn run<A>(args: A, out: &mut dyn Write, err: &mut dyn Write) -> u8
where
    A: IntoIterator<Item = OsString>,
{
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return not_a_command(error, &args, out, err),
    };
    let terminal = io::stdout().is_terminal();
    let mut output = Output::new(cli.global.output, out, err).on_terminal(terminal);
    match commands::run(cli, &mut output).await {
        Ok(()) => 0,
        Err(error) => {
            output.error(&error);
            error.exit_code()
        }
    }
}

/// Help and version were asked for, or the command line is wrong.
fn not_a_command(
    error: clap::Error,
    args: &[OsString],
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // `kya --help | head` closes the pipe early, which is no failure.
        let _ = write!(out, "{}", error.render());
        return 0;
    }
    let error = args::without_secrets(args::with_plain_usage(error, args));
    match args::asked_format(args) {
        Format::Table => {
            let _ = write!(err, "{}", error.render());
        }
        Format::Json => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
            Output::new(Format::Json, out, err).error(&Error::Usage(text.to_owned()));
        }
    }
    Error::USAGE
}
