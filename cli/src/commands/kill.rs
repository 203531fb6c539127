//! `kya kill …`

mod receipt;

use std::time::Duration;

use kya_core::KillId;
use serde_json::Value;

use crate::api::{Kill, KillReport, KillRequest, KillWorker, Kills};
use crate::args::{Global, KillCommand, ListKills};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, printable, record, table};

/// The longest that a server lets somebody wait.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// More of them are counted, not listed.
const MAX_LISTED: usize = 50;

pub(super) async fn run(
    command: KillCommand,
    global: &Global,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let client = || Client::new(global);
    match command {
        KillCommand::List(wanted) => list(&client()?, output, wanted).await,
        KillCommand::Show { id } => {
            let Answer { value, json } = asked(&client()?, id, Duration::ZERO).await?;
            match output.is_json() {
                true => output.document(&json),
                false => show(output, value),
            }
        }
        KillCommand::Wait { id } => wait(&client()?, output, id).await,
        KillCommand::Receipt(asked) => receipt::get(asked, &client()?, output).await,
        KillCommand::Verify(asked) => receipt::verify(&asked, output),
    }
}

async fn asked(client: &Client, id: KillId, wait: Duration) -> Result<Answer<KillReport>, Error> {
    let answer = client.kill(id, wait).await?;
    let told = answer.value.kill.kill_id;
    if told != id {
        return Err(client.unexpected(format!("asked about {id}, it tells of {told}")));
    }
    Ok(answer)
}

async fn list(client: &Client, output: &mut Output<'_>, wanted: ListKills) -> Result<(), Error> {
    let query = [
        ("subject", wanted.subject),
        ("act", wanted.act),
        ("incident_id", wanted.incident_id),
        ("before", wanted.before.map(|id| id.to_string())),
        ("limit", Some(wanted.limit.to_string())),
    ];
    let Answer { value: Kills { kills, next }, json } = client.kills(&query).await?;
    if output.is_json() {
        return output.document(&json);
    }
    if kills.is_empty() {
        return output.lines("No kills.");
    }
    let rows = kills.into_iter().map(|kill| {
        let Kill { kill_id, at, act, subject, actor, reason, incident_id, .. } = kill;
        let (reason, incident) = (or_dash(reason), or_dash(incident_id));
        [kill_id.to_string(), at, act, subject, actor, reason, incident]
    });
    let columns = ["KILL ID", "AT", "ACT", "SUBJECT", "BY", "REASON", "INCIDENT ID"];
    output.lines(table(columns, rows.collect()))?;
    if let Some(next) = next {
        output.note(format_args!("There are more: --before {next}"));
    }
    Ok(())
}

fn show(output: &mut Output<'_>, report: KillReport) -> Result<(), Error> {
    let KillReport { kill, state, complete, summary, workers, unknown, rows, .. } = report;
    let by = match kill.role {
        Some(role) => format!("{} ({role})", kill.actor),
        None => kill.actor,
    };
    output.lines(record([
        ("Kill", kill.kill_id.to_string()),
        ("Act", kill.act),
        ("Subject", kill.subject),
        ("In flight", kill.in_flight),
        ("At", kill.at),
        ("Revision", kill.revision.to_string()),
        ("By", by),
        ("From", or_dash(kill.address)),
        ("Reason", or_dash(kill.reason)),
        ("Incident id", or_dash(kill.incident_id)),
        ("State", state),
        ("Complete", if complete { "yes" } else { "no" }.to_owned()),
    ]))?;
    output.lines(format!("\n{}", printable(&summary)))?;
    for name in unknown.iter().take(MAX_LISTED) {
        output.lines(format!("Not known: what was in flight at {}", printable(name)))?;
    }
    let rows: Vec<_> = rows
        .into_iter()
        .map(|row| [row.seq.to_string(), kind(&row.record), says(&row.record)])
        .collect();
    if !rows.is_empty() {
        output.lines(format!("\n{}", table(["RECORD", "ROW", "SAYS"], rows)))?;
    }
    let requests: Vec<_> = workers.iter().flat_map(in_flight).collect();
    let standing = workers.into_iter().map(worker).collect::<Vec<_>>();
    if !standing.is_empty() {
        let columns =
            ["PROXY", "WORKER", "INSTANCE", "STATE", "ACKNOWLEDGED AT", "NUMBER", "NOT KNOWN"];
        output.lines(format!("\n{}", table(columns, standing)))?;
    }
    if !requests.is_empty() {
        let columns =
            ["PROXY", "WORKER", "DECISION", "AGENT ID", "ENDING", "DISPOSITION", "RECORD"];
        output.lines(format!("\n{}", table(columns, requests)))?;
    }
    Ok(())
}

