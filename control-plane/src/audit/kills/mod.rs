//! The rows of kills after the first: what a kill reached, and how it ended.
//!
//! **Invariant.** Every kill whose first row is in the trail gets one second and one last
//! row, within a bounded time, whatever servers there are and however often they start.
//! What is known of a kill is in the stores alone; the servers that follow it may be one or
//! many, and the store has each row written once.

pub(in crate::audit) mod marks;
mod progress;
pub(in crate::audit) mod rows;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kya_core::audit::Entry;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Trail;
use super::group::{Done, Work};
use super::outbox::Stuck;
use crate::store::audit::{KillRow, SourceKey};
use crate::store::{Kill, KillReach, LISTED_AGENTS, StoreError};
use crate::telemetry::Closing;
use crate::throttle::Throttle;
use crate::time::UnixMicros;
pub(crate) use progress::{Progress, Stage, Standing, Whose};

/// How long after a kill it is closed, whatever is still not known of it.
pub(super) const BOUND: Duration = Duration::from_secs(60);
/// Most requests of one kill that are listed.
const LISTED: u32 = 10_000;
/// Kills that are looked at together.
const PAGE: u32 = 256;
/// How long after one look the next one comes at the earliest, and at the latest.
const EARLIEST: Duration = Duration::from_millis(20);
const LATEST: Duration = Duration::from_millis(500);
/// A kill that is still open is looked at again after this part of its age, and at the latest
/// after so long: where a proxy is frozen every kill stays open for [`BOUND`], and there may be
/// thousands.
const PART_OF_AGE: u32 = 4;
const RARELY: Duration = Duration::from_secs(5);

/// What is known of open kills, by the ids of these.
type Known = HashMap<String, Followed>;

/// What is known of an open kill.
#[derive(Debug)]
struct Followed {
    whose: Whose,
    /// When it is looked at again.
    next: Instant,
    /// Who had not acknowledged it at the last look.
    laggards: Vec<SourceKey>,
}

static WARNINGS: Throttle = Throttle::new(Duration::from_secs(10));

/// Writes the rows of kills as they are known, for ever.
pub(super) async fn follow(trail: Arc<Trail>, bound: Duration) {
    let mut grown = trail.grown();
    let mut known = Known::new();
    loop {
        grown.mark_unchanged();
        let next = Instant::now() + EARLIEST;
        if let Err(error) = trail.close_known(bound, &mut known).await {
            if WARNINGS.passes() {
                tracing::error!(%error, "cannot write what became of kills");
            }
            sleep(LATEST).await;
        }
        // A server that has nobody to write for any more is at its end.
        if let Ok(Err(_)) = timeout(LATEST, grown.changed()).await {
            return;
        }
        sleep_until(next).await;
    }
}

impl Trail {
    /// Writes of every open kill what can be written now.
    ///
    /// # Errors
    /// When the store cannot be used, or too much waits.
    pub async fn close_kills(&self, bound: Duration) -> Result<(), Stuck> {
        self.close_known(bound, &mut Known::new()).await
    }

