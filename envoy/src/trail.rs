use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cli::Cli;
use crate::sidecar::Sidecar;
use crate::wait::until;

/// Proxies ask a control plane that was away ever more rarely.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);
/// What stands in a line of Envoy's access log before what the filter decided.
const MARK: &str = " kya: ";

/// The audit trail of a run: exported by `kya`, and verified offline by a key that was not
/// asked of the server.
#[derive(Debug, Clone)]
pub struct Trail {
    records: Vec<Value>,
}

/// Types of records that are events of workers, each with a number.
const EVENTS: [&str; 5] = ["decision", "ended", "applied", "in_flight", "dropped"];

/// Which event of which worker: its instance and the number.
type Place = (String, u64);

/// What the access logs of Envoys say: every request, whether it is in the trail or not.
#[derive(Debug, Default)]
struct Logged {
    requests: u64,
    /// Those that have a place in the trail, with the first word of what was decided.
    recorded: BTreeMap<Place, String>,
    /// Those for which there was no room.
    unrecorded: u64,
}

/// How many there were, once all of it was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconciled {
    /// Decisions in the trail.
    pub decisions: u64,
    /// Decisions that had no room, which the trail counts.
    pub dropped: u64,
}

impl Trail {
    /// Exports the whole trail to a file in `dir`, and verifies that by `key`.
    ///
    /// # Errors
    /// When it does not verify.
    pub async fn export(kya: &Cli, key: &Path, dir: &Path) -> Result<Self> {
        let file = dir.join("trail.jsonl");
        let path = |path: &Path| path.to_str().map(str::to_owned).context("not UTF-8");
        let (out, key) = (path(&file)?, fs::read_to_string(key)?);
        let key = key.trim();
        let _ =
            kya.text(&["audit", "export", "--verify-chain", "--key", key, "--out", &out]).await?;
        let _ = kya.text(&["audit", "verify", &out, "--key", key]).await?;
        let text = fs::read_to_string(&file)?;
        let mut records = Vec::new();
        for line in text.lines() {
            let mut line: Value = serde_json::from_str(line)?;
            if line["record"].is_object() {
                records.push(line["record"].take());
            }
        }
        Ok(Self { records })
    }

    /// Its records of this type.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.records.iter().filter(move |record| record["type"] == kind)
    }

    /// How many events of this worker it has.
    pub fn events_of(&self, instance: &str) -> u64 {
        let of = |record: &&Value| is_event(record) && record["instance"] == instance;
        self.records.iter().filter(of).count() as u64
    }

    /// Decisions, and decisions that had no room.
    fn counted(&self) -> u64 {
        self.of("decision").count() as u64 + self.dropped()
    }

    fn dropped(&self) -> u64 {
        self.of("dropped").filter_map(|record| record["events"].as_u64()).sum()
    }

    /// Waits until what `sidecars` have decided, `sent` requests, is in the trail, and
    /// compares it with their access logs, one request with one record.
    ///
    /// # Errors
    /// When anything is there twice or missing.
    pub async fn reconciled(
        kya: &Cli,
        key: &Path,
        dir: &Path,
        sidecars: &[Sidecar],
        sent: u64,
    ) -> Result<(Self, Reconciled)> {
        let trail = until("all of it to be in the trail", SETTLE_LIMIT, async || {
            for sidecar in sidecars {
                if sidecar.stats().await?.get("wasmcustom.kya.audit.unacknowledged") > 0 {
                    return Ok(None);
                }
            }
            let trail = Self::export(kya, key, dir).await?;
            Ok((trail.counted() >= sent).then_some(trail))
        })
        .await?;
        let logged = until("Envoy to have written its access log", SETTLE_LIMIT, async || {
            let logged = Logged::read(sidecars)?;
            Ok((logged.requests >= sent).then_some(logged))
        })
        .await?;
        let reconciled = trail.reconcile(&logged, sent)?;
        Ok((trail, reconciled))
    }

    fn reconcile(&self, logged: &Logged, sent: u64) -> Result<Reconciled> {
        let (decisions, dropped) = (self.of("decision").count() as u64, self.dropped());
        let requests = logged.requests;
        ensure!(requests == sent, "{sent} requests were sent and {requests} logged");
        ensure!(
            decisions + dropped == sent && dropped == logged.unrecorded,
            "of {sent} requests {decisions} are in the trail, which counts {dropped} more; \
             the logs know of {} that had no room",
            logged.unrecorded
        );
        let mut decided = BTreeMap::new();
        for record in self.of("decision") {
            let verdict = record["decision"].as_str().unwrap_or_default().to_owned();
            let again = decided.insert(place(record)?, verdict);
            ensure!(again.is_none(), "it is there twice: {record}");
        }
        for (place, verdict) in &logged.recorded {
            ensure!(decided.get(place) == Some(verdict), "{verdict} {place:?} is not in the trail");
        }
        ensure!(decided.len() == logged.recorded.len(), "the trail has more than was logged");
        for unwanted in ["gap", "worker_lost"] {
            ensure!(self.of(unwanted).next().is_none(), "{:?}", self.of(unwanted).next());
        }
        self.check_numbers()?;
        if dropped == 0 {
            self.check_ends()?;
        }
        Ok(Reconciled { decisions, dropped })
    }

    /// The events of each worker are numbered from 1 on, without a gap, in this order.
    fn check_numbers(&self) -> Result<()> {
        let mut next = BTreeMap::<String, u64>::new();
        for record in &self.records {
            if !is_event(record) {
                continue;
            }
            let (instance, number) = place(record)?;
            let next = next.entry(instance).or_insert(1);
            ensure!(number == *next, "the next event is {next}: {record}");
            *next += 1;
        }
        Ok(())
    }

    /// Every request that went on has one end.
    fn check_ends(&self) -> Result<()> {
        let mut open = BTreeSet::new();
        for record in &self.records {
            let (kind, goes_on) = (record["type"].as_str(), record["decision"] != "deny");
            if kind == Some("decision") && goes_on && record["end"].is_null() {
                open.insert(place(record)?);
            }
            if kind == Some("ended") {
                let (instance, _) = place(record)?;
                let of = record["decision_number"].as_u64().context("no decision")?;
                ensure!(open.remove(&(instance, of)), "it ended before: {record}");
            }
        }
        ensure!(open.is_empty(), "{} requests have no end: {:?}", open.len(), open.first());
        Ok(())
    }
}

impl Logged {
    fn read(sidecars: &[Sidecar]) -> Result<Self> {
        let mut found = Self::default();
        for sidecar in sidecars {
            let log = sidecar.access_log()?;
            // A line that is being written has no end yet.
            let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
            for line in whole.lines() {
                let (_, said) = line.split_once(MARK).with_context(|| line.to_owned())?;
                found.requests += 1;
                let verdict = said.split(' ').next().unwrap_or_default();
                let event = said.split(' ').find_map(|word| word.strip_prefix("event="));
                let Some((instance, number)) = event.and_then(|it| it.split_once('/')) else {
                    found.unrecorded += 1;
                    continue;
                };
                let place = (instance.to_owned(), number.parse().context("no number")?);
                let again = found.recorded.insert(place, verdict.to_owned());
                ensure!(again.is_none(), "two requests have one number: {said}");
            }
        }
        Ok(found)
    }
}

fn is_event(record: &Value) -> bool {
    record["type"].as_str().is_some_and(|kind| EVENTS.contains(&kind))
}

fn place(record: &Value) -> Result<Place> {
    let instance = record["instance"].as_str().with_context(|| format!("{record}"))?;
    Ok((instance.to_owned(), record["number"].as_u64().with_context(|| format!("{record}"))?))
}
