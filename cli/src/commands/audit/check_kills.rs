//! `kya audit check-kills`

mod read;
mod said;

use std::collections::BTreeSet;

use kya_core::audit::check_kills::{Kills, NotKnown, Violation};
use kya_core::audit::export::Line;
use kya_core::audit::{Activated, Administered, Entry, Record, Timestamp, Verdict};
use serde::Serialize;
use serde_json::Value;

use crate::args::{CheckKills, Global};
use crate::error::Error;
use crate::output::Output;

/// Most violations that are listed; all are counted.
const LISTED: usize = 1000;

pub(super) async fn run(
    asked: CheckKills,
    global: &Global,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let since = asked.since;
    let trail = match asked.files.as_slice() {
        [] => read::server(&asked.proving, global, since, output).await?,
        files => read::files(files, &asked.proving, since, output)?,
    };
    let bound = asked.bound.map(|it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX));
    let found = trail.judge(bound)?;
    said::say(&found, &asked, output)?;
    match found.violations_in_all {
        0 => Ok(()),
        1 => Err(Error::AllowedPastKill("1 request was allowed past a kill".to_owned())),
        n => Err(Error::AllowedPastKill(format!("{n} requests were allowed past a kill"))),
    }
}

/// What the first reading has found.
#[derive(Default)]
struct Collected {
    kills: Kills,
    listed: Vec<Listed>,
    /// Stops by the log of acts, each with its place in the order of changes.
    acts: Vec<(Listed, Activated)>,
    /// Changes of which the trail has the rows of a kill.
    with_rows: BTreeSet<(u64, u64)>,
    decisions: u64,
    allowed: u64,
    unread: u64,
    since: Option<Timestamp>,
}

/// A kill that is checked.
#[derive(Debug, Serialize)]
struct Listed {
    /// `kil_…`; where the trail has no rows of a kill, `record` and the number of the act.
    kill_id: String,
    seq: u64,
    time: Timestamp,
    act: String,
    subject: String,
    actor: String,
}

impl Listed {
    fn of(record: &Record, kill: &Activated) -> Self {
        Self {
            kill_id: kill.kill_id.clone(),
            seq: record.seq,
            time: record.time,
            act: kill.act.clone(),
            subject: kill.subject.clone(),
            actor: kill.actor.clone(),
        }
    }
}

/// A request that got past a kill, with its record.
#[derive(Debug, Serialize)]
struct Passed {
    #[serde(flatten)]
    violation: Violation,
    record: Value,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Found {
    /// What the verification says, of each file.
    verification: Vec<Value>,
    kills: Vec<Listed>,
    decisions: u64,
    allowed: u64,
    bound_us: Option<u64>,
    violations: Vec<Passed>,
    violations_in_all: u64,
    not_known: Vec<NotKnown>,
    /// Records that are not shown.
    hidden: u64,
    /// Records of types that are not known here.
    unread: u64,
    /// The same verification for people.
    #[serde(skip)]
    verified: Vec<String>,
}

impl Collected {
    fn of(since: Option<Timestamp>) -> Self {
        Self { since, ..Self::default() }
    }

    /// Takes a line of an export in the first reading.
    fn line(&mut self, line: &[u8]) {
        let Some(record) = record(line) else { return };
        let Ok(record) = serde_json::from_str::<Record>(record) else {
            // Where the line is wrong, the verification says so.
            self.unread += 1;
            return;
        };
        let early = self.since.is_some_and(|it| record.time < it);
        match &record.entry {
            Entry::KillActivated(_) if early => return,
            Entry::KillActivated(it) => {
                self.with_rows.insert((it.epoch, it.revision));
                self.listed.push(Listed::of(&record, it));
            }
            Entry::Admin(it) if !early && is_stop(&it.act) => {
                let kill = activated(record.seq, it);
                self.acts.push((Listed::of(&record, &kill), kill));
            }
            Entry::Decision(it) => {
                self.decisions += 1;
                self.allowed += u64::from(it.decision == Verdict::Allow);
            }
            _ => {}
        }
        self.kills.collect(&record);
    }

    /// The first reading is over: what was stopped and has no rows of a kill is a kill as
    /// far as its act says.
    fn close(&mut self) {
        for (listed, kill) in std::mem::take(&mut self.acts) {
            if !self.with_rows.contains(&(kill.epoch, kill.revision)) {
                let (seq, time) = (listed.seq, listed.time);
                let entry = Entry::KillActivated(kill);
                self.kills.collect(&Record { seq, time, recorded: time, entry });
                self.listed.push(listed);
            }
        }
        self.listed.sort_by_key(|it| it.seq);
    }

    /// The violations in a line, in the second reading.
    fn judged(&mut self, line: &[u8], bound: Option<u64>) -> Option<(Vec<Violation>, Value)> {
        let record = record(line)?;
        let read = serde_json::from_str::<Record>(record).ok()?;
        let violations = self.kills.judge(&read, bound);
        if violations.is_empty() {
            return None;
        }
        Some((violations, serde_json::from_str(record).unwrap_or_default()))
    }
}

/// The record in a line, if it is one with a record.
fn record(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?;
    match Line::parse(line.trim_end_matches(['\r', '\n'])) {
        Ok(Line::Record { record, .. }) => Some(record),
        _ => None,
    }
}

/// Whether an act stops somebody who sends requests.
fn is_stop(act: &str) -> bool {
    let Some((whose, done)) = act.split_once('.') else { return false };
    let stopped = matches!(done, "revoked" | "suspended" | "halted" | "tokens_revoked");
    stopped && !matches!(whose, "operator" | "node" | "approval")
}

/// The kill that an act was. What became of requests in flight is not said there: it is
/// what such an act does if it does not say otherwise.
fn activated(seq: u64, it: &Administered) -> Activated {
    let drains = it.act.ends_with(".suspended");
    Activated {
        kill_id: format!("record {seq}"),
        epoch: it.epoch,
        revision: it.revision,
        act: it.act.clone(),
        subject: it.subject.clone(),
        actor: it.actor.clone(),
        role: None,
        address: it.address.clone(),
        reason: it.reason.clone(),
        incident_id: it.incident_id.clone(),
        in_flight: if drains { "drain" } else { "abort" }.to_owned(),
    }
}
