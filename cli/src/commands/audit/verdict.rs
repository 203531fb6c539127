//! What is said about a trail that was verified.

use kya_core::audit::verify::{Archive, Head, Outcome, Recovered, Report};
use kya_core::drill::evidence::{Checked, Problem};
use serde_json::{Value, json};

use crate::error::Error;
use crate::output::printable;

/// Whose word the keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Trust {
    /// They were pinned by whoever asks.
    Pinned,
    /// The server that gave the trail named them.
    Server,
    /// The file that was verified names them.
    File,
}

impl Trust {
    pub(in crate::commands) fn name(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Server => "server",
            Self::File => "file",
        }
    }

    pub(in crate::commands) fn says(self) -> &'static str {
        match self {
            Self::Pinned => "The key is the one that you pinned, or follows from it.",
            Self::Server => {
                "No key was pinned, so the server was asked for its keys: this trusts the server, and finds what anybody else changed. To trust nobody, pin a key that you wrote down before: --key or KYA_AUDIT_KEY (`kya audit keys`)."
            }
            Self::File => {
                "No key was pinned, so the keys that the file itself names were taken: this trusts whoever wrote the file. To trust nobody, pin a key that you wrote down before: --key or KYA_AUDIT_KEY (`kya audit keys`)."
            }
        }
    }
}

/// What was found, as a document.
pub(in crate::commands) fn document(report: &Report, trust: Trust) -> Value {
    json!({ "verified": is_good(report), "keys_from": trust.name(), "report": report })
}

/// Whether nothing is wrong with it.
pub(in crate::commands) fn is_good(report: &Report) -> bool {
    matches!(report.outcome, Outcome::Whole | Outcome::Partial)
}

/// What was found, if nothing is wrong: lines for people.
pub(in crate::commands) fn lines(report: &Report, trust: Trust) -> Vec<String> {
    let mut lines = vec![whole(report)];
    lines.extend(report.recovered.iter().map(recovered));
    lines.extend(archived(report));
    if let Some(Head { time, key, .. }) = &report.checkpoint {
        let (name, id) = (key.name(), key.id());
        lines.push(printable(&format!("The checkpoint was signed at {time} by {name}+{id}.")));
    }
    if let [.., last] = report.followed.as_slice() {
        lines.push(format!(
            "The key was replaced {} times, each time signed by the one before; the last time in record {}.",
            report.followed.len(),
            last.record
        ));
    }
    lines.push(trust.says().to_owned());
    lines
}

fn whole(report: &Report) -> String {
    let last = report.checkpoint.as_ref().map_or(0, |it| it.size);
    let what = "hashed again, chained, and under the signed root";
    match (last, report.hidden, report.hidden_runs.as_slice()) {
        (_, 0, _) => format!("Verified: records 1 to {last} are whole: {what}."),
        (_, hidden, [.., run]) if report.not_archived.is_none() && report.more_hidden_runs == 0 => {
            format!(
                "Verified: records {} to {last} are whole: {what}. The {hidden} before them that are not shown were archived; their hashes are under the same root.",
                run.last + 1
            )
        }
        (_, hidden, _) => format!(
            "Verified: {} of {last} records are shown, as they were written; the hashes of the {hidden} others are under the same signed root.",
            report.shown
        ),
    }
}

/// A key for which nobody vouches, aloud.
fn recovered(it: &Recovered) -> String {
    let Recovered { record, key, actor, reason, .. } = it;
    let none = || "-".to_owned();
    printable(&format!(
        "WARNING: the key {key} is not followed from the key before it, which record {record} says was lost (by {}: {}). Nobody vouches for it but whoever gave it to you.",
        actor.clone().unwrap_or_else(none),
        reason.clone().unwrap_or_else(none),
    ))
}

/// What is in segments that were not among what was read.
fn archived(report: &Report) -> Vec<String> {
    const SAID: usize = 20;
    let unseen: Vec<_> = report.archives.iter().filter(|it| !it.seen).collect();
    let said = |it: &&Archive| {
        let Archive { record, first, last, sha256, .. } = it;
        printable(&format!(
            "Records {first} to {last} were archived (record {record}), segment SHA-256 {sha256}, not seen here."
        ))
    };
    let mut lines: Vec<_> = unseen.iter().take(SAID).map(said).collect();
    if let more @ 1.. = unseen.len().saturating_sub(SAID) {
        lines.push(format!("And {more} segments more that were not seen here."));
    }
    lines
}

/// The error that a trail is which does not verify; `what` says what follows from that.
pub(in crate::commands) fn refused(what: &str, report: &Report, trust: Trust) -> Error {
    let mut problems: Vec<_> = report
        .problems
        .iter()
        .map(|it| match it.line {
            0 => format!("{}: {}", it.kind, it.detail),
            line => format!("{}: {} (line {line})", it.kind, it.detail),
        })
        .collect();
    if report.more_problems > 0 {
        problems.push(format!("and {} more", report.more_problems));
    }
    Error::NotVerified { what: what.to_owned(), problems, report: document(report, trust) }
}

/// The error that the report of a drill is which does not verify.
pub(in crate::commands) fn refused_drill(what: &str, checked: &Checked) -> Error {
    /// So many are said; `-o json` has them all.
    const SAID: usize = 50;
    let problem = |it: &Problem| format!("{}: {} ({})", it.kind, it.detail, it.at);
    let mut problems: Vec<_> = checked.problems.iter().take(SAID).map(problem).collect();
    if let more @ 1.. = checked.problems.len().saturating_sub(SAID) {
        problems.push(format!("and {more} more"));
    }
    Error::NotVerified { what: what.to_owned(), problems, report: checked.document() }
}

/// What was found in the report of a drill, if nothing is wrong: lines for people.
pub(in crate::commands) fn drill_lines(checked: &Checked) -> Vec<String> {
    let Some(facts) = &checked.facts else { return Vec::new() };
    let receipts = facts.stops.iter().filter(|stop| stop.receipt.is_some()).count();
    let [pairs, kept] = facts.probed;
    let ended = printable(&format!(
        "{}: {}, begun by {} at {}.",
        facts.drill_id, facts.state, facts.started.actor, facts.started.time
    ));
    let mut lines = vec![
        ended,
        format!(
            "Verified: its figures follow from the {} samples that were recorded, each with a kill in the trail and a signed receipt ({receipts}).",
            facts.stops.len()
        ),
    ];
    if kept < pairs {
        lines.push(format!("Of {} of {pairs} pairs of a sample and a party the probes are not in the file; their figures are as they were recorded.", pairs - kept));
    }
    lines
}

/// The error that it is when a server hides records of the whole trail, other than those
/// that the trail says were archived.
pub(in crate::commands) fn hides(report: &Report, trust: Trust) -> Option<Error> {
    let hidden = report.not_archived?;
    let what = format!(
        "the server was asked for every record, and hides {} to {}, which no record says to be archived",
        hidden.first, hidden.last
    );
    Some(Error::NotVerified { what, problems: Vec::new(), report: document(report, trust) })
}
