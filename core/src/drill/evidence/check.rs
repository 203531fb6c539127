//! Whether the evidence of a drill is as it was recorded and signed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::facts::{Act, is_because};
use super::{Document, Facts, Head, Stop, figures, member};
use crate::audit::export::Line;
use crate::audit::verify::{Options, Outcome, Report, Verifier};
use crate::audit::{Activated, Administered, Entry, Receipt, Record, SignedReceipt, VerifierKey};
use crate::drill::raw::RawSample;

/// So many problems are named.
const MOST_PROBLEMS: usize = 1000;
const SUSPENDED: &str = "agent.suspended";

/// What was found.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What is said about the export in it.
    pub trail: Report,
    /// What follows from it, as far as it could be read.
    pub facts: Option<Facts>,
    /// All that is wrong. Nothing is, if there is none.
    pub problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its name, as `docs/drills.md` lists them, or that of a fault of the trail.
    pub kind: String,
    /// Where it is.
    pub at: String,
    /// In words.
    pub detail: String,
}

impl Problem {
    /// One of this kind.
    pub fn new(kind: &str, at: &str, detail: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), at: at.to_owned(), detail: detail.into() }
    }
}

/// Checks the evidence of a drill by pinned keys, without any server.
pub fn check(document: &Document, options: Options) -> Checked {
    let mut verifier = Verifier::new(options);
    for line in &document.export {
        verifier.write(line.as_bytes());
        verifier.write(b"\n");
    }
    let trail = verifier.finish();
    let key = match (&trail.outcome, &trail.checkpoint) {
        (Outcome::Whole | Outcome::Partial, Some(head)) => head.key.clone(),
        // No record of it can be believed.
        _ => return Checked { problems: of_trail(&trail), trail, facts: None },
    };
    let records: Vec<Record> = document.export.iter().filter_map(|line| record(line)).collect();
    let drill = document.drill.get("drill_id").and_then(Value::as_str).unwrap_or_default();
    let act = |act: &str| act_of(&records, act, drill);
    let (Some(started), Some(ended)) = (act("drill.started"), act("drill.ended")) else {
        let what = format!("the trail has no record of the beginning and the end of {drill:?}");
        let problems = vec![Problem::new("no_drill", "drill.drill_id", what)];
        return Checked { trail, facts: None, problems };
    };
    let kills = kills(&records);
    let mut found = Found { drill, records: &records, key: &key, kills, problems: Vec::new() };
    let (asked, after) = (shown(started.1), shown(ended.1));
    let result = member(&after, "result").clone();
    let request = member(&asked, "request").clone();
    found.samples(member(&after, "samples_sha256"), &document.samples);
    found.problems.extend(figures::differing(&result, &request, &document.samples));
    let receipts = found.receipts(&document.receipts, &document.samples);
    let stops = found.stops(&document.samples, &receipts, &request);
    let facts = Facts {
        drill_id: drill.to_owned(),
        state: member(&after, "state").as_str().unwrap_or_default().to_owned(),
        started: Act::of(started.0, started.1),
        ended: Act::of(ended.0, ended.1),
        request,
        result,
        stops,
        trail: Head::of(&trail),
        probed: probed(&document.samples),
    };
    if facts.state != "interrupted" && act_of_stop(&facts.request) == SUSPENDED {
        for stop in facts.stops.iter().filter(|stop| stop.restored.is_none()) {
            let what = "the trail that is shown does not say that the canary was restored after it";
            found.wrong("no_restoration", &stop.kill_id, what);
        }
    }
    let mut problems = found.problems;
    let expected = figures::again(&facts).unwrap_or_default();
    differences("drill", &expected, &document.drill, &mut problems);
    Checked { trail, facts: Some(facts), problems }
}

fn of_trail(trail: &Report) -> Vec<Problem> {
    let problem = |it: &crate::audit::verify::Problem| {
        Problem::new(it.kind, &format!("export, line {}", it.line), &*it.detail)
    };
    let mut problems: Vec<_> = trail.problems.iter().map(problem).collect();
    if problems.is_empty() {
        problems.push(Problem::new("unproven", "export", "no checkpoint by a key that counts"));
    }
    problems
}

