//! Drills: a canary is stopped and restored again and again, while requests of it go
//! through the proxies of relying parties, to see who hears of a stop, and when.
//!
//! The stop is the same as everybody's, and it is timed by the clock that times the probes:
//! both are of this process. A drill leaves nothing behind, however it ends: what must not
//! stay is on record before it is made, and whichever server finds a drill that nobody goes
//! on with takes it back.

mod canary;
mod cause;
mod cron;
mod metrics;
mod probe;
mod report;
mod request;
mod run;
mod schedule;
mod scheduler;
mod timing;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kya_core::{DrillId, Status};
use serde_json::json;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::labels::Labels;
use crate::push::Push;
use crate::registry::{Registry, RegistryError, random};
use crate::store::schedules::{Claim, Due};
use crate::store::{Cause, Drill, DrillState, EndedDrill, NewDrill, Store, StoreError};
use crate::telemetry::Metrics;
use crate::time::Clock;
pub(crate) use metrics::ScheduleMetrics;
pub use request::{Act, DrillRequest, Party};
use run::Run;
pub use schedule::ScheduleRequest;
pub(crate) use schedule::{overdue_since, upcoming};

/// How often a server says that it goes on with its drill, and looks whether it shall.
const BEAT: Duration = Duration::from_secs(1);
/// After so many beats that could not be said, a drill ends: another server may take it for
/// dead soon.
const LOST_BEATS: u32 = 8;
/// A drill of which nobody has said so for so long is nobody's any more.
const DEAD_AFTER: Duration = Duration::from_secs(15);
/// How often it is looked for such drills.
const LOOK: Duration = Duration::from_secs(5);
/// How often it is tried at once to take back what a drill made. Then that goes on every
/// [`LOOK`], or is left to whoever finds the drill, where this server ends.
const TRIES: u32 = 5;
/// So many drills are looked through for one that was not interrupted.
const LAST: u32 = 50;

/// Runs drills, one at a time.
pub(crate) struct Drills {
    store: Arc<dyn Store>,
    registry: Registry,
    push: Arc<Push>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Which server this is. Another one after it was started again: two with one name would
    /// end each other's drills.
    server: String,
    current: Mutex<Option<Current>>,
    /// Ends every drill.
    draining: CancellationToken,
}

