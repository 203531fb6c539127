//! Whether anything was allowed past a kill, by the trail alone.
//!
//! The trail is read twice: once for what was stopped and put back and for what each
//! worker had applied, and once for what was allowed. The order in which records were
//! appended decides nothing, since a decision may be reported before the kill that it
//! ran into.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Timestamp;
use super::record::{Activated, Decided, Entry, Record, Scope, Source, Verdict};

mod reach;

use reach::Reach;

/// A place in the one order of changes.
type Place = (u64, u64);

/// What the first reading of a trail has found.
#[derive(Debug, Default)]
pub struct Kills {
    kills: BTreeMap<String, Kill>,
    /// Where something was put back, by its name.
    restored: BTreeMap<String, BTreeSet<Place>>,
    workers: BTreeMap<Worker, History>,
    /// Of which requests it cannot be told whether a kill stops them: by kill and worker the
    /// first of them.
    unnamed: BTreeMap<(String, Worker), u64>,
}

#[derive(Debug)]
struct Kill {
    activated: Activated,
    time: Timestamp,
    reach: Reach,
}

type Worker = (String, String);

/// What the trail knows of one worker's VM.
#[derive(Debug, Default)]
struct History {
    /// The states that it applied, under the numbers at which it said so.
    applied: BTreeMap<u64, Place>,
    /// Numbers from which on something is not known: why, and since when that is clear.
    unknown: BTreeMap<u64, (Unknown, Timestamp)>,
    /// It has ended, and nothing of it is missing at its end.
    closed: bool,
}

impl History {
    /// Whether it was gone before this.
    fn lost_before(&self, time: Timestamp) -> bool {
        self.unknown.values().any(|(why, at)| *why == Unknown::WorkerLost && *at < time)
    }
}

/// Why something is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// The worker was lost before it had sent everything.
    WorkerLost,
    /// Events had no room in the worker's buffer and were dropped.
    Dropped,
    /// Events never came.
    Gap,
    /// Two have reported as this worker.
    Conflict,
    /// The trail does not show that the worker ever applied the kill.
    NotApplied,
    /// The kill names more than the trail lists.
    NotListed,
    /// A request was allowed by a token whose id the trail does not have, so nobody can tell
    /// whether the kill stops it.
    TokenNotNamed,
}

/// A request that was allowed past a kill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which kill.
    pub kill_id: String,
    /// Number of the record of the decision.
    pub seq: u64,
    /// Who allowed it, and as its how manieth event.
    #[serde(flatten)]
    pub source: Source,
    /// Whose request it was.
    pub agent_id: Option<String>,
    /// When it was decided, by the proxy's clock.
    pub time: Timestamp,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with an allowed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It was decided by a state that held the kill.
    DecidedByTheKill,
    /// Its worker had said before that it had applied the kill.
    AfterAcknowledgement,
    /// It was decided later after the kill than the bound that was asked about.
    AfterBound,
}

/// Something that the trail cannot say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotKnown {
    /// About which kill.
    pub kill_id: String,
    /// Of which proxy, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Of which VM of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// From which of its events on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_number: Option<u64>,
    /// Why.
    pub why: Unknown,
}

impl Kills {
    /// Takes a record in the first reading.
    pub fn collect(&mut self, record: &Record) {
        match &record.entry {
            Entry::KillActivated(activated) => {
                let reach = Reach::of(activated);
                let kill = Kill { activated: activated.clone(), time: record.time, reach };
                self.kills.insert(activated.kill_id.clone(), kill);
            }
            Entry::KillScope(scope) => self.scope(scope),
            Entry::Admin(it) if is_restoration(&it.act) => {
                let at = (it.epoch, it.revision);
                self.restored.entry(it.subject.clone()).or_default().insert(at);
            }
            Entry::Applied(it) => {
                let at = (it.epoch, it.revision);
                self.history(&it.source).applied.insert(it.source.number, at);
            }
            Entry::WorkerLost(it) => self.unknown(&it.source, Unknown::WorkerLost, record.time),
            Entry::Dropped(it) => self.unknown(&it.source, Unknown::Dropped, record.time),
            Entry::Gap(it) => self.unknown(&it.source, Unknown::Gap, record.time),
            Entry::Conflict(it) => self.unknown(&it.source, Unknown::Conflict, record.time),
            Entry::WorkerClosed(it) => self.history(&it.source).closed = true,
            // That it was there: whether it ever applied a kill is asked at the end.
            Entry::Decision(it) => {
                self.history(&it.source);
            }
            _ => {}
        }
    }

    /// How many kills there are.
    pub fn len(&self) -> usize {
        self.kills.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kills.is_empty()
    }

