//! `kya drill …`

mod report;

use std::pin::pin;
use std::time::Duration;

use kya_core::DrillId;

use crate::api::{Drill, DrillResult, DrilledParty, Drills, NewDrill, Percentiles};
use crate::args::{DrillCommand, Global, RunDrill};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, printable, record, table};
use crate::tls;

/// How often it is looked how far a drill is.
const LOOK: Duration = Duration::from_millis(500);
/// So many looks in a row may fail.
const LOST: u32 = 10;

pub(super) async fn run(
    command: DrillCommand,
    global: &Global,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let command = match command {
        // Of a file it needs no server.
        DrillCommand::Report(asked) => return report::run(asked, global, output).await,
        other => other,
    };
    let client = &Client::new(global)?;
    match command {
        DrillCommand::Report(_) => Ok(()),
        DrillCommand::Run(wanted) => drill(client, output, &wanted).await,
        DrillCommand::Show { id, samples } => {
            let Answer { value, json } = client.drill(id, samples && output.is_json()).await?;
            match output.is_json() {
                true => output.document(&json),
                false => show(output, value),
            }
        }
        DrillCommand::List { before, limit } => list(client, output, before, limit).await,
        DrillCommand::Schedule(command) => super::schedule::run(command, client, output).await,
        DrillCommand::Stop { id } => {
            let Answer { value, json } = client.stop_drill(id).await?;
            match output.is_json() {
                true => output.document(&json),
                false => output.lines(format!("{id}: {}", printable(&value.state))),
            }
        }
    }
}

async fn drill(client: &Client, output: &mut Output<'_>, wanted: &RunDrill) -> Result<(), Error> {
    let id = client.begin_drill(&self::wanted(wanted)?).await?.value.drill_id;
    output.aside(format_args!("Drill: {id}"));
    let Answer { value, json } = follow(client, output, id).await?;
    let state = value.state.clone();
    match output.is_json() {
        true => output.document(&json)?,
        false => show(output, value)?,
    }
    match &*state {
        "passed" => Ok(()),
        state => Err(Error::DrillNotPassed { id, state: state.to_owned() }),
    }
}