fn record(line: &str) -> Option<Record> {
    match Line::parse(line) {
        Ok(Line::Record { record, .. }) => serde_json::from_str(record).ok(),
        _ => None,
    }
}

fn act_of<'a>(
    records: &'a [Record],
    act: &str,
    subject: &str,
) -> Option<(&'a Record, &'a Administered)> {
    records.iter().find_map(|record| match &record.entry {
        Entry::Admin(it) if it.act == act && it.subject == subject => Some((record, &**it)),
        _ => None,
    })
}

/// The first rows of kills by their ids.
fn kills(records: &[Record]) -> BTreeMap<&str, (&Record, &Activated)> {
    let mut kills = BTreeMap::new();
    for record in records {
        if let Entry::KillActivated(kill) = &record.entry {
            kills.entry(&*kill.kill_id).or_insert((record, kill));
        }
    }
    kills
}

fn shown(act: &Administered) -> Value {
    act.after.clone().unwrap_or_default()
}

/// What each stop of a drill is in the trail.
fn act_of_stop(request: &Value) -> &'static str {
    match member(request, "act").as_str() {
        Some("revoke") => "agent.revoked",
        _ => SUSPENDED,
    }
}

/// Pairs of a sample and a party, and those whose probes are there.
fn probed(samples: &[RawSample]) -> [u64; 2] {
    let all = || samples.iter().flat_map(|sample| &sample.parties);
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    [count(all().count()), count(all().filter(|party| party.probes.is_some()).count())]
}

/// Where two documents differ: the innermost members, by their path.
fn differences(at: &str, expected: &Value, shown: &Value, problems: &mut Vec<Problem>) {
    /// So many are named.
    const MOST: usize = 20;
    if expected == shown || problems.len() >= MOST {
        return;
    }
    match (expected, shown) {
        (Value::Object(expected), Value::Object(shown)) => {
            let names: BTreeSet<_> = expected.keys().chain(shown.keys()).collect();
            for name in names {
                let (expected, shown) = (expected.get(name), shown.get(name));
                let of = |value: Option<&Value>| value.cloned().unwrap_or_default();
                differences(&format!("{at}.{name}"), &of(expected), &of(shown), problems);
            }
        }
        (Value::Array(expected), Value::Array(shown)) if expected.len() == shown.len() => {
            for (n, (expected, shown)) in expected.iter().zip(shown).enumerate() {
                differences(&format!("{at}[{n}]"), expected, shown, problems);
            }
        }
        _ => {
            let kind = if at.starts_with("drill.result") { "figure" } else { "fact" };
            let text = |value: &Value| value.to_string().chars().take(200).collect::<String>();
            let (expected, shown) = (text(expected), text(shown));
            let what = format!("it was recorded as {expected}, and shown is {shown}");
            problems.push(Problem::new(kind, at, what));
        }
    }
}

struct Found<'a> {
    drill: &'a str,
    records: &'a [Record],
    key: &'a VerifierKey,
    /// The first rows of kills by their ids.
    kills: BTreeMap<&'a str, (&'a Record, &'a Activated)>,
    problems: Vec<Problem>,
}

