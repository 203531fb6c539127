//! Reports a change: what was committed, then who has acknowledged it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Acknowledgements, Commit, Disconnected, Pending};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, printable};

/// More laggards, or more absentees, than this are counted, not listed.
const MAX_LISTED: usize = 50;

/// How a kind of change is spoken of.
pub(crate) struct Wording {
    /// What happened to it: `Revoked`.
    pub(crate) done: &'static str,
    /// What that means from now on.
    pub(crate) effect: &'static str,
    /// `revocation`, within a sentence.
    pub(crate) noun: &'static str,
    /// `Revocation`, at the start of one.
    pub(crate) title: &'static str,
    /// What is said when it was so before.
    pub(crate) already: &'static str,
    /// What a worker that does not know of it may do.
    pub(crate) risk: &'static str,
}

/// Prints the change of `id`, waits for its acknowledgements, and prints them.
/// The change is on the screen before the waiting begins.
pub(crate) async fn report(
    client: &Client,
    output: &mut Output<'_>,
    wording: &Wording,
    id: &str,
    commit: &Commit,
    change: Value,
    wait: Duration,
) -> Result<(), Error> {
    let lines = committed(wording, id, wording.effect, commit);
    report_lines(client, output, wording, lines, commit, change, wait).await
}

/// The same with other lines about the change.
pub(crate) async fn report_lines(
    client: &Client,
    output: &mut Output<'_>,
    wording: &Wording,
    lines: String,
    commit: &Commit,
    change: Value,
    wait: Duration,
) -> Result<(), Error> {
    if !output.is_json() {
        output.lines(lines)?;
    }
    if commit.revision == 0 {
        // Nothing was ever changed, so that there is nothing to acknowledge.
        return match output.is_json() {
            true => unacknowledged(output, &change),
            false => Ok(()),
        };
    }
    let asked = client.acknowledgements(commit.revision, wait).await;
    let kill = commit.kill_id.map(|kill| format!("Kill: {kill}"));
    if let (Err(_), Some(kill), false) = (&asked, &kill, output.is_json()) {
        output.lines(kill)?;
    }
    let json = asked.as_ref().map_or(Value::Null, |answer| answer.json.clone());
    if output.is_json() {
        output.document(&json!({ "change": change, "acknowledgements": json }))?;
    }
    let Answer { value, .. } = asked.map_err(|source| Error::AcknowledgementUnknown {
        noun: wording.noun,
        revision: commit.revision,
        source: Box::new(source),
    })?;
    if output.is_json() {
        return Ok(());
    }
    let mut lines = acknowledged(wording, commit, value, wait);
    lines.extend(kill);
    output.lines(lines.join("\n"))
}

/// Prints what came of a request that changed nothing: `said`, or the answer as JSON.
pub(crate) fn nothing_changed(
    output: &mut Output<'_>,
    change: &Value,
    said: &str,
) -> Result<(), Error> {
    match output.is_json() {
        true => unacknowledged(output, change),
        false => output.lines(said),
    }
}

fn unacknowledged(output: &mut Output<'_>, change: &Value) -> Result<(), Error> {
    output.document(&json!({ "change": change, "acknowledgements": null }))
}

/// Waits for the acknowledgements of a change that was told of already, and says in lines
/// who has acknowledged it.
pub(crate) async fn told(
    client: &Client,
    wording: &Wording,
    commit: &Commit,
    wait: Duration,
) -> Result<Vec<String>, Error> {
    let asked = client.acknowledgements(commit.revision, wait).await;
    let Answer { value, .. } = asked.map_err(|source| Error::AcknowledgementUnknown {
        noun: wording.noun,
        revision: commit.revision,
        source: Box::new(source),
    })?;
    Ok(acknowledged(wording, commit, value, wait))
}

/// Three lines, and a fourth when nothing changed.
pub(crate) fn committed(wording: &Wording, id: &str, effect: &str, commit: &Commit) -> String {
    let Wording { done, title, .. } = wording;
    let at = printable(&commit.committed_at);
    let lines = format!("{done}: {id}\n{effect}\n{title} logged at: {at}");
    unless_changed(lines, wording, commit)
}

/// Says below these lines when nothing changed.
pub(crate) fn unless_changed(mut lines: String, wording: &Wording, commit: &Commit) -> String {
    if !commit.changed {
        lines.push_str(&format!("\n({}; nothing changed)", wording.already));
    }
    lines
}

fn acknowledged(
    wording: &Wording,
    commit: &Commit,
    mut acks: Acknowledgements,
    wait: Duration,
) -> Vec<String> {
    let Wording { noun, risk, .. } = wording;
    let absent = disconnected(&acks);
    if acks.proxies == 0 {
        let mut lines = vec![
            format!("No proxy is connected: no worker has acknowledged this {noun}."),
            format!(
                "It takes effect in a proxy when that proxy connects; one that has lost its connection {risk} until then."
            ),
        ];
        lines.extend(absent);
        return lines;
    }
    let time = match acks.elapsed_ms {
        // Of an older change it would tell when the proxies were started.
        Some(ms) if acks.complete && commit.changed => format!(" in {}", milliseconds(ms)),
        _ if acks.complete => String::new(),
        _ => format!(" within {}", humantime::format_duration(wait)),
    };
    let mut lines = vec![format!(
        "Acknowledged by {} of {} workers of {} of {} proxies{time}",
        acks.workers_acknowledged, acks.workers, acks.proxies_acknowledged, acks.proxies,
    )];
    if acks.complete {
        lines.extend(absent);
        return lines;
    }
    acks.pending.sort_unstable();
    lines.extend(acks.pending.iter().take(MAX_LISTED).map(|Pending { node_id, slot }| {
        format!("Not yet: proxy {} worker {slot}", printable(node_id))
    }));
    let unlisted = acks.pending.len().saturating_sub(MAX_LISTED);
    if unlisted > 0 {
        lines.push(format!("Not yet: {unlisted} more workers (`-o json` names all)"));
    }
    let silent = silent_proxies(&acks);
    if silent > 0 {
        let proxies = if silent == 1 { "proxy that has" } else { "proxies that have" };
        lines.push(format!("Not yet: {silent} {proxies} not reported any worker"));
    }
    lines.extend(absent);
    lines.push(format!("Whatever has not acknowledged {risk}."));
    lines
}

/// One line for each proxy that may decide by anything, because it is cut off.
pub(crate) fn disconnected(acks: &Acknowledgements) -> Vec<String> {
    let mut lines: Vec<_> = acks
        .disconnected
        .iter()
        .take(MAX_LISTED)
        .map(|Disconnected { node_id, since, .. }| {
            let (name, since) = (printable(node_id), printable(since));
            format!(
                "Not connected: proxy {name} since {since}: it decides by the last state it received"
            )
        })
        .collect();
    let unlisted = acks.disconnected.len().saturating_sub(MAX_LISTED);
    if unlisted > 0 {
        lines.push(format!("Not connected: {unlisted} more proxies (`-o json` names all)"));
    }
    lines
}

/// Connected proxies that have not said which workers they have, and so are
/// neither acknowledged nor named as pending.
fn silent_proxies(acks: &Acknowledgements) -> u64 {
    let mut named: Vec<&str> = acks.pending.iter().map(|worker| &*worker.node_id).collect();
    named.dedup();
    acks.proxies.saturating_sub(acks.proxies_acknowledged).saturating_sub(named.len() as u64)
}

fn milliseconds(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.1} s", ms / 1000.0) }
}
