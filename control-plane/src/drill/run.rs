//! The samples of a drill: work, stop, see who hears, restore, again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use kya_core::drill::samples::{Micros, Probe};
use kya_core::{AgentId, DrillId, InFlight, OpaqueToken};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::canary::{self, Working};
use super::interrupted;
use super::probe::{Prober, Seen, Shot, Window};
use super::report::{Findings, Proxies};
use super::request::{Act, DrillRequest};
use crate::labels::Labels;
use crate::push::{Push, State};
use crate::registry::{Registry, RegistryError, random};
use crate::store::{Cause, Committed, DrillState, EndedDrill, StatusAction, Store, StoreError};
use crate::time::Clock;

/// How long the canary may take to be allowed everywhere.
const READY: Duration = Duration::from_secs(5);
/// The stop comes so long after that, at the earliest and at the latest.
const EARLIEST: Duration = Duration::from_millis(30);
const SPREAD_MS: u16 = 256;
/// How long the workers and the parties may take to hear.
const HEARD: Duration = Duration::from_secs(3);
/// Probes go on for so long when everybody has heard: whoever allows something then is seen.
const TAIL: Duration = Duration::from_millis(200);
/// Probes that were due so long before the stop are kept, and at least four.
const BEFORE: Duration = Duration::from_millis(100);
/// How often it is looked whether something is so.
const LOOK: Duration = Duration::from_millis(2);
/// Registered proxies that are looked through.
const PROXIES: u32 = 1000;
/// A proxy's clock may be off by so much: what it sees expire too early by that, and what it
/// dates wrongly, hurts nobody.
const CLOCK_OFF_MS: u64 = 60_000;

/// A drill that is to be carried out.
pub(super) struct Run {
    pub(super) store: Arc<dyn Store>,
    pub(super) registry: Registry,
    pub(super) push: Arc<Push>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cause: Cause,
    pub(super) id: DrillId,
    pub(super) request: DrillRequest,
    pub(super) urls: Vec<Url>,
    /// Those of the canary.
    pub(super) labels: Labels,
    pub(super) stop: CancellationToken,
    /// Samples that are over.
    pub(super) done: Arc<AtomicU32>,
}

/// What was seen of one stop.
struct Seer {
    window: Window,
    stopped: Instant,
    acknowledged: Option<Instant>,
    /// Connected proxies that have not acknowledged.
    unheard: BTreeSet<String>,
    committed: Committed,
}

impl Run {
    /// Takes its samples, and says what was found. What it leaves is taken back by whoever
    /// called it.
    pub(super) async fn carry_out(self) -> EndedDrill {
        let mut findings = Findings::default();
        let error = match self.take_samples(&mut findings).await {
            Ok(()) if self.stop.is_cancelled() => Some("it was stopped before its end".to_owned()),
            Ok(()) => None,
            Err(error) => Some(error),
        };
        let interrupted_by = error.is_some();
        let proxies = self.proxies().await;
        let report = findings.report(&self.request, &proxies, error);
        let state = match (interrupted_by, report.passed) {
            (true, _) => DrillState::Interrupted,
            (false, true) => DrillState::Passed,
            (false, false) => DrillState::Failed,
        };
        match serde_json::to_value(&report) {
            Ok(result) => EndedDrill { state, result, samples: findings.raw() },
            Err(error) => interrupted(&format!("its report could not be written: {error}")),
        }
    }

    async fn take_samples(&self, findings: &mut Findings) -> Result<(), String> {
        let prober = Prober::start(&self.urls, self.request.probe_ca.as_deref())?;
        let unknown = nobodys_token()?;
        (findings.without_token, findings.unknown_token) =
            tokio::join!(prober.ask(None), prober.ask(Some(&unknown)));
        let mut canary = self.canary().await?;
        findings.canary = Some(canary.agent);
        for n in 0..self.request.samples {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            if n > 0 && self.request.act == Act::Revoke {
                canary = self.canary().await?;
            }
            let expected: Vec<_> =
                (0..self.urls.len()).map(|place| n == 0 || findings.has_worked(place)).collect();
            let Some(seer) = self.sample(&prober, &canary, &expected).await? else {
                return Ok(());
            };
            self.conclude(seer, &canary, findings).await?;
            self.done.store(n.saturating_add(1), Ordering::Relaxed);
        }
        Ok(())
    }

    async fn canary(&self) -> Result<Working, String> {
        let of = (self.id, &self.request);
        let ready = canary::ready((&*self.store, &self.registry), of, &self.labels, &self.cause);
        ready.await.map_err(|error| format!("the canary: {error}"))
    }

    /// Has the canary work everywhere, and stops it at a random instant. `None` if the drill
    /// is to end, before the stop.
    async fn sample(
        &self,
        prober: &Prober,
        canary: &Working,
        expected: &[bool],
    ) -> Result<Option<Seer>, String> {
        let window = prober.open(&canary.token, self.request.rate);
        let works = |(seen, expected): (&Arc<Seen>, &bool)| {
            !expected || seen.allowed.load(Ordering::Relaxed) > 0
        };
        self.wait(READY, || window.seen.iter().zip(expected).all(works)).await;
        let random: [u8; 2] = random().map_err(|error| error.to_string())?;
        let spread = u64::from(u16::from_be_bytes(random) % SPREAD_MS);
        self.wait(EARLIEST + Duration::from_millis(spread), || false).await;
        if self.stop.is_cancelled() {
            window.close().await;
            return Ok(None);
        }
        let before: Vec<_> = window.seen.iter().map(|seen| allowed_and_rejected(seen)).collect();
        let stopped = Instant::now();
        let committed = match self.stop_canary(canary.agent).await {
            Ok(committed) => committed,
            Err(error) => {
                window.close().await;
                return Err(error);
            }
        };
        let acknowledged = async {
            let found = self.push.acknowledgements(committed, HEARD, &self.stop).await;
            match found.complete() || self.stop.is_cancelled() {
                true => (found.complete().then(Instant::now), BTreeSet::new()),
                false => (None, found.unheard),
            }
        };
        let heard = |(seen, before): (&Arc<Seen>, &(u64, u64))| {
            before.0 == 0 || allowed_and_rejected(seen).1 > before.1
        };
        let heard = self.wait(HEARD, || window.seen.iter().zip(&before).all(heard));
        let ((acknowledged, unheard), ()) = tokio::join!(acknowledged, heard);
        self.wait(TAIL, || false).await;
        Ok(Some(Seer { window, stopped, acknowledged, unheard, committed }))
    }