impl<'a> Found<'a> {
    fn wrong(&mut self, kind: &str, at: &str, detail: impl Into<String>) {
        // So many are named.
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem::new(kind, at, detail));
        }
    }

    /// Whether the samples are those of which the trail has the hashes.
    fn samples(&mut self, recorded: &Value, samples: &[RawSample]) {
        let Some(recorded) = recorded.as_array() else {
            let what = "the record of the drill's end does not say which samples it had";
            return self.wrong("not_bound", "samples", what);
        };
        if recorded.len() != samples.len() {
            let what = format!("{} are shown, and {} recorded", samples.len(), recorded.len());
            self.wrong("sample", "samples", what);
        }
        for (n, (sample, recorded)) in samples.iter().zip(recorded).enumerate() {
            let same = sample.sha256().is_ok_and(|it| recorded.as_str() == Some(&it));
            if !same {
                let at = format!("sample {}", n.saturating_add(1));
                self.wrong("sample", &at, "it is not the one whose SHA-256 was recorded");
            }
        }
    }

    /// The receipts that are signed by the key of the trail, and agree with it, by kill.
    fn receipts(&mut self, shown: &[Value], samples: &[RawSample]) -> BTreeMap<String, Receipt> {
        let mut good = BTreeMap::new();
        let sampled = samples.iter().filter_map(|sample| sample.kill_id.as_deref()).collect();
        for (n, value) in shown.iter().enumerate() {
            let said = member(member(value, "receipt"), "kill_id").as_str().unwrap_or("?");
            let at = format!("receipt {} ({said})", n.saturating_add(1));
            match SignedReceipt::verify(value.to_string().as_bytes(), self.key) {
                Err(why) => self.wrong("receipt", &at, why.to_string()),
                Ok(receipt) => match self.disagrees(&receipt, &sampled, &good) {
                    Some(why) => self.wrong("receipt", &at, why),
                    None => drop(good.insert(receipt.kill_id.clone(), receipt)),
                },
            }
        }
        good
    }

    fn kill(&self, id: &str) -> Option<(&'a Record, &'a Activated)> {
        self.kills.get(id).copied()
    }

    /// Why a receipt is not of a kill of this drill.
    fn disagrees(
        &self,
        receipt: &Receipt,
        sampled: &BTreeSet<&str>,
        good: &BTreeMap<String, Receipt>,
    ) -> Option<String> {
        let id = &receipt.kill_id;
        if good.contains_key(id) {
            return Some("there is another of the same kill".to_owned());
        }
        if !sampled.contains(&**id) {
            return Some("no sample has this kill".to_owned());
        }
        let Some((record, kill)) = self.kill(id) else {
            return Some("the trail that is shown has no such kill".to_owned());
        };
        let same = (&receipt.act, &receipt.subject, &receipt.actor)
            == (&kill.act, &kill.subject, &kill.actor)
            && (receipt.epoch, receipt.revision) == (kill.epoch, kill.revision)
            && receipt.committed_at == record.time;
        if !same {
            return Some(format!("it says something else than record {}", record.seq));
        }
        let is_row = |seq: &u64| {
            let at = self.records.binary_search_by_key(seq, |record| record.seq).ok();
            match at.and_then(|at| self.records.get(at)).map(|record| &record.entry) {
                Some(Entry::KillActivated(it)) => it.kill_id == *id,
                Some(Entry::KillScope(it)) => it.kill_id == *id,
                Some(Entry::KillCompleted(it)) => it.kill_id == *id,
                _ => false,
            }
        };
        let missing = receipt.records.iter().find(|seq| !is_row(seq));
        missing.map(|seq| format!("record {seq}, which it names, is no row of it in the export"))
    }

    /// The stops of the samples, each of which is a kill in the trail.
    fn stops(
        &mut self,
        samples: &[RawSample],
        receipts: &BTreeMap<String, Receipt>,
        request: &Value,
    ) -> Vec<Stop> {
        let act = act_of_stop(request);
        let (mut stops, mut seen) = (Vec::new(), BTreeSet::new());
        for (n, sample) in samples.iter().enumerate() {
            let at = format!("sample {}", n.saturating_add(1));
            let Some(id) = &sample.kill_id else {
                self.wrong("no_kill", &at, "it names no kill");
                continue;
            };
            let receipt = receipts.get(id);
            let (records, drill) = (self.records, self.drill);
            let kill = self
                .kill(id)
                .filter(|(_, kill)| kill.act == act && is_because(kill.reason.as_deref(), drill));
            let stop = kill.map(|kill| Stop::of(sample, kill, receipt, records, drill));
            let again = stop.is_some() && !seen.insert(id);
            match stop {
                Some(stop) if !again => stops.push(stop),
                Some(_) => self.wrong("no_kill", &at, format!("{id} is the kill of another, too")),
                None => {
                    let what = format!("the trail has no kill {id} of this drill");
                    self.wrong("no_kill", &at, what);
                }
            }
            if receipt.is_none() {
                self.wrong("no_receipt", &at, format!("no receipt of {id} that counts"));
            }
        }
        stops
    }
}

/// What was found, as a document.
impl Checked {
    /// For `-o json`.
    pub fn document(&self) -> Value {
        json!({
            "verified": self.problems.is_empty(),
            "drill": self.facts,
            "problems": self.problems,
            "report": self.trail,
        })
    }
}