    /// The kills that an allowed request has got past, in the second reading. `bound` is
    /// how many microseconds after a kill nothing may be allowed any more whatever a
    /// worker has applied, by the clocks of proxy and control plane. A request that may
    /// have got past a kill, which only the id of its token would tell, is
    /// [not known](Self::not_known).
    pub fn judge(&mut self, record: &Record, bound: Option<u64>) -> Vec<Violation> {
        let Entry::Decision(decided) = &record.entry else { return Vec::new() };
        if decided.decision != Verdict::Allow {
            return Vec::new();
        }
        let mut unnamed = Vec::new();
        let passed = |kill: &Kill| {
            let meets = kill.reach.meets(decided, kill.time);
            if meets == Some(false) {
                return None;
            }
            let why = self.wrong(kill, decided, record.time, bound)?;
            if meets.is_none() {
                unnamed.push(kill.activated.kill_id.clone());
                return None;
            }
            Some(Violation {
                kill_id: kill.activated.kill_id.clone(),
                seq: record.seq,
                source: decided.source.clone(),
                agent_id: decided.agent_id.clone(),
                time: record.time,
                why,
            })
        };
        let violations = self.kills.values().filter_map(passed).collect();
        for kill_id in unnamed {
            let number = decided.source.number;
            let first = self.unnamed.entry((kill_id, worker(&decided.source))).or_insert(number);
            *first = number.min(*first);
        }
        violations
    }

    fn wrong(
        &self,
        kill: &Kill,
        decided: &Decided,
        time: Timestamp,
        bound: Option<u64>,
    ) -> Option<Why> {
        let killed = (kill.activated.epoch, kill.activated.revision);
        let by = (decided.epoch?, decided.revision?);
        let restored = self.restored.get(&kill.activated.subject);
        let put_back = restored
            .filter(|_| can_be_put_back(&kill.activated.act))
            .and_then(|places| places.range(killed..).next());
        if put_back.is_some_and(|restored| by >= *restored) {
            return None;
        }
        if by >= killed {
            return Some(Why::DecidedByTheKill);
        }
        let worker = self.workers.get(&worker(&decided.source));
        let mut applied =
            worker.into_iter().flat_map(|it| it.applied.range(..decided.source.number));
        if applied.any(|(_, at)| *at >= killed) {
            return Some(Why::AfterAcknowledgement);
        }
        let late = bound.is_some_and(|bound| time.0 > kill.time.0.saturating_add(bound));
        late.then_some(Why::AfterBound)
    }

    /// What the trail cannot say about the kills: workers of which something is missing
    /// that may be from after a kill, workers that never said that they applied one, and
    /// kills whose reach is not listed in full; after the second reading also requests of
    /// which only the id of their token would tell whether a kill stops them.
    pub fn not_known(&self) -> Vec<NotKnown> {
        let mut found = Vec::new();
        for (kill_id, kill) in &self.kills {
            if !kill.reach.is_listed() {
                found.push(NotKnown {
                    kill_id: kill_id.clone(),
                    proxy: None,
                    instance: None,
                    from_number: None,
                    why: Unknown::NotListed,
                });
            }
            let killed = (kill.activated.epoch, kill.activated.revision);
            for ((proxy, instance), history) in &self.workers {
                for (from_number, why) in missing(history, killed, kill.time) {
                    found.push(NotKnown {
                        kill_id: kill_id.clone(),
                        proxy: Some(proxy.clone()),
                        instance: Some(instance.clone()),
                        from_number,
                        why,
                    });
                }
            }
        }
        for ((kill_id, (proxy, instance)), number) in &self.unnamed {
            found.push(NotKnown {
                kill_id: kill_id.clone(),
                proxy: Some(proxy.clone()),
                instance: Some(instance.clone()),
                from_number: Some(*number),
                why: Unknown::TokenNotNamed,
            });
        }
        found
    }

    fn scope(&mut self, scope: &Scope) {
        // The first row of a kill is always written before the second.
        if let Some(kill) = self.kills.get_mut(&scope.kill_id) {
            kill.reach.widen(scope);
        }
    }

    fn history(&mut self, source: &Source) -> &mut History {
        self.workers.entry(worker(source)).or_default()
    }

    fn unknown(&mut self, source: &Source, why: Unknown, at: Timestamp) {
        self.history(source).unknown.insert(source.number, (why, at));
    }
}

/// What is not known of a worker that may be from after a kill.
fn missing(history: &History, killed: Place, time: Timestamp) -> Vec<(Option<u64>, Unknown)> {
    if history.lost_before(time) {
        return Vec::new();
    }
    // What came before that is older than the kill, by the worker's own word.
    let applied = history.applied.iter().find(|(_, at)| **at >= killed).map(|(number, _)| *number);
    let silent = applied.is_none() && !history.closed;
    let from = applied.unwrap_or_default();
    // Where two report as one worker, its word counts for nothing.
    let counts = |it: &(&u64, &(Unknown, Timestamp))| *it.0 >= from || it.1.0 == Unknown::Conflict;
    let holes = history.unknown.iter().filter(counts);
    let holes = holes.map(|(number, (why, _))| (Some(*number), *why));
    silent.then_some((None, Unknown::NotApplied)).into_iter().chain(holes).collect()
}

fn worker(source: &Source) -> Worker {
    (source.proxy.clone(), source.instance.clone())
}

/// Whether a restoration undoes this. It brings back no token and nobody who was revoked.
fn can_be_put_back(act: &str) -> bool {
    act.ends_with(".suspended") || act == "fleet.halted"
}

fn is_restoration(act: &str) -> bool {
    act.ends_with(".restored") || act == "fleet.resumed"
}

#[cfg(test)]
#[path = "check_kills_tests.rs"]
mod tests;
