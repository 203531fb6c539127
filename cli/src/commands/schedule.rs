//! `kya drill schedule …`

use std::time::Duration;

use crate::api::{NewSchedule, Schedule, ScheduleChange, ScheduledRun, Schedules, Why};
use crate::args::{AddSchedule, MaybeWhy, ScheduleCommand};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, printable, record, table};

pub(super) async fn run(
    command: ScheduleCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        ScheduleCommand::Add(wanted) => add(client, output, &wanted).await,
        ScheduleCommand::List => list(client, output).await,
        ScheduleCommand::Show { name, limit } => {
            let Answer { value, json } = client.schedule(&name, limit).await?;
            match output.is_json() {
                true => output.document(&json),
                false => show(output, value),
            }
        }
        ScheduleCommand::Pause { name, maybe } => {
            change(client, output, (&name, "pause"), &maybe, "paused").await
        }
        ScheduleCommand::Resume { name, maybe } => {
            change(client, output, (&name, "resume"), &maybe, "active").await
        }
        ScheduleCommand::Remove { name, maybe } => {
            change(client, output, (&name, "remove"), &maybe, "removed").await
        }
    }
}

async fn add(client: &Client, output: &mut Output<'_>, wanted: &AddSchedule) -> Result<(), Error> {
    let mut drill = super::drill::wanted(&wanted.drill)?;
    if wanted.every.is_some() {
        drill.samples = 1;
    }
    let new = NewSchedule {
        name: &wanted.name,
        cron: wanted.cron.as_deref(),
        time_zone: wanted.time_zone.as_deref(),
        every_s: wanted.every.map(|every| every.as_secs()),
        window_s: wanted.window.map(|window| window.as_secs()),
        drill,
    };
    let Answer { value, json } = client.add_schedule(&new).await?;
    match output.is_json() {
        true => output.document(&json),
        false => show(output, value),
    }
}

async fn list(client: &Client, output: &mut Output<'_>) -> Result<(), Error> {
    let Answer { value: Schedules { schedules }, json } = client.schedules().await?;
    if output.is_json() {
        return output.document(&json);
    }
    if schedules.is_empty() {
        return output.lines("No drills are scheduled: `kya drill schedule add` does that.");
    }
    let rows = schedules.into_iter().map(|schedule| {
        let state = state(&schedule);
        let (when, next) = (when(&schedule), schedule.next.into_iter().next());
        let last = or_dash(schedule.last_run.map(|run| run.outcome));
        let (passed, by) = (or_dash(schedule.last_passed_at), schedule.created_by);
        [schedule.name, state, when, or_dash(next), last, passed, by]
    });
    let columns = ["SCHEDULE", "STATE", "DUE", "NEXT", "LAST RUN", "LAST PASSED", "BY"];
    output.lines(table(columns, rows.collect()))
}

async fn change(
    client: &Client,
    output: &mut Output<'_>,
    (name, action): (&str, &str),
    maybe: &MaybeWhy,
    is: &str,
) -> Result<(), Error> {
    let why = Why { reason: maybe.reason.as_deref(), incident_id: maybe.incident_id.as_deref() };
    let Answer { value: ScheduleChange { schedule, changed }, json } =
        client.change_schedule(name, action, &why).await?;
    if output.is_json() {
        return output.document(&json);
    }
    let already = if changed { "" } else { " already" };
    output.lines(format!("{}: {is}{already}", printable(&schedule.name)))?;
    match (is, schedule.next.first()) {
        ("active", Some(next)) => output.lines(format!("Next: {}", printable(next))),
        _ => Ok(()),
    }
}

fn show(output: &mut Output<'_>, schedule: Schedule) -> Result<(), Error> {
    let (state, when) = (state(&schedule), when(&schedule));
    let drill = schedule.drill;
    let parties = drill.parties.into_iter().map(|it| format!("{}={}", it.name, it.url));
    let paused = schedule.paused_at.zip(schedule.paused_by);
    output.lines(record([
        ("Schedule", schedule.name),
        ("State", state),
        ("Overdue since", or_dash(schedule.overdue_since)),
        ("Paused", or_dash(paused.map(|(at, by)| format!("{at} by {by}")))),
        ("Due", when),
        ("Window", time(schedule.window_s)),
        ("Next", or_dash((!schedule.next.is_empty()).then(|| schedule.next.join(", ")))),
        ("Last passed at", or_dash(schedule.last_passed_at)),
        ("Made", format!("{} by {}", schedule.created_at, schedule.created_by)),
        ("Probes", parties.collect::<Vec<_>>().join(", ")),
        ("Samples", drill.samples.to_string()),
        ("Rate", drill.rate.to_string()),
        ("Selector", drill.selector),
        ("Bound of p99", or_dash(drill.p99_ms.map(|ms| format!("{ms} ms")))),
    ]))?;
    if schedule.runs.is_empty() {
        return Ok(());
    }
    let rows = schedule.runs.into_iter().map(|run| {
        let ScheduledRun { due_at, outcome, drill_id, why } = run;
        [due_at, outcome, or_dash(drill_id), or_dash(why)]
    });
    let columns = ["DUE AT", "OUTCOME", "DRILL ID", "WHY"];
    output.lines(format!("\n{}", table(columns, rows.collect())))
}

fn state(schedule: &Schedule) -> String {
    match schedule.overdue_since {
        Some(_) => "OVERDUE".to_owned(),
        None => schedule.state.clone(),
    }
}

fn when(schedule: &Schedule) -> String {
    match (&schedule.cron, schedule.every_s) {
        (Some(cron), _) => {
            format!("{cron} {}", schedule.time_zone.as_deref().unwrap_or("UTC"))
        }
        (None, every) => format!("every {}", time(every.unwrap_or_default())),
    }
}

fn time(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}