    async fn close_known(&self, bound: Duration, known: &mut Known) -> Result<(), Stuck> {
        let (mut after, mut open, mut stuck) = (0, BTreeSet::new(), None);
        let mut waiting = Waiting::default();
        loop {
            let page = self.store.open_kills(after, PAGE).await?;
            after = page.last().map_or(after, |last| last.activated);
            for row in &page {
                open.insert(row.id.clone());
                if let Some(it) = known.get(&row.id).filter(|it| it.next > Instant::now()) {
                    waiting.add(row, &it.laggards);
                    continue;
                }
                // One that cannot be followed now holds up no other.
                match self.close_kill(row, bound, known).await {
                    Ok(None) => {}
                    Ok(Some(progress)) => {
                        let laggards = progress.laggards().map(|it| it.worker.key.clone());
                        let laggards: Vec<_> = laggards.collect();
                        waiting.add(row, &laggards);
                        if let Some(it) = known.get_mut(&row.id) {
                            it.next = Instant::now() + again_after(self.since(row.at), bound);
                            it.laggards = laggards;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(kill = row.id, %error, "cannot write what became of a kill");
                        stuck.get_or_insert(error);
                        waiting.add(row, &[]);
                    }
                }
            }
            if u32::try_from(page.len()) != Ok(PAGE) {
                known.retain(|id, _| open.contains(id));
                self.metrics.kills.are_open(
                    waiting.kills,
                    waiting.oldest.map_or(Duration::ZERO, |at| self.since(at)),
                    waiting.laggards.len(),
                );
                return stuck.map_or(Ok(()), Err);
            }
        }
    }

    /// How far it is, unless it is closed now.
    async fn close_kill(
        &self,
        row: &KillRow,
        bound: Duration,
        known: &mut Known,
    ) -> Result<Option<Progress>, Stuck> {
        let whose = match known.get(&row.id) {
            Some(it) if row.scope.is_some() => it.whose.clone(),
            _ => {
                let kill = self.kill_of(row).await?;
                let reach = self.reach_of(kill.as_ref()).await?;
                if row.scope.is_none() {
                    let scope = Entry::KillScope(rows::scope(&row.id, &reach));
                    self.queue.append(Work::KillRow(Arc::new(scope))).await?;
                }
                let whose = whose(kill.as_ref(), &reach);
                let (next, laggards) = (Instant::now(), Vec::new());
                known.insert(row.id.clone(), Followed { whose: whose.clone(), next, laggards });
                whose
            }
        };
        let progress = self.progress(row, &whose, 0).await?;
        let over = progress.is_over();
        let late = self.since(row.at) >= bound;
        if !over && !late {
            return Ok(Some(progress));
        }
        let completed = Entry::KillCompleted(progress.completed(row, !over));
        let done = self.queue.append(Work::KillRow(Arc::new(completed))).await?;
        // Another server may have been quicker, which counts it.
        if matches!(done, Done::At(_)) {
            self.metrics.kills.closed(closing(&progress, over), self.since(row.at));
        }
        Ok(None)
    }

    fn since(&self, then: UnixMicros) -> Duration {
        Duration::from_micros(self.clock.now().0.saturating_sub(then.0))
    }

    /// The kill, by the registry. One that was put back from a backup may not know it.
    async fn kill_of(&self, row: &KillRow) -> Result<Option<Kill>, StoreError> {
        let Ok(id) = row.id.parse() else { return Ok(None) };
        self.registry.kill(id).await
    }

    async fn reach_of(&self, kill: Option<&Kill>) -> Result<KillReach, StoreError> {
        match kill {
            Some(kill) => self.registry.kill_reach(kill).await,
            None => Ok(KillReach::default()),
        }
    }

    async fn progress(
        &self,
        row: &KillRow,
        whose: &Whose,
        listed: u32,
    ) -> Result<Progress, StoreError> {
        Ok(Progress::new(self.store.kill_workers(row, &whose.asked(listed)).await?))
    }

    /// Whose requests a kill concerns. This looks at everything that it reached.
    pub(crate) async fn kill_whose(&self, kill: &Kill) -> Result<Whose, StoreError> {
        Ok(whose(Some(kill), &self.reach_of(Some(kill)).await?))
    }

    /// How far a kill is in the trail, and what its workers have said of it; `None` if it
    /// is not there yet.
    pub(crate) async fn kill_progress(
        &self,
        kill: &Kill,
        whose: &Whose,
    ) -> Result<Option<(KillRow, Progress)>, StoreError> {
        let Some(row) = self.store.kill(&kill.id.to_string()).await? else { return Ok(None) };
        let progress = self.progress(&row, whose, LISTED).await?;
        Ok(Some((row, progress)))
    }
}

/// Kills that are open, and whom they wait for.
#[derive(Debug, Default)]
struct Waiting {
    kills: usize,
    oldest: Option<UnixMicros>,
    laggards: BTreeSet<SourceKey>,
}

impl Waiting {
    fn add(&mut self, row: &KillRow, laggards: &[SourceKey]) {
        self.kills = self.kills.saturating_add(1);
        self.oldest = Some(self.oldest.map_or(row.at, |oldest| oldest.min(row.at)));
        self.laggards.extend(laggards.iter().cloned());
    }
}

/// When a kill of this age is looked at again. At its bound it is.
fn again_after(age: Duration, bound: Duration) -> Duration {
    (age / PART_OF_AGE).min(RARELY).min(bound.saturating_sub(age))
}

/// How a kill is closed.
fn closing(progress: &Progress, over: bool) -> Closing {
    match over {
        false => Closing::TimedOut,
        true if progress.workers.is_empty() => Closing::NobodyThere,
        true if progress.is_acknowledged() => Closing::Complete,
        true => Closing::Unacknowledged,
    }
}

/// Whose requests a kill concerns: where not all of them are listed, everyone's.
fn whose(kill: Option<&Kill>, reach: &KillReach) -> Whose {
    let listed = |ids: &[kya_core::AgentId]| -> BTreeSet<String> {
        ids.iter().map(ToString::to_string).collect()
    };
    let most = usize::try_from(LISTED_AGENTS).unwrap_or(usize::MAX);
    match kill {
        None => Whose::Anybody,
        Some(kill) if kill.act == "fleet.halted" => Whose::Anybody,
        Some(_) if reach.holders.len() >= most => Whose::Anybody,
        Some(_) if !reach.holders.is_empty() => Whose::Agents(listed(&reach.holders)),
        Some(_) if reach.agents > u64::from(LISTED_AGENTS) => Whose::Anybody,
        Some(_) if reach.listed.is_empty() => Whose::Anybody,
        Some(_) => Whose::Agents(listed(&reach.listed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_kill_is_looked_at_the_less_often_the_older_it_is() {
        let again = |age| again_after(Duration::from_millis(age), BOUND).as_millis();
        assert_eq!([0, 80, 800, 8_000, 30_000].map(again), [0, 20, 200, 2_000, 5_000]);
        // Neither its bound nor what comes after that is missed.
        assert_eq!([59_000, 60_000, 90_000].map(again), [1_000, 0, 0]);
    }
}
