//! `kya audit check-kills`

mod read;
mod said;

use kya_core::audit::check_kills::{Kills, NotKnown, Violation};
use kya_core::audit::export::Line;
use kya_core::audit::{Entry, Record, Timestamp, Verdict};
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
    decisions: u64,
    allowed: u64,
    unread: u64,
    since: Option<Timestamp>,
}

/// A kill that is checked.
#[derive(Debug, Serialize)]
struct Listed {
    kill_id: String,
    seq: u64,
    time: Timestamp,
    act: String,
    subject: String,
    actor: String,
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
        match &record.entry {
            Entry::KillActivated(_) if self.since.is_some_and(|it| record.time < it) => return,
            Entry::KillActivated(it) => self.listed.push(Listed {
                kill_id: it.kill_id.clone(),
                seq: record.seq,
                time: record.time,
                act: it.act.clone(),
                subject: it.subject.clone(),
                actor: it.actor.clone(),
            }),
            Entry::Decision(it) => {
                self.decisions += 1;
                self.allowed += u64::from(it.decision == Verdict::Allow);
            }
            _ => {}
        }
        self.kills.collect(&record);
    }

    /// The violations in a line, in the second reading.
    fn judged(&self, line: &[u8], bound: Option<u64>) -> Option<(Vec<Violation>, Value)> {
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
