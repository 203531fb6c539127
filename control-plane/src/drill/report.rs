//! What a drill has found, as it is stored and answered.

use std::collections::BTreeMap;

use kya_core::AgentId;
use kya_core::drill::outcome::Outcome;
use kya_core::drill::raw::{RawParty, RawSample};
use kya_core::drill::samples::{Measured, Micros, Probe, measure};
use kya_core::drill::summary::{self, PartyFigures, Sample, Totals};
use serde::Serialize;

use super::cause::{self, Known};
use super::request::DrillRequest;

/// Probes that are kept with a drill: about 5 MB.
const KEPT: usize = 100_000;

/// All that a drill has seen.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) canary: Option<AgentId>,
    pub(super) without_token: Vec<Outcome>,
    pub(super) samples: Vec<Sample>,
    raw: Vec<RawSample>,
    kept: usize,
    tallies: Vec<Tally>,
}

/// How often a party answered what.
#[derive(Default, Clone)]
struct Tally {
    before: BTreeMap<Outcome, u64>,
    after: BTreeMap<Outcome, u64>,
}

/// What a drill has found.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    /// Everybody rejected in every sample, nothing was allowed after the acknowledgement,
    /// and within the bound.
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
    relying_parties: Vec<PartyReport<'a>>,
}

#[derive(Serialize)]
struct PartyReport<'a> {
    name: &'a str,
    url: &'a str,
    without_token: Option<Outcome>,
    #[serde(flatten)]
    figures: PartyFigures,
    /// What is wrong with it, if anything is.
    cause: Option<String>,
}

impl Findings {
    /// Adds a sample: the probes of each party, and when all had acknowledged.
    pub(super) fn add(
        &mut self,
        kill_id: Option<String>,
        acknowledged_us: Option<Micros>,
        probes: Vec<Vec<Probe>>,
    ) {
        self.tallies.resize_with(probes.len(), Tally::default);
        let (mut parties, mut raw) = (Vec::new(), Vec::new());
        for (probes, tally) in probes.into_iter().zip(&mut self.tallies) {
            let figures = measure(&probes, acknowledged_us);
            tally.add(&figures, &probes);
            let room = self.kept.saturating_add(probes.len()) <= KEPT;
            self.kept = self.kept.saturating_add(if room { probes.len() } else { 0 });
            raw.push(RawParty { figures: figures.clone(), probes: room.then_some(probes) });
            parties.push(figures);
        }
        self.raw.push(RawSample { kill_id: kill_id.clone(), acknowledged_us, parties: raw });
        self.samples.push(Sample { kill_id, acknowledged_us, parties });
    }

    /// Whether the canary has worked at this party in any sample.
    pub(super) fn has_worked(&self, place: usize) -> bool {
        self.samples.iter().any(|it| it.parties.get(place).is_some_and(|party| party.worked))
    }

    /// Every sample, as JSON.
    pub(super) fn raw(&self) -> String {
        serde_json::to_string(&self.raw).unwrap_or_else(|_| "[]".to_owned())
    }

    /// The report. `silent` are registered proxies that are not connected or not armed,
    /// `error` is why the drill ended before its last sample.
    pub(super) fn report<'a>(
        &self,
        request: &'a DrillRequest,
        silent: &[String],
        error: Option<String>,
    ) -> Report<'a> {
        let totals = summary::of_all(&self.samples);
        let mut failures: Vec<_> = error.into_iter().collect();
        let (mut never_rejected, mut never_allowed) = (Vec::new(), Vec::new());
        let mut relying_parties = Vec::new();
        for (place, party) in request.parties.iter().enumerate() {
            let figures = summary::of_party(&self.samples, place);
            let without_token = self.without_token.get(place).copied();
            let cause = match self.samples.is_empty() {
                true => None,
                false => cause::of(&figures, &self.known(place), silent),
            };
            failures.extend(cause.as_ref().map(|cause| format!("{}: {cause}", party.name)));
            match figures.measured {
                0 => never_allowed.push(&*party.name),
                all if figures.not_rejected == all => never_rejected.push(&*party.name),
                _ => {}
            }
            let (name, url) = (&*party.name, &*party.url);
            relying_parties.push(PartyReport { name, url, without_token, figures, cause });
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
            relying_parties,
        }
    }

    fn known(&self, place: usize) -> Known {
        let most = |counts: &BTreeMap<Outcome, u64>| {
            counts.iter().max_by_key(|(_, count)| **count).map(|(outcome, _)| *outcome)
        };
        let tally = self.tallies.get(place);
        Known {
            without_token: self.without_token.get(place).copied(),
            before: tally.and_then(|tally| most(&tally.before)),
            after: tally.and_then(|tally| most(&tally.after)),
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
    /// What was answered before the stop; and after it, where that did not end in rejections.
    fn add(&mut self, figures: &Measured, probes: &[Probe]) {
        for probe in probes {
            let after = probe.sent.unwrap_or(probe.due) >= 0;
            let counts = match after {
                false => &mut self.before,
                true if figures.worked && figures.settled_us.is_none() => &mut self.after,
                true => continue,
            };
            let count = counts.entry(probe.outcome).or_default();
            *count = count.saturating_add(1);
        }
    }
}
