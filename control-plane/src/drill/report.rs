//! What a drill has found, as it is stored and answered.

use std::collections::{BTreeMap, BTreeSet};

use kya_core::AgentId;
use kya_core::drill::outcome::Outcome;
use kya_core::drill::raw::{RawParty, RawSample};
use kya_core::drill::samples::{Measured, Micros, Probe, decisive, measure};
use kya_core::drill::summary::{self, PartyFigures, Sample, Totals};
use serde::Serialize;

use super::cause::{self, Known};
use super::request::DrillRequest;

/// Probes that are kept with a drill: about 5 MB.
const KEPT: usize = 100_000;

/// What is wrong with proxies, whichever party they stand before.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    /// Registered ones that are not connected or not armed, and which of the two.
    pub(super) silent: Vec<String>,
    /// Those whose clock is off, and by how many milliseconds it is ahead.
    pub(super) clocks: Vec<(String, i64)>,
}

/// All that a drill has seen.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) canary: Option<AgentId>,
    pub(super) without_token: Vec<Outcome>,
    pub(super) unknown_token: Vec<Outcome>,
    pub(super) samples: Vec<Sample>,
    raw: Vec<RawSample>,
    kept: usize,
    tallies: Vec<Tally>,
    /// Stops that some connected proxies had not acknowledged in time, and which ones.
    unheard: (usize, BTreeSet<String>),
}

/// How often a party answered what, where it was of no use: before a stop, where the canary
/// did not work there; after one, where it was not rejected.
#[derive(Default, Clone)]
struct Tally {
    before: BTreeMap<Outcome, u64>,
    after: BTreeMap<Outcome, u64>,
}

/// What a drill has found.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    /// Everybody rejected in every sample, nothing was allowed after the acknowledgement,
    /// every proxy that is connected acknowledged every stop, and within the bound.
    pub(super) passed: bool,
    failures: Vec<String>,
    canary: Option<AgentId>,
    samples: usize,
    #[serde(flatten)]
    totals: Totals,
    /// Names of parties that rejected the canary in no sample.
    never_rejected: Vec<&'a str>,
    /// Names of parties that allowed it in none.
    never_allowed: Vec<&'a str>,
    /// Names of proxies whose clock is off.
    wrong_clocks: Vec<&'a str>,
    relying_parties: Vec<PartyReport<'a>>,
}

#[derive(Serialize)]
struct PartyReport<'a> {
    name: &'a str,
    url: &'a str,
    /// What it answered to a request without a token, and to one whose token nobody issued.
    without_token: Option<Outcome>,
    unknown_token: Option<Outcome>,
    #[serde(flatten)]
    figures: PartyFigures,
    /// What is wrong with it, if anything is.
    cause: Option<String>,
}

impl Findings {
    /// Adds a sample: the probes of each party, and when all had acknowledged. Probes that
    /// were due and over before `kept_from` count, and are not kept.
    pub(super) fn add(
        &mut self,
        kill_id: Option<String>,
        acknowledged_us: Option<Micros>,
        kept_from: Micros,
        probes: Vec<Vec<Probe>>,
    ) {
        self.tallies.resize_with(probes.len(), Tally::default);
        let (mut parties, mut raw) = (Vec::new(), Vec::new());
        let is_kept = |probe: &Probe| {
            probe.due >= kept_from || probe.ended.is_some_and(|(at, _)| at >= kept_from)
        };
        for (mut probes, tally) in probes.into_iter().zip(&mut self.tallies) {
            let figures = measure(&probes, acknowledged_us);
            tally.add(&figures, &probes);
            let decisive = decisive(&probes);
            let mut places = 0..;
            probes.retain(|probe| is_kept(probe) || decisive.contains(&places.next()));
            let room = self.kept.saturating_add(probes.len()) <= KEPT;
            self.kept = self.kept.saturating_add(if room { probes.len() } else { 0 });
            raw.push(RawParty { figures: figures.clone(), probes: room.then_some(probes) });
            parties.push(figures);
        }
        self.raw.push(RawSample { kill_id: kill_id.clone(), acknowledged_us, parties: raw });
        self.samples.push(Sample { kill_id, acknowledged_us, parties });
    }

