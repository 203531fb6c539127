//! Kills as JSON.

use kya_core::KillId;
use kya_core::audit::{Disposition, ReceiptFlights};
use serde::Serialize;
use serde_json::Value;

use super::is_complete;
use super::receipt::flights;
use crate::audit::kills::{Progress, Stage, Standing};
use crate::store::audit::{Concern, KillRow, StoredLine};
use crate::store::{Kill, StoreError, in_flight_name};

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct Kills {
    pub(super) kills: Vec<Listed>,
    /// The last of them, if there are more before it.
    pub(super) next: Option<KillId>,
}

/// Who stopped whom or what.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Kill")]
pub(super) struct Listed {
    kill_id: KillId,
    /// What was done, for example `agent.revoked`.
    act: String,
    subject: String,
    /// What becomes of requests in flight: `abort` or `drain`.
    in_flight: &'static str,
    at: String,
    epoch: u64,
    revision: u64,
    /// Sequence of its event.
    event: u64,
    actor: String,
    role: Option<String>,
    address: Option<String>,
    reason: Option<String>,
    incident_id: Option<String>,
}

/// What has become of a kill.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::api) struct KillReport {
    kill: Listed,
    /// `recording`: its first row is not in the trail yet; `open`: it is followed; `closed`:
    /// its last row is there.
    state: &'static str,
    /// Whether every worker that was there has acknowledged it, nothing is in flight any
    /// more, and the trail says so. Never without anybody being asked: see `summary`.
    complete: bool,
    /// The same for people.
    summary: String,
    /// Workers that were there, and those of them that have acknowledged it.
    workers_there: u64,
    acknowledged: u64,
    /// `proxy/instance` of those that have not, though they may serve.
    laggards: Vec<String>,
    /// Whether there were more workers, or more requests, than are looked at; then the
    /// numbers are the least that they can be, and it is never complete.
    cut_off: bool,
    /// Requests that were in flight, by what became of them.
    in_flight: ReceiptFlights,
    workers: Vec<Worker>,
    /// `proxy/instance` of those of which is not known what was in flight.
    unknown: Vec<String>,
    /// Its rows in the trail.
    rows: Vec<Row>,
}

/// A row of a kill.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Row {
    /// Number of the record.
    pub(super) seq: u64,
    /// The record, as it is in the trail.
    record: Value,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "WorkerOfKill")]
struct Worker {
    proxy: String,
    worker: u32,
    instance: String,
    /// `waiting`, `applied` (requests go on), `done`, `closed` (it ended before) or `lost`.
    state: &'static str,
    /// When the control plane had that in the trail, and when it was by the proxy's clock.
    acknowledged_at: Option<String>,
    applied_at: Option<String>,
    /// Number of that event of the worker, and of its record.
    applied_number: Option<u64>,
    applied_seq: Option<u64>,
    requests: Vec<Request>,
    /// Requests that are left off here.
    more_requests: u64,
    /// Requests that it has announced and not reported yet.
    missing: u64,
    /// Requests of which it keeps no track.
    untracked: u64,
    /// Whether the trail says that two report as this worker.
    in_conflict: bool,
}

/// A request in flight.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RequestOfKill")]
struct Request {
    /// Number of its decision among the events of the worker.
    decision_number: u64,
    agent_id: Option<String>,
    /// `abort`, `drain`, or `lost` with its worker.
    ending: String,
    /// `committed`, `rolled_back` or `escalated`; `None` while it goes on.
    disposition: Option<&'static str>,
    /// Records that say so.
    reported_seq: u64,
    ended_seq: Option<u64>,
}

impl From<Kill> for Listed {
    fn from(kill: Kill) -> Self {
        let Kill { id, event, committed, act, subject, cause, in_flight } = kill;
        Self {
            kill_id: id,
            act,
            subject,
            in_flight: in_flight_name(in_flight),
            at: committed.at.to_rfc3339(),
            epoch: committed.position.epoch,
            revision: committed.position.revision.0,
            event,
            actor: cause.actor,
            role: cause.role,
            address: cause.address,
            reason: cause.reason,
            incident_id: cause.incident_id,
        }
    }
}

impl Row {
    pub(super) fn read(line: &StoredLine) -> Result<Self, StoreError> {
        let wrong = |error| StoreError::Corrupt(format!("record {}: {error}", line.seq));
        Ok(Self { seq: line.seq, record: serde_json::from_str(&line.record).map_err(wrong)? })
    }
}

