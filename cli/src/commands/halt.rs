//! `kya halt` and `kya resume`.

use std::io::{self, BufRead, IsTerminal};
use std::time::Duration;

use super::dry::{self, reached};
use crate::acknowledgement::{self, Wording};
use crate::api::{FleetChange, Stop, Why};
use crate::args::{Halt, Resume};
use crate::client::{Answer, Client, Place};
use crate::error::Error;
use crate::output::Output;

const HALT: Wording = Wording {
    done: "Halted",
    effect: "All verify calls of all agents will now return DENY, until `kya resume`",
    noun: "halt",
    title: "Halt",
    already: "already halted",
    risk: "may still allow agents",
};

const RESUME: Wording = Wording {
    done: "Resumed",
    effect: "Verify calls of agents that are not stopped by themselves will now return ALLOW",
    noun: "resumption",
    title: "Resumption",
    already: "not halted",
    risk: "may still deny all agents",
};

pub(super) async fn halt(
    command: Halt,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let stop = Stop::from(&command.stop);
    if stop.dry_run {
        let answer = client.stop(Place::Fleet, "halt", &stop).await?;
        return dry::print(client, output, "halt all agents", answer);
    }
    let answer = client.stop(Place::Fleet, "halt", &stop).await?;
    report(client, output, (&HALT, "suspended"), answer, command.stop.wait.wait).await
}

pub(super) async fn resume(
    command: Resume,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    if !command.yes {
        let input = io::stdin();
        let is_terminal = input.is_terminal();
        confirm(is_terminal, &mut input.lock(), output)?;
    }
    let stop = Stop::from(Why::from(&command.why));
    let answer = client.stop(Place::Fleet, "resume", &stop).await?;
    report(client, output, (&RESUME, "active"), answer, command.wait.wait).await
}

/// Asks whoever is at the terminal. Stopping never asks; this puts everyone back.
fn confirm(
    is_terminal: bool,
    input: &mut dyn BufRead,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    if !is_terminal {
        return Err(Error::Usage(
            "this puts all agents back, and there is no terminal to ask on: say --yes; nothing was sent"
                .to_owned(),
        ));
    }
    output.ask("Resume all agents? [y/N] ");
    let mut line = String::new();
    input.read_line(&mut line)?;
    match line.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::Usage("not confirmed: nothing was sent".to_owned())),
    }
}

async fn report(
    client: &Client,
    output: &mut Output<'_>,
    (wording, status): (&Wording, &str),
    answer: Answer<FleetChange>,
    wait: Duration,
) -> Result<(), Error> {
    let Answer { value: FleetChange { fleet, commit, reach }, json } = answer;
    if fleet.status != status {
        return Err(client.unexpected(format!(
            "asked for the fleet to be {status}, it says that it is {}",
            fleet.status
        )));
    }
    let what = reach.map_or_else(
        || "all agents".to_owned(),
        |reach| format!("all agents ({})", reached(reach)),
    );
    let lines = acknowledgement::committed(wording, &what, wording.effect, &commit);
    acknowledgement::report_lines(client, output, wording, lines, &commit, json, wait).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn answer(is_terminal: bool, input: &str) -> (Result<(), String>, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(Format::Table, &mut out, &mut err);
        let confirmed = confirm(is_terminal, &mut input.as_bytes(), &mut output);
        let confirmed = confirmed.map_err(|error| error.to_string());
        assert!(out.is_empty(), "a question is no result");
        (confirmed, String::from_utf8(err).unwrap())
    }

    #[test]
    fn only_a_yes_on_a_terminal_puts_everyone_back() {
        for yes in ["y\n", "Y\n", "yes\n"] {
            assert_eq!(answer(true, yes), (Ok(()), "Resume all agents? [y/N] ".to_owned()));
        }
        for no in ["", "\n", "n\n", "yesterday\n", "no\ny\n"] {
            assert!(answer(true, no).0.unwrap_err().contains("not confirmed"), "{no:?}");
        }
        let (refused, asked) = answer(false, "y\n");
        assert!(refused.unwrap_err().contains("--yes") && asked.is_empty());
    }
}