    /// The connected proxies that had not acknowledged a stop when it was given up.
    pub(super) fn unheard(&mut self, proxies: BTreeSet<String>) {
        let (stops, who) = &mut self.unheard;
        *stops = stops.saturating_add(usize::from(!proxies.is_empty()));
        who.extend(proxies);
    }

    /// Whether the canary has worked at this party in any sample.
    pub(super) fn has_worked(&self, place: usize) -> bool {
        self.samples.iter().any(|it| it.parties.get(place).is_some_and(|party| party.worked))
    }

    /// Every sample, as JSON.
    pub(super) fn raw(&self) -> String {
        serde_json::to_string(&self.raw).unwrap_or_else(|_| "[]".to_owned())
    }

    /// The report. `error` is why the drill ended before its last sample.
    pub(super) fn report<'a>(
        &self,
        request: &'a DrillRequest,
        proxies: &'a Proxies,
        error: Option<String>,
    ) -> Report<'a> {
        let totals = summary::of_all(&self.samples);
        let mut failures: Vec<_> = error.into_iter().collect();
        let (mut never_rejected, mut never_allowed) = (Vec::new(), Vec::new());
        let mut relying_parties = Vec::new();
        for (place, party) in request.parties.iter().enumerate() {
            let figures = summary::of_party(&self.samples, place);
            let known = self.known(place, &proxies.silent);
            let cause = match self.samples.len() {
                0 => None,
                samples => cause::of(&figures, samples, &known),
            };
            failures.extend(cause.as_ref().map(|cause| format!("{}: {cause}", party.name)));
            match figures.measured {
                0 => never_allowed.push(&*party.name),
                all if figures.not_rejected == all => never_rejected.push(&*party.name),
                _ => {}
            }
            let (name, url) = (&*party.name, &*party.url);
            let Known { without_token, unknown_token, .. } = known;
            relying_parties.push(PartyReport {
                name,
                url,
                without_token,
                unknown_token,
                figures,
                cause,
            });
        }
        let clock = |(name, ahead): &(String, i64)| cause::of_clock(name, *ahead);
        failures.extend(proxies.clocks.iter().map(clock));
        let wrong_clocks = proxies.clocks.iter().map(|(name, _)| &**name).collect();
        if self.unheard.0 > 0 {
            failures.push(cause::of_unheard(self.unheard.0, self.samples.len(), &self.unheard.1));
        }
        if let Some(bound) = request.p99_ms {
            failures.extend(beyond(bound, &totals));
        }
        let passed = failures.is_empty();
        let (canary, samples) = (self.canary, self.samples.len());
        Report {
            passed,
            failures,
            canary,
            samples,
            totals,
            never_rejected,
            never_allowed,
            wrong_clocks,
            relying_parties,
        }
    }

    fn known<'a>(&self, place: usize, silent: &'a [String]) -> Known<'a> {
        // What was not sent says nothing, where anything was.
        let most = |counts: &BTreeMap<Outcome, u64>| {
            let by = |(outcome, count): &(&Outcome, &u64)| (**outcome != Outcome::Missed, **count);
            counts.iter().max_by_key(by).map(|(outcome, _)| *outcome)
        };
        let tally = self.tallies.get(place);
        Known {
            without_token: self.without_token.get(place).copied(),
            unknown_token: self.unknown_token.get(place).copied(),
            before: tally.and_then(|tally| most(&tally.before)),
            after: tally.and_then(|tally| most(&tally.after)),
            silent,
        }
    }
}

/// What is wrong with the last rejections, if something is.
fn beyond(bound: u32, totals: &Totals) -> Option<String> {
    match &totals.last_rejection_ms {
        None => Some(format!("nobody rejected, so that nothing was within {bound} ms")),
        Some(last) if last.p99 > f64::from(bound) => Some(format!(
            "the 99th percentile of the last rejection is {} ms, over the bound of {bound} ms",
            last.p99
        )),
        Some(_) => None,
    }
}

impl Tally {
    fn add(&mut self, figures: &Measured, probes: &[Probe]) {
        for probe in probes {
            let after = probe.sent.unwrap_or(probe.due) >= 0;
            let counts = match (after, figures.worked) {
                (false, false) => &mut self.before,
                (true, true) if figures.settled_us.is_none() => &mut self.after,
                _ => continue,
            };
            let count = counts.entry(probe.outcome).or_default();
            *count = count.saturating_add(1);
        }
    }
}