impl KillReport {
    pub(super) fn new(kill: Kill, known: Option<(KillRow, Progress)>, rows: Vec<Row>) -> Self {
        let kill = Listed::from(kill);
        let Some((row, progress)) = known else {
            return Self {
                kill,
                state: "recording",
                complete: false,
                summary: "It is not in the audit trail yet.".to_owned(),
                workers_there: 0,
                acknowledged: 0,
                laggards: Vec::new(),
                cut_off: false,
                in_flight: ReceiptFlights::default(),
                workers: Vec::new(),
                unknown: Vec::new(),
                rows,
            };
        };
        let completed = progress.completed(&row, false);
        let complete = is_complete(&row, &progress);
        let in_flight = flights(&progress);
        Self {
            kill,
            state: if row.completed.is_some() { "closed" } else { "open" },
            complete,
            summary: summary(&progress, complete, &in_flight),
            workers_there: completed.workers,
            acknowledged: progress.acknowledged(),
            laggards: progress.laggards().map(Standing::name).collect(),
            cut_off: completed.cut_off,
            in_flight,
            unknown: progress
                .workers
                .iter()
                .filter(|it| it.is_unknown())
                .map(Standing::name)
                .collect(),
            workers: progress.workers.into_iter().map(Worker::from).collect(),
            rows,
        }
    }
}

fn summary(progress: &Progress, complete: bool, flights: &ReceiptFlights) -> String {
    let there = progress.workers.len();
    if there == 0 {
        return "No worker of any proxy was connected when it was done: nobody was there to \
                apply it, and nothing was in flight."
            .to_owned();
    }
    let lost = progress.workers.iter().filter(|it| it.stage() == Stage::Lost).count();
    let mut said = match complete {
        true => format!("All of the {there} workers that were there apply it"),
        false => format!("{} of the {there} workers that were there apply it", progress.applied()),
    };
    let ReceiptFlights { requests, escalated, open, .. } = flights;
    said.push_str(&match requests {
        0 => "; nothing was in flight that it concerns".to_owned(),
        requests => format!("; {requests} requests were in flight"),
    });
    if *open > 0 {
        said.push_str(&format!(", {open} go on"));
    }
    if *escalated > 0 {
        said.push_str(&format!(", of {escalated} nobody knows what they did: look"));
    }
    if progress.is_cut_off() {
        said.push_str("; there were more than are looked at, so it is not complete");
    }
    let twice = progress.workers.iter().filter(|it| it.worker.in_conflict).count();
    if twice > 0 {
        said.push_str(&format!(
            "; as {twice} workers two report, and their word counts for nothing"
        ));
    }
    if lost > 0 {
        said.push_str(&format!("; {lost} workers were lost"));
    }
    said.push('.');
    said
}

impl From<Standing> for Worker {
    fn from(standing: Standing) -> Self {
        let (stage, instance, missing) = (standing.stage(), standing.instance(), standing.missing);
        let worker = standing.worker;
        let applied = worker.applied.as_ref();
        let listed = u64::try_from(worker.requests.len()).unwrap_or(u64::MAX);
        Self {
            proxy: worker.key.node,
            worker: worker.slot,
            instance,
            state: stage.as_str(),
            acknowledged_at: applied.map(|it| it.recorded.to_rfc3339()),
            applied_at: applied.map(|it| it.at.to_rfc3339()),
            applied_number: applied.map(|it| it.number),
            applied_seq: applied.map(|it| it.seq),
            missing,
            in_conflict: worker.in_conflict,
            untracked: applied.map_or(0, |it| it.untracked),
            more_requests: worker.flights.all().saturating_sub(listed),
            requests: worker.requests.into_iter().map(Request::from).collect(),
        }
    }
}

impl From<Concern> for Request {
    fn from(concern: Concern) -> Self {
        Self {
            decision_number: concern.decision,
            agent_id: concern.agent_id,
            ending: concern.ending,
            disposition: concern.disposition.map(|it| match it {
                Disposition::Committed => "committed",
                Disposition::RolledBack => "rolled_back",
                Disposition::Escalated => "escalated",
            }),
            reported_seq: concern.seq,
            ended_seq: concern.ended,
        }
    }
}