/// As the API takes it.
pub(super) fn wanted(wanted: &RunDrill) -> Result<NewDrill<'_>, Error> {
    Ok(NewDrill {
        parties: &wanted.probes,
        samples: wanted.samples,
        rate: wanted.rate,
        act: wanted.act,
        selector: &wanted.selector,
        agent_id: wanted.agent,
        probe_ca: wanted.probe_ca.as_deref().map(tls::authorities_of).transpose()?,
        p99_ms: wanted.p99.map(|p99| u64::try_from(p99.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// Follows a drill to its end, which Ctrl-C asks for.
async fn follow(
    client: &Client,
    output: &mut Output<'_>,
    id: DrillId,
) -> Result<Answer<Drill>, Error> {
    let mut lost = 0;
    let mut asked_to_stop = false;
    let mut said = None;
    // One for all turns: what comes while the server is asked is not lost.
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            interrupted = &mut interrupt, if !asked_to_stop => {
                asked_to_stop = true;
                if interrupted.is_ok() {
                    output.aside("Stopping: the canary is being restored");
                    client.stop_drill(id).await?;
                }
            }
        }
        match client.drill(id, false).await {
            Ok(answer) if answer.value.ended_at.is_some() => return Ok(answer),
            Ok(Answer { value, .. }) => {
                lost = 0;
                let progress = (value.samples_done, value.state.clone());
                if said.as_ref() != Some(&progress) {
                    let (done, of) = (value.samples_done, value.request.samples);
                    let state = printable(&value.state);
                    output.aside(format_args!("{done} of {of} samples, {state}"));
                    said = Some(progress);
                }
            }
            Err(Error::Unreachable { .. }) if lost < LOST => lost += 1,
            Err(error) => {
                output.aside(format_args!("The drill may go on: kya drill show {id}"));
                return Err(error);
            }
        }
    }
}

async fn list(
    client: &Client,
    output: &mut Output<'_>,
    before: Option<DrillId>,
    limit: u32,
) -> Result<(), Error> {
    let query = [("before", before.map(|id| id.to_string())), ("limit", Some(limit.to_string()))];
    let Answer { value: Drills { drills, next }, json } = client.drills(&query).await?;
    if output.is_json() {
        return output.document(&json);
    }
    if drills.is_empty() {
        return output.lines("No drills.");
    }
    let rows = drills.into_iter().map(|drill| {
        let last = drill.result.and_then(|result| result.last_rejection_ms);
        let p99 = or_dash(last.map(|last| millis(last.p99)));
        let samples = format!("{}/{}", drill.samples_done, drill.request.samples);
        let id = drill.drill_id.to_string();
        [id, drill.started_at, drill.state, samples, p99, drill.started_by]
    });
    let columns = ["DRILL ID", "STARTED AT", "STATE", "SAMPLES", "LAST REJECTION P99", "BY"];
    output.lines(table(columns, rows.collect()))?;
    if let Some(next) = next {
        output.note(format_args!("There are more: --before {next}"));
    }
    Ok(())
}

fn show(output: &mut Output<'_>, drill: Drill) -> Result<(), Error> {
    let canary = drill.result.as_ref().and_then(|result| result.canary);
    output.lines(record([
        ("Drill", drill.drill_id.to_string()),
        ("State", drill.state),
        ("Started at", drill.started_at),
        ("Ended at", or_dash(drill.ended_at)),
        ("By", drill.started_by),
        ("Canary", or_dash(canary)),
        ("Samples", format!("{} of {}", drill.samples_done, drill.request.samples)),
    ]))?;
    match drill.result {
        Some(result) => found(output, result),
        None => Ok(()),
    }
}

fn found(output: &mut Output<'_>, result: DrillResult) -> Result<(), Error> {
    let parties: Vec<_> = result.relying_parties.into_iter().map(party).collect();
    if !parties.is_empty() {
        let columns = [
            "PARTY",
            "SAMPLES",
            "NOT REJECTED",
            "FIRST REJECTION",
            "LAST REJECTION",
            "ALLOWED AFTER ACK",
            "IN FLIGHT CUT",
            "MISSED",
            "NO ANSWER",
        ];
        output.lines(format!("\n{}", table(columns, parties)))?;
    }
    let all = [
        ("First rejection, of the first", figures(result.first_rejection_ms)),
        ("Last rejection, of the last", figures(result.last_rejection_ms)),
        ("All workers acknowledged", figures(result.receipt_complete_ms)),
        ("Samples not acknowledged by all", result.unacknowledged.to_string()),
    ];
    output.lines(format!("\n{}", record(all)))?;
    output.lines("\nTimes are p50 / p90 / p99 / max since the stop.")?;
    for failure in &result.failures {
        output.lines(format!("NOT PASSED: {}", printable(failure)))?;
    }
    match result.passed {
        true => output.lines("Passed."),
        false => Ok(()),
    }
}

fn party(party: DrilledParty) -> [String; 9] {
    [
        party.name,
        party.measured.to_string(),
        party.not_rejected.to_string(),
        figures(party.first_rejection_ms),
        figures(party.last_rejection_ms),
        party.allowed_after_ack.to_string(),
        format!("{}/{}", party.in_flight.cut, party.in_flight.at_stop),
        party.missed.to_string(),
        party.unanswered.to_string(),
    ]
}

fn figures(of: Option<Percentiles>) -> String {
    or_dash(of.map(|Percentiles { p50, p90, p99, max }| {
        [p50, p90, p99].map(|figure| format!("{figure:.1}")).join(" / ") + " / " + &millis(max)
    }))
}

fn millis(figure: f64) -> String {
    format!("{figure:.1} ms")
}