fn worker(worker: KillWorker) -> [String; 7] {
    let lacks = match worker.missing.saturating_add(worker.untracked) {
        0 => "-".to_owned(),
        requests => format!("{requests} requests"),
    };
    let (at, number) = (or_dash(worker.acknowledged_at), or_dash(worker.applied_number));
    let slot = worker.worker.to_string();
    [worker.proxy, slot, worker.instance, worker.state, at, number, lacks]
}

fn in_flight(worker: &KillWorker) -> Vec<[String; 7]> {
    let (proxy, slot) = (worker.proxy.clone(), worker.worker.to_string());
    let row = |request: &KillRequest| {
        let disposition = request.disposition.clone().unwrap_or_else(|| "goes on".to_owned());
        [
            proxy.clone(),
            slot.clone(),
            request.decision_number.to_string(),
            or_dash(request.agent_id.clone()),
            request.ending.clone(),
            disposition,
            or_dash(request.ended_seq),
        ]
    };
    let mut rows: Vec<_> = worker.requests.iter().map(row).collect();
    if worker.more_requests > 0 {
        let more = format!("and {} more", worker.more_requests);
        let empty = String::new;
        rows.push([proxy.clone(), slot.clone(), more, empty(), empty(), empty(), empty()]);
    }
    rows
}

/// The type of a record.
fn kind(record: &Value) -> String {
    record["type"].as_str().unwrap_or("-").to_owned()
}

/// What a row says, in short.
fn says(row: &Value) -> String {
    let number = |field: &str| row[field].as_u64().unwrap_or_default();
    match row["type"].as_str() {
        Some("kill_activated") => {
            let text = |field: &str| row[field].as_str().unwrap_or("-").to_owned();
            format!("{} by {}: {}", text("act"), text("actor"), text("reason"))
        }
        Some("kill_scope") => format!(
            "{} agents, {} tokens, {} capability tokens",
            number("agents"),
            number("tokens"),
            number("capability_tokens"),
        ),
        Some("kill_completed") => format!(
            "{} of {} workers; {} in flight: {} committed, {} rolled back, {} escalated, {} go on{}",
            number("applied"),
            number("workers"),
            number("in_flight"),
            number("committed"),
            number("rolled_back"),
            number("escalated"),
            number("open"),
            if row["timed_out"] == true { "; the time was over" } else { "" },
        ),
        _ => "-".to_owned(),
    }
}

async fn wait(client: &Client, output: &mut Output<'_>, id: KillId) -> Result<(), Error> {
    let patience = client.timeout().min(MAX_WAIT);
    let Answer { value, json } = asked(client, id, patience).await?;
    if output.is_json() {
        output.document(&json)?;
    } else {
        output.lines(printable(&value.summary))?;
    }
    // That nobody has refused is no proof.
    if value.complete && value.workers_there > 0 {
        return Ok(());
    }
    let KillReport { laggards, acknowledged, workers_there, workers, .. } = value;
    if !output.is_json() {
        for name in laggards.iter().take(MAX_LISTED) {
            output.lines(format!("Not yet: {}", printable(name)))?;
        }
        let unlisted = laggards.len().saturating_sub(MAX_LISTED);
        if unlisted > 0 {
            output.lines(format!("Not yet: {unlisted} more (`-o json` names all)"))?;
        }
        for worker in workers.iter().filter(|worker| worker.state == "applied") {
            let (proxy, slot) = (printable(&worker.proxy), worker.worker);
            output.lines(format!("Requests go on: {proxy} worker {slot}"))?;
        }
    }
    Err(Error::Incomplete { id, acknowledged, workers: workers_there })
}
