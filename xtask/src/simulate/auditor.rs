//! The auditor of a benchmark: whether every event is in the trail once, and whether that
//! verifies.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use kya_core::audit::verify;
use kya_core::audit::verify::{Outcome, Verifier};
use serde::{Deserialize, Serialize};

use super::{Said, say};

/// What is wrong is said so often.
const SAID: usize = 20;

/// Options of `xtask simulate auditor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The export.
    #[arg(long)]
    file: PathBuf,
    /// The verifier key to pin.
    #[arg(long)]
    key: String,
}

/// What is in the trail.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// Records, of whatever kind.
    pub(crate) records: u64,
    /// Events of workers.
    pub(crate) stored: u64,
    /// Events of which a record says that there was no room.
    pub(crate) dropped: u64,
    /// What is wrong: events that are missing or there twice.
    pub(crate) wrong: Vec<String>,
    /// How long it takes to verify it, in seconds.
    pub(crate) verified_seconds: f64,
}

#[derive(Deserialize)]
struct Line {
    record: Option<Record>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "type")]
    kind: String,
    instance: Option<String>,
    number: Option<u64>,
    events: Option<u64>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let mut counted = count(&options.file)?;
    counted.verified_seconds = verify(&options.file, &options.key)?;
    counted.wrong.truncate(SAID);
    say(&Said::Audited(counted));
    Ok(())
}

/// Looks for the events of every worker: each is to be there once, in order.
fn count(path: &Path) -> Result<Counted> {
    let mut counted = Counted::default();
    let mut next: HashMap<String, u64> = HashMap::new();
    let mut lines = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let read: Line = serde_json::from_slice(&line).context("a line of the export")?;
        if let Some(record) = read.record {
            counted.note(&record, &mut next);
        }
        line.clear();
    }
    Ok(counted)
}

impl Counted {
    fn note(&mut self, record: &Record, next: &mut HashMap<String, u64>) {
        self.records += 1;
        let (Some(instance), Some(number)) = (&record.instance, record.number) else { return };
        let expected = next.entry(instance.clone()).or_insert(1);
        match record.kind.as_str() {
            "gap" | "worker_lost" => {
                self.wrong.push(format!("{} of {instance} at {number}", record.kind));
                return;
            }
            "worker_closed" => {
                if number != *expected {
                    self.wrong.push(format!("{instance} ends before {number}, not {expected}"));
                }
                return;
            }
            "dropped" => self.dropped += record.events.unwrap_or(0),
            _ => self.stored += 1,
        }
        if number != *expected {
            self.wrong.push(format!("event {number} of {instance} instead of {expected}"));
        }
        *expected = number + 1;
    }
}

/// Verifies a file as an auditor does, and returns how long that took, in seconds.
fn verify(path: &Path, key: &str) -> Result<f64> {
    let began = Instant::now();
    let keys = vec![key.trim().parse().context("the key of the trail")?];
    let mut verifier = Verifier::new(verify::Options { keys, ..verify::Options::default() });
    let mut file = File::open(path)?;
    let mut piece = vec![0; 1 << 18];
    loop {
        let length = file.read(&mut piece)?;
        let Some(read) = piece.get(..length).filter(|it| !it.is_empty()) else { break };
        verifier.write(read);
    }
    let report = verifier.finish();
    let took = began.elapsed().as_secs_f64();
    ensure!(report.outcome == Outcome::Whole, "the trail does not verify: {report:?}");
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &[&str]) -> Counted {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trail.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        count(&path).unwrap()
    }

    fn line(kind: &str, number: u64) -> String {
        format!(
            r#"{{"hash":"","record":{{"type":"{kind}","instance":"a","number":{number},"events":3}}}}"#
        )
    }

    #[test]
    fn what_is_missing_or_there_twice_is_wrong() {
        let lines = ["decision", "dropped", "ended", "worker_closed"];
        let lines: Vec<_> = lines.iter().zip(1..).map(|(kind, n)| line(kind, n)).collect();
        let [one, two, three, closed] = [&*lines[0], &*lines[1], &*lines[2], &*lines[3]];
        let other = r#"{"hash":"","record":{"type":"admin"}}"#;
        let all = counted(&[r#"{"export":{}}"#, one, other, two, three, closed]);
        assert_eq!((all.records, all.stored, all.dropped), (5, 2, 3));
        assert!(all.wrong.is_empty(), "{:?}", all.wrong);
        for bad in [&[one, three][..], &[one, one], &[two], &[one, closed]] {
            assert_eq!(counted(bad).wrong.len(), 1, "{bad:?}");
        }
        assert_eq!(counted(&[&line("gap", 1)]).wrong.len(), 1);
    }
}
