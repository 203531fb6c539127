//! What a stop would do.

use std::fmt::Display;

use crate::api::{DryRun, Reach};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, printable};

/// Prints what was answered to `--dry-run`; `what` would be done.
pub(super) fn print(
    client: &Client,
    output: &mut Output<'_>,
    what: &str,
    answer: Answer<DryRun>,
) -> Result<(), Error> {
    let DryRun { dry_run, changed, reach } = answer.value;
    if !dry_run {
        return Err(
            client.unexpected("asked for a dry run, it does not say that it was one".into())
        );
    }
    if output.is_json() {
        return output.document(&answer.json);
    }
    let what = printable(what);
    output.lines(match changed {
        true => format!("Would {what}: it reaches {}", reached(reach)),
        false => {
            format!("Would change nothing, because it is so: {what} reaches {}", reached(reach))
        }
    })?;
    output.lines("Dry run: nothing was written")
}

/// `3 agents and 5 unexpired tokens`; tokens alone, where no agent is stopped.
pub(super) fn reached(Reach { agents, tokens }: Reach) -> String {
    let tokens_reached = counted(tokens, "unexpired token");
    match agents {
        0 if tokens > 0 => tokens_reached,
        agents => format!("{} and {tokens_reached}", counted(agents, "agent")),
    }
}

pub(super) fn counted(count: u64, noun: impl Display) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
