//! What follows from the records of a drill, its samples and its receipts.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit::verify::Report;
use crate::audit::{Activated, Administered, Entry, Receipt, ReceiptFlights, Record, Timestamp};
use crate::drill::raw::RawSample;
use crate::drill::samples::Micros;

/// What a drill was, and what came of it. Every member is from a record of the trail, a
/// receipt, or the samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// `drl_…`
    pub drill_id: String,
    /// `passed`, `failed` or `interrupted`.
    pub state: String,
    /// Its beginning, with who asked for it.
    pub started: Act,
    /// Its end.
    pub ended: Act,
    /// What was asked for.
    pub request: Value,
    /// What was found, as it was recorded at the end.
    pub result: Value,
    /// The stops, one a sample.
    pub stops: Vec<Stop>,
    /// The trail by which it is proved.
    pub trail: Head,
    /// Pairs of a sample and a party, and those of them whose probes were kept.
    pub probed: [u64; 2],
}

/// A record of the trail about the drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Its number.
    pub record: u64,
    /// When it happened.
    pub time: Timestamp,
    /// Who did it.
    pub actor: String,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The stop of one sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// `kil_…`
    pub kill_id: String,
    /// The first row of the kill: who did it, when and why.
    pub activated: Act,
    /// In which role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What was done.
    pub act: String,
    /// To whom.
    pub subject: String,
    /// The state from which on it counted.
    pub revision: u64,
    /// From the stop to the first rejection at any party, in microseconds.
    pub first_rejection_us: Option<Micros>,
    /// From the stop to the last party's first rejection after its last allow.
    pub last_rejection_us: Option<Micros>,
    /// From the stop until every connected worker had acknowledged it.
    pub acknowledged_us: Option<Micros>,
    /// What its receipt says.
    pub receipt: Option<Receipted>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
}

/// What the receipt of a stop says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipted {
    /// When it was signed.
    pub issued_at: Timestamp,
    /// Whether every worker that was there has acknowledged it, and nothing is in flight.
    pub complete: bool,
    /// Workers that were there.
    pub workers_there: u64,
    /// Those of them that acknowledged it.
    pub acknowledged: u64,
    /// Proxies that were there.
    pub proxies: Vec<String>,
    /// Proxies that may connect and were not there.
    pub not_connected: Vec<String>,
    /// Requests that were in flight.
    pub in_flight: ReceiptFlights,
}

/// The act that took a stop back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Its record.
    pub record: u64,
    /// When it was.
    pub time: Timestamp,
    /// How long after the stop, in microseconds, by the control plane's clock.
    pub after_us: u64,
}

/// The signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// Name of the trail.
    pub origin: String,
    /// Records in it.
    pub size: u64,
    /// Root of the Merkle tree over them.
    pub root: String,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// By which key.
    pub key: String,
    /// Records that are shown here.
    pub shown: u64,
    /// Records of which only hashes are here.
    pub hidden: u64,
}

/// Whether a record is about this drill: it was done to it or because of it, it is a row of
/// one of its kills, or a receipt names it.
pub fn belongs(record: &Record, drill: &str, kills: &[String], named: &[u64]) -> bool {
    let is_kill = |id: &String| kills.contains(id);
    match &record.entry {
        Entry::Admin(act) => act.subject == drill || is_because(act.reason.as_deref(), drill),
        Entry::KillActivated(it) => is_because(it.reason.as_deref(), drill) || is_kill(&it.kill_id),
        Entry::KillScope(it) => is_kill(&it.kill_id),
        Entry::KillCompleted(it) => is_kill(&it.kill_id),
        Entry::Applied(_) => named.contains(&record.seq),
        _ => false,
    }
}

/// Whether this is the reason that a drill gives.
pub(super) fn is_because(reason: Option<&str>, drill: &str) -> bool {
    reason.and_then(|reason| reason.strip_prefix("drill ")) == Some(drill)
}

impl Act {
    pub(super) fn of(record: &Record, act: &Administered) -> Self {
        Self {
            record: record.seq,
            time: record.time,
            actor: act.actor.clone(),
            address: act.address.clone(),
            reason: act.reason.clone(),
        }
    }

    fn of_kill(record: &Record, kill: &Activated) -> Self {
        Self {
            record: record.seq,
            time: record.time,
            actor: kill.actor.clone(),
            address: kill.address.clone(),
            reason: kill.reason.clone(),
        }
    }
}

impl Stop {
    pub(super) fn of(
        sample: &RawSample,
        (record, kill): (&Record, &Activated),
        receipt: Option<&Receipt>,
        records: &[Record],
        drill: &str,
    ) -> Self {
        let all = || sample.parties.iter().map(|party| &party.figures);
        Self {
            kill_id: kill.kill_id.clone(),
            activated: Act::of_kill(record, kill),
            role: kill.role.clone(),
            act: kill.act.clone(),
            subject: kill.subject.clone(),
            revision: kill.revision,
            first_rejection_us: all().filter_map(|it| it.first_rejection_us).min(),
            last_rejection_us: all().filter_map(|it| it.settled_us).max(),
            acknowledged_us: sample.acknowledged_us,
            receipt: receipt.map(Receipted::of),
            restored: restored(record, &kill.subject, records, drill),
        }
    }
}

/// The act of the drill that put back whoever was stopped, before the next stop of the same.
fn restored(stop: &Record, subject: &str, records: &[Record], drill: &str) -> Option<Restored> {
    let restores = |record: &&Record| match &record.entry {
        Entry::Admin(act) => {
            act.act == "agent.restored"
                && act.subject == subject
                && is_because(act.reason.as_deref(), drill)
        }
        _ => false,
    };
    let stops_again = |record: &&Record| match &record.entry {
        Entry::KillActivated(kill) => kill.subject == subject,
        _ => false,
    };
    let after = records.iter().filter(|it| it.seq > stop.seq);
    let record = after.take_while(|it| !stops_again(it)).find(restores)?;
    let after_us = record.time.0.saturating_sub(stop.time.0);
    Some(Restored { record: record.seq, time: record.time, after_us })
}

impl Receipted {
    fn of(receipt: &Receipt) -> Self {
        Self {
            issued_at: receipt.issued_at,
            complete: receipt.complete,
            workers_there: receipt.workers_there,
            acknowledged: receipt.acknowledged,
            proxies: receipt.proxies.iter().map(|it| it.proxy.clone()).collect(),
            not_connected: receipt.not_connected.clone(),
            in_flight: receipt.in_flight,
        }
    }
}

impl Head {
    pub(super) fn of(report: &Report) -> Self {
        let Some(head) = &report.checkpoint else { return Self::default() };
        Self {
            origin: report.origin.clone().unwrap_or_default(),
            size: head.size,
            root: head.root.to_string(),
            signed_at: head.time,
            key: head.key.to_string(),
            shown: report.shown,
            hidden: report.hidden,
        }
    }
}
