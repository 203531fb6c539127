//! `kya status`: the state of the switch at a glance.

use crate::api::{
    AuditStatus, DrillsStatus, LastKill, ProxiesStatus, RegistryStatus, SwitchStatus,
};
use crate::client::{Answer, Client};
use crate::error::Error;
use crate::output::{Output, or_dash, printable, record, table};

/// Prints it, and fails if there are problems.
pub(super) async fn run(client: &Client, output: &mut Output<'_>) -> Result<(), Error> {
    let Answer { value: status, json } = client.status().await?;
    match output.is_json() {
        true => output.document(&json)?,
        false => print(output, &status)?,
    }
    match status.problems.len() {
        0 => Ok(()),
        problems => Err(Error::Degraded { problems }),
    }
}

fn print(output: &mut Output<'_>, status: &SwitchStatus) -> Result<(), Error> {
    let SwitchStatus { version, problems, registry, proxies, last_kill, audit, drills } = status;
    let verdict = match problems.len() {
        0 => "ready".to_owned(),
        count => format!("DEGRADED, {count} problem{}", if count == 1 { "" } else { "s" }),
    };
    let unread = || "cannot be read".to_owned();
    output.lines(record([
        ("Switch", verdict),
        ("Server", format!("kya {version}")),
        ("Database", registry.as_ref().map_or_else(unread, database)),
        ("Fleet", registry.as_ref().map_or_else(unread, fleet)),
        ("Proxies", counts(proxies)),
        ("Behind", behind(proxies)),
        ("Last kill", last_kill.as_ref().map_or_else(|| "-".to_owned(), kill)),
        ("Audit trail", audit.as_ref().map_or_else(unread, trail)),
        ("Drills", drills.as_ref().map_or_else(unread, scheduled)),
    ]))?;
    if !proxies.not_armed.is_empty() {
        let rows = proxies.not_armed.iter().map(|it| {
            [it.node_id.clone(), it.state.clone(), or_dash(it.since.as_ref()), it.why.clone()]
        });
        let rows = rows.collect();
        output.lines(format_args!("\n{}", table(["NOT ARMED", "STATE", "SINCE", "WHY"], rows)))?;
        if proxies.more > 0 {
            output.lines(format_args!("and {} more: kya node list", proxies.more))?;
        }
    }
    for problem in problems {
        let (code, what) = (printable(&problem.code), printable(&problem.what));
        output.lines(format_args!("\n{code}: {what}\n  {}", printable(&problem.fix)))?;
    }
    Ok(())
}

fn database(registry: &RegistryStatus) -> String {
    let RegistryStatus { revision, epoch, shared, .. } = registry;
    let of = if *shared { "shared by servers" } else { "of this server alone" };
    format!("answers, {of}; revision {revision} (epoch {epoch})")
}

fn fleet(registry: &RegistryStatus) -> String {
    match registry.halted {
        true => format!("HALTED since {}", or_dash(registry.halted_at.as_ref())),
        false => "not halted".to_owned(),
    }
}

fn counts(proxies: &ProxiesStatus) -> String {
    let ProxiesStatus { armed, stale, unknown, workers, .. } = proxies;
    format!("{armed} armed, {stale} stale, {unknown} unknown ({workers} workers)")
}

fn behind(proxies: &ProxiesStatus) -> String {
    match &proxies.slowest {
        Some(slowest) => format!("{slowest} by {} revisions", proxies.most_behind),
        None => "nobody".to_owned(),
    }
}

fn kill(kill: &LastKill) -> String {
    let LastKill { kill_id, act, subject, at, complete, workers_there, acknowledged, .. } = kill;
    let complete = if *complete { "complete" } else { "NOT complete" };
    let after = kill
        .last_acknowledged_after_ms
        .map_or_else(String::new, |after| format!(", the last after {after:.1} ms"));
    format!(
        "{kill_id} {act} {subject} at {at}: {complete}, {acknowledged} of {workers_there} workers acknowledged it{after}"
    )
}

fn trail(audit: &AuditStatus) -> String {
    let AuditStatus { size, checkpoint_size, acts_waiting, signs_here, .. } = audit;
    let signed = match &audit.checkpoint_at {
        Some(at) => format!("{checkpoint_size} of them signed at {at}"),
        None => "not signed yet".to_owned(),
    };
    let key = if *signs_here { "" } else { "; the key is not at this server" };
    format!("{size} records, {signed}; {acts_waiting} acts waiting{key}")
}

fn scheduled(drills: &DrillsStatus) -> String {
    let DrillsStatus { schedules, paused, overdue, next, last_passed_at } = drills;
    if *schedules == 0 {
        return "none scheduled".to_owned();
    }
    let next = match next {
        Some(next) => format!("next {} at {}", next.schedule, next.at),
        None => "none is due".to_owned(),
    };
    let overdue = match overdue.len() {
        0 => String::new(),
        count => format!("{count} OVERDUE, "),
    };
    let passed = last_passed_at.as_ref().map_or("never".to_owned(), |at| format!("at {at}"));
    let plural = if *schedules == 1 { "" } else { "s" };
    format!("{overdue}{schedules} schedule{plural} ({paused} paused), {next}; last passed {passed}")
}
