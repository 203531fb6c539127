//! What is said of the kills.

use kya_core::audit::check_kills::{NotKnown, Unknown, Why};
use serde_json::json;

use super::{Found, Passed};
use crate::args::CheckKills;
use crate::error::Error;
use crate::output::{Output, or_dash, printable, table};

pub(super) fn say(found: &Found, asked: &CheckKills, output: &mut Output<'_>) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&json!(found));
    }
    for line in &found.verified {
        output.note(line);
    }
    if found.kills.is_empty() {
        let since = asked.since.map_or_else(String::new, |it| format!(" since {it}"));
        output.lines(format_args!("No kills to check: nothing was stopped{since}."))?;
        return lacks(found, output);
    }
    let rows = found.kills.iter().map(|it| {
        [
            it.kill_id.clone(),
            it.seq.to_string(),
            it.time.to_string(),
            it.act.clone(),
            it.subject.clone(),
            it.actor.clone(),
        ]
    });
    output.lines(table(["KILL", "SEQ", "AT", "ACT", "OF", "BY"], rows.collect()))?;
    output.lines(verdict(found, asked))?;
    for passed in &found.violations {
        violation(passed, output)?;
    }
    let more = found.violations_in_all.saturating_sub(found.violations.len() as u64);
    if more > 0 {
        output.lines(format_args!("\nand {more} more"))?;
    }
    lacks(found, output)
}

fn verdict(found: &Found, asked: &CheckKills) -> String {
    let (kills, allowed) = (count(found.kills.len() as u64, "kill"), found.allowed);
    let bound = asked.bound.map_or_else(String::new, |it| {
        format!(", nor later than {} after it", humantime::format_duration(it))
    });
    match found.violations_in_all {
        0 => format!(
            "\nNothing was allowed past {kills}: of {allowed} requests that were allowed, none was decided by a state that held the kill, or by a worker that had applied it{bound}."
        ),
        n => format!("\n{} of {allowed} that were allowed got past {kills}:", count(n, "request")),
    }
}

fn violation(passed: &Passed, output: &mut Output<'_>) -> Result<(), Error> {
    let it = &passed.violation;
    let why = match it.why {
        Why::DecidedByTheKill => "it was decided by a state that held the kill",
        Why::AfterAcknowledgement => "its worker had said before that it had applied the kill",
        Why::AfterBound => "it was allowed later after the kill than the bound",
    };
    output.lines(format_args!(
        "\nrecord {}  {}  {}  {}/{} event {}  past {}: {why}",
        it.seq,
        it.time,
        printable(&or_dash(it.agent_id.as_ref())),
        printable(&it.source.proxy),
        it.source.worker,
        it.source.number,
        printable(&it.kill_id),
    ))?;
    output.lines(format_args!("  {}", printable(&passed.record.to_string())))
}

/// What the trail cannot say.
fn lacks(found: &Found, output: &mut Output<'_>) -> Result<(), Error> {
    if !found.not_known.is_empty() {
        output.lines("\nWhat the trail cannot say:")?;
        let rows = found.not_known.iter().map(|it| {
            let NotKnown { kill_id, proxy, instance, from_number, why } = it;
            let says = match why {
                Unknown::WorkerLost => "it was lost before it had sent everything",
                Unknown::Dropped => "events had no room and were dropped",
                Unknown::Gap => "events never came",
                Unknown::Conflict => "two reported as this worker",
                Unknown::NotApplied => "it never said that it applied the kill",
                Unknown::NotListed => "not everybody whom the kill stops is listed",
                Unknown::TokenNotNamed => {
                    "it allowed a request whose token has no id here, so nobody can tell whether the kill stops it"
                }
            };
            [
                kill_id.clone(),
                or_dash(proxy.as_ref()),
                or_dash(instance.as_ref()),
                or_dash(*from_number),
                says.to_owned(),
            ]
        });
        let columns = ["KILL", "PROXY", "INSTANCE", "FROM EVENT", "WHY"];
        output.lines(table(columns, rows.collect()))?;
    }
    if found.hidden > 0 {
        output.note(format_args!(
            "{} are not shown in what was read: kills and requests among them were not looked at.",
            count(found.hidden, "record")
        ));
    }
    if found.unread > 0 {
        output.note(format_args!(
            "{} of types that this program does not know, and was not looked at; a newer `kya` may.",
            count(found.unread, "record")
        ));
    }
    Ok(())
}

fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