    async fn stop_canary(&self, agent: AgentId) -> Result<Committed, String> {
        let action = match self.request.act {
            Act::Suspend => StatusAction::Suspend(InFlight::Abort),
            Act::Revoke => StatusAction::Revoke(InFlight::Abort),
        };
        let stopped = self.registry.decide_agent(agent, action, self.cause.clone()).await;
        match stopped {
            Ok(outcome) if outcome.changed => Ok(outcome.committed),
            Ok(_) => Err("somebody else has stopped the canary: it is left so".to_owned()),
            Err(error) => Err(format!("the canary could not be stopped: {error}")),
        }
    }

    /// Restores the canary, and adds what was seen.
    async fn conclude(
        &self,
        seer: Seer,
        canary: &Working,
        findings: &mut Findings,
    ) -> Result<(), String> {
        let Seer { window, stopped, acknowledged, unheard, committed } = seer;
        findings.unheard(unheard);
        let shots = window.close().await;
        if self.request.act == Act::Suspend {
            self.restore(canary.agent).await.map_err(|error| format!("the canary: {error}"))?;
        }
        let kill = self.store.kill_at(committed.position.revision).await.ok().flatten();
        let before = BEFORE.max(Duration::from_secs(4) / self.request.rate.max(1));
        let since = |at: Instant| since(stopped, at);
        let probes = shots.into_iter().map(|shots| {
            let probes =
                shots.into_iter().map(|Shot { due, sent, answered, ended, outcome }| Probe {
                    due: since(due),
                    sent: sent.map(since),
                    answered: answered.map(since),
                    ended: ended.map(|(at, ending)| (since(at), ending)),
                    outcome,
                });
            let mut probes: Vec<_> = probes.collect();
            probes.sort_by_key(|probe| probe.due);
            probes
        });
        let (kill, acknowledged) = (kill.map(|id| id.to_string()), acknowledged.map(since));
        let kept_from = micros(before).saturating_neg();
        findings.add(kill, acknowledged, kept_from, probes.collect());
        Ok(())
    }

    /// Restores the canary if it is still the drill that has suspended it.
    async fn restore(&self, agent: AgentId) -> Result<(), RegistryError> {
        if self.store.agent(agent).await?.status_reason != self.cause.reason {
            let why = "somebody else has stopped it: it is left so".into();
            return Err(StoreError::Unavailable(why).into());
        }
        let restore = StatusAction::Restore;
        self.registry.decide_agent(agent, restore, self.cause.clone()).await.map(drop)
    }

    /// Waits until something is so, the time is over, or the drill is to end.
    async fn wait(&self, patience: Duration, is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = waiting => {}
            () = tokio::time::sleep(patience) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// What is wrong with proxies, whichever party they stand before.
    async fn proxies(&self) -> Proxies {
        let (connected, departed) = self.push.verdicts();
        let off = |millis: &i64| millis.unsigned_abs() > CLOCK_OFF_MS;
        let clocks = connected.iter().filter_map(|(node, _)| {
            Some((node.proxy.node_id.clone(), node.clock_ahead_millis.filter(off)?))
        });
        let clocks = clocks.collect();
        let unarmed = connected.iter().filter(|(_, verdict)| verdict.state != State::Armed);
        let mut silent: Vec<_> = unarmed
            .map(|(node, _)| format!("{} (not armed)", node.proxy.node_id))
            .chain(departed.iter().map(|it| format!("{} (not connected)", it.node_id)))
            .collect();
        let now = self.clock.now();
        for node in self.store.nodes(None, PROXIES).await.unwrap_or_default() {
            let came = connected.iter().any(|(it, _)| it.proxy.registration == node.name)
                || departed.iter().any(|it| it.registration == node.name);
            if !came && node.revoked_at.is_none() && !node.is_expired(now) {
                silent.push(format!("{} (never connected)", node.name));
            }
        }
        Proxies { silent, clocks }
    }
}

/// The header of a request with a token that nobody has issued.
fn nobodys_token() -> Result<HeaderValue, String> {
    let random: [u8; 32] = random().map_err(|error| error.to_string())?;
    let token = OpaqueToken::from_random(random);
    let mut header = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
        .map_err(|error| error.to_string())?;
    header.set_sensitive(true);
    Ok(header)
}

fn allowed_and_rejected(seen: &Seen) -> (u64, u64) {
    (seen.allowed.load(Ordering::Relaxed), seen.rejected.load(Ordering::Relaxed))
}

fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

/// Microseconds from the stop to an instant, which may be before it.
fn since(stopped: Instant, at: Instant) -> Micros {
    match at.checked_duration_since(stopped) {
        Some(after) => micros(after),
        None => micros(stopped.saturating_duration_since(at)).saturating_neg(),
    }
}