/// The drill that this server goes on with.
struct Current {
    id: DrillId,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What is known of the last drills.
#[derive(Debug)]
pub(crate) struct LastDrills {
    /// Whether one is open.
    pub(crate) is_open: bool,
    /// The last that has ended.
    pub(crate) ended: Option<Drill>,
    /// The last that was not interrupted: one that was says nothing about the proxies.
    pub(crate) concluded: Option<Drill>,
}

/// What a request asks for, checked.
#[derive(Debug)]
pub(crate) struct Vetted {
    /// In the order of the parties.
    urls: Vec<Url>,
    /// Those of the canary.
    labels: Labels,
}

/// Why a drill is not begun.
#[derive(Debug, Error)]
pub(crate) enum DrillError {
    /// What is asked for is nothing that a drill does.
    #[error("{0}")]
    Refused(String),
    /// It could not be carried out as things are.
    #[error("{0}")]
    NotNow(String),
    /// The store refused, or could not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There was no randomness, or it was cut short.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Drills {
    /// Ends drills that nobody goes on with, from now on and until `stop`.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        (registry, push): (Registry, Arc<Push>),
        (clock, metrics): (Arc<dyn Clock>, Arc<Metrics>),
        server: String,
        draining: CancellationToken,
        stop: &CancellationToken,
    ) -> Result<Arc<Self>, RegistryError> {
        let current = Mutex::default();
        let process: [u8; 4] = random()?;
        let server = format!("{server}#{:08x}", u32::from_be_bytes(process));
        let drills =
            Arc::new(Self { store, registry, push, clock, metrics, server, current, draining });
        let looking = Arc::clone(&drills);
        let looking = async move {
            loop {
                let looked = async {
                    looking.end_abandoned().await?;
                    looking.note_drills().await?;
                    Ok::<_, DrillError>(())
                };
                if let Err(error) = looked.await {
                    tracing::warn!(%error, "a drill that nobody goes on with could not be ended");
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(looking));
        Ok(drills)
    }

    /// Begins a drill, whoever stops waiting.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        request: DrillRequest,
        cause: Cause,
    ) -> Result<Drill, DrillError> {
        let drills = Arc::clone(self);
        let begun = tokio::spawn(async move { drills.begin_now(request, cause).await });
        begun.await.map_err(|_| RegistryError::Interrupted)?
    }

    async fn begin_now(
        self: Arc<Self>,
        request: DrillRequest,
        cause: Cause,
    ) -> Result<Drill, DrillError> {
        let vetted = self.vet(&request).await?;
        let mut current = self.current.lock().await;
        let new = self.new_drill(&request)?;
        let drill = self.store.begin_drill(new, cause).await?;
        *current = Some(self.go_on(drill.clone(), request, vetted));
        Ok(drill)
    }

    /// Begins the drill of a schedule that is due, unless something has become of that.
    async fn begin_due(
        self: &Arc<Self>,
        due: Due,
        request: DrillRequest,
        cause: Cause,
    ) -> Result<Claim, DrillError> {
        let vetted = self.vet(&request).await?;
        let mut current = self.current.lock().await;
        let new = self.new_drill(&request)?;
        let claim = self.store.begin_due(due, new, cause).await?;
        if let Claim::Begun(drill) = &claim {
            *current = Some(self.go_on(Drill::clone(drill), request, vetted));
        }
        Ok(claim)
    }

    /// Checks a request, as things are now.
    pub(crate) async fn vet(&self, request: &DrillRequest) -> Result<Vetted, DrillError> {
        let (urls, selector) = request.check().map_err(DrillError::Refused)?;
        if request.act == Act::Suspend && !self.registry.restores_alone() {
            return Err(DrillError::NotNow(
                "restoring takes two operators here, so that no drill can restore its canary: ask for one that revokes (`act`: `revoke`)".to_owned(),
            ));
        }
        let labels = request::canary_labels(&selector);
        let labels = match request.agent_id {
            None => labels.map_err(DrillError::Refused)?,
            Some(id) => {
                let agent = self.store.agent(id).await?;
                request::check_canary(&agent.labels, &selector).map_err(DrillError::Refused)?;
                let expired = agent.expires.is_some_and(|at| at <= self.clock.now().seconds());
                if agent.status != Status::Active || expired {
                    return Err(DrillError::NotNow(format!(
                        "{id} is not active: restore it first"
                    )));
                }
                agent.labels
            }
        };
        Ok(Vetted { urls, labels })
    }

    fn new_drill(&self, request: &DrillRequest) -> Result<NewDrill, DrillError> {
        if self.draining.is_cancelled() {
            return Err(DrillError::NotNow("the server is about to end".to_owned()));
        }
        let id = DrillId::from_parts(self.clock.now().millis().0, random()?);
        let asked = serde_json::to_value(request)
            .map_err(|error| DrillError::Refused(error.to_string()))?;
        Ok(NewDrill { id, server: self.server.clone(), request: asked })
    }

    /// Goes on with a drill that is on record.
    fn go_on(self: &Arc<Self>, drill: Drill, request: DrillRequest, vetted: Vetted) -> Current {
        let (id, stop) = (drill.id, self.draining.child_token());
        let Vetted { urls, labels } = vetted;
        let run = Run {
            store: Arc::clone(&self.store),
            registry: self.registry.clone(),
            push: Arc::clone(&self.push),
            clock: Arc::clone(&self.clock),
            cause: canary::cause_of(&drill),
            id,
            request,
            urls,
            labels,
            stop: stop.clone(),
            done: Arc::new(AtomicU32::new(0)),
        };
        let task = tokio::spawn(Arc::clone(self).carry_out(drill, run));
        Current { id, stop, task }
    }

    /// Asks for the end of a drill, of this server or of another one.
    pub(crate) async fn stop(
        &self,
        id: DrillId,
        cause: Cause,
    ) -> Result<Option<Drill>, StoreError> {
        let drill = self.store.ask_drill_to_stop(id, cause).await?;
        let current = self.current.lock().await;
        if let Some(current) = current.as_ref().filter(|current| current.id == id) {
            current.stop.cancel();
        }
        Ok(drill)
    }

    /// Ends the drill of this server and waits until everything is as it was before.
    pub(crate) async fn finish(&self) {
        // It stays there: nobody takes it for abandoned meanwhile.
        let mut current = self.current.lock().await;
        if let Some(current) = current.as_mut().filter(|current| !current.task.is_finished()) {
            current.stop.cancel();
            // That it failed is in the log.
            let _ = (&mut current.task).await;
        }
    }

    async fn carry_out(self: Arc<Self>, drill: Drill, run: Run) {
        let (id, done, stop) = (run.id, Arc::clone(&run.done), run.stop.clone());
        let beating = tokio::spawn(Arc::clone(&self).beat(id, Arc::clone(&done), stop));
        // In a task of its own: what is to be taken back is taken back even if it panics.
        let ended = tokio::spawn(async move { run.carry_out().await }).await;
        beating.abort();
        let ended = ended.unwrap_or_else(|error| {
            tracing::error!(%error, drill = %id, "a drill");
            interrupted("the drill failed; see the server's log")
        });
        let mut tried = 0u32;
        // What was found is nowhere else: as long as this server is there it is kept.
        while tried < TRIES || !self.draining.is_cancelled() {
            let _ = self.store.drill_goes_on(id, done.load(Ordering::Relaxed)).await;
            match self.end(&drill, ended.clone()).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, drill = %id, "the end of a drill"),
            }
            tried = tried.saturating_add(1);
            tokio::time::sleep(if tried < TRIES { BEAT / 4 } else { LOOK }).await;
        }
    }

    /// Says that the drill goes on, until somebody does not want that.
    async fn beat(self: Arc<Self>, id: DrillId, done: Arc<AtomicU32>, stop: CancellationToken) {
        let mut lost = 0u32;
        while lost < LOST_BEATS {
            match self.store.drill_goes_on(id, done.load(Ordering::Relaxed)).await {
                Ok(Some(DrillState::Running)) => lost = 0,
                Ok(_) => break,
                Err(_) => lost = lost.saturating_add(1),
            }
            tokio::time::sleep(BEAT).await;
        }
        stop.cancel();
    }

    /// Takes back what the drill made, and then says that it has ended.
    async fn end(&self, drill: &Drill, ended: EndedDrill) -> Result<(), DrillError> {
        // As it is now: its canary was not there when it began.
        let known = self.store.drill(drill.id).await?;
        canary::take_back(&*self.store, &self.registry, known.as_ref().unwrap_or(drill)).await?;
        let how = ended.state;
        if self.store.end_drill(drill.id, ended, drill.cause.clone()).await? {
            self.metrics.drills.ended(how);
        }
        // It is looked again soon.
        let _ = self.note_drills().await;
        Ok(())
    }

    /// The last drills, of whatever server.
    pub(crate) async fn last(&self) -> Result<LastDrills, StoreError> {
        let mut found = self.store.drills(None, LAST).await?;
        let is_open = found.iter().any(|drill| drill.state.is_open());
        found.retain(|drill| !drill.state.is_open());
        let concluded = found.iter().find(|drill| drill.state != DrillState::Interrupted).cloned();
        Ok(LastDrills { is_open, ended: found.into_iter().next(), concluded })
    }

    /// Notes them for the metrics.
    async fn note_drills(&self) -> Result<(), StoreError> {
        self.metrics.drills.found(&self.last().await?);
        Ok(())
    }

    /// Ends a drill that nobody goes on with.
    async fn end_abandoned(&self) -> Result<(), DrillError> {
        let current = self.current.lock().await;
        let Some(drill) = self.store.open_drill().await? else { return Ok(()) };
        let goes_on = |current: &Current| current.id == drill.id && !current.task.is_finished();
        if current.as_ref().is_some_and(goes_on) {
            return Ok(());
        }
        let silent = self.clock.now().0.saturating_sub(drill.alive_at.0);
        let may_go_on = drill.server != self.server && self.store.commits().are_shared();
        if may_go_on && Duration::from_micros(silent) < DEAD_AFTER {
            return Ok(());
        }
        tracing::warn!(drill = %drill.id, "nobody goes on with a drill: it is ended");
        self.end(&drill, interrupted("the server that ran it ended")).await
    }
}

/// The end of a drill of which nothing is known.
fn interrupted(why: &str) -> EndedDrill {
    let result = json!({ "passed": false, "failures": [why] });
    EndedDrill { state: DrillState::Interrupted, result, samples: "[]".to_owned() }
}

/// A name for this server that it has again when it is started again, and that no other
/// server has which uses the same database: its machine and its data directory.
pub(crate) fn server_name(data_dir: &std::path::Path) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let place = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    format!("{}:{}", host.trim(), place.display())
}

impl fmt::Debug for Drills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drills").field("server", &self.server).finish_non_exhaustive()
    }
}
